#' SYNTHETIC data with the design of Falkenström et al. (2013)
#'
#' Synthetic data, made by a script: nobody was asked, no patient is described. The raw data of the study are not public. The script imitates
#' its design (646 patients, 76 % women, alliance and symptoms at every session of psychotherapy in primary care) and the direction of
#' the findings in its abstract. The sizes of all effects are assumptions of this package, not results of the study.
#'
#' @section Known and assumed:
#' Known: the number of patients and the share of women; CORE-OM and the patients' WAI-SR at each session; better alliance than usual
#' is followed by fewer symptoms at the next session; this effect differs considerably between patients; it is stronger in
#' patients with personality problems; symptoms in turn predict the alliance.
#'
#' Assumed, all of it: 60 therapists with 2 to 41 patients; 35 % of the patients with personality problems; the number of sessions (first
#' to last session a patient has data of: 2 to 20, median 6; shorter therapies change as much as longer ones); scales, levels and trends (symptoms fall by
#' 5 points over a therapy, the alliance rises by half a point, both with differences between patients); sessions without any form (5 %, no
#' row) and forms missing at random (5 % of CORE-OM, 7 % of WAI-SR).
#' The within-patient effect of the alliance on the next symptoms is -1.1 points of CORE-OM for a point of WAI-SR, -2.4 with personality problems,
#' with an SD of 1.5 between patients; that of symptoms on the next alliance is -0.07; both deviations
#' are partly passed on to the next session (0.2), and those of one session correlate with -.15.
#' `system.file("published", "falkenstrom2013.json", package = "wbhlm")` has every assumption (`assumed`) and, for each finding, the model and
#' what it gives here (`findings`).
#'
#' @section How it is made:
#' Not by adding columns: each patient has an own level and an own straight line of both variables; deviations from them influence each other from
#' session to session (two cross-lagged autoregressions, started in the state they settle in); ratings are then brought to
#' the steps and limits of the instruments. Estimates therefore differ from the assumed effects as they would in real data: deviations from a mean or a
#' line that is itself estimated from few sessions are biased (Nickell 1981), so the estimated effects are mostly nearer to zero.
#' The sizes were chosen, after trial runs, so that every finding is clear and does not hang on the seed (2013): with each of the seeds 1 to 20 all
#' findings have their sign and p < .05 as well.
#'
#' @format A data frame with 4,552 rows (646 patients, one row per session with at least one form) and 7 variables:
#' \describe{
#'   \item{patient}{patient, 1 to 646}
#'   \item{therapist}{therapist, 1 to 60}
#'   \item{session}{number of the session, from 1. Numbers can be missing in between: 142 patients have such a gap}
#'   \item{wai}{working alliance (WAI-SR, patient: mean of 12 items, 1 to 7; higher is better; two decimals); 342 missing}
#'   \item{core}{symptoms (CORE-OM clinical score: mean of 34 items, 0 to 4, times 10; higher is worse; two decimals); 183 missing}
#'   \item{female}{1 for women (491), 0 for men}
#'   \item{personality}{1 for patients with personality problems (228), 0 for others}
#' }
#'
#' @source `data-raw/falkenstrom2013.R` in the sources of the package, with a fixed seed.
#' @references Falkenström, F., Granström, F., & Holmqvist, R. (2013). Therapeutic alliance predicts symptomatic improvement session by
#'   session. *Journal of Counseling Psychology*, 60(3), 317-328. \doi{10.1037/a0032258}
#'
#'   Nickell, S. (1981). Biases in dynamic models with fixed effects. *Econometrica*, 49(6), 1417-1426. \doi{10.2307/1911408}
#' @examples
#' # the alliance of the session before as a deviation from the patient's own line, with an effect
#' # that differs between patients
#' fit <- hlm(core ~ session + within(lagged(wai), detrend = TRUE) * personality +
#'   (1 + session + within(lagged(wai), detrend = TRUE) | patient),
#'   data = falkenstrom2013, time = session)
#' summary(fit)
"falkenstrom2013"

#' SYNTHETIC data that return the findings of Hoffart et al. (2013)
#'
#' Synthetic data, made by a script: nobody was asked, no patient is described. The raw data of the study are not public. The script imitates its
#' design (65 patients with PTSD, randomised to imaginal exposure or imagery rescripting, ten weekly measurements of task, goal, bond and
#' symptoms), and fits to its rows return the findings as Hoffart (2014) tells them. But for one number (about 4 % of the outcome's variance) only
#' their directions are known: the sizes are assumptions of this package, not results of the study.
#'
#' @section Known and assumed:
#' Known: 65 patients (38 women, 27 men), mean age 45.2 (SD 9.7), ten weeks, two treatments; the alliance is lagged by a week and detrended (between: the level
#' at the start of the person's own line; within: the deviation from it). Better task agreement than usual is followed by fewer symptoms,
#' which explains about 4 % of the outcome's variance; more so in imaginal exposure; more so with higher initial task
#' agreement. Initial task agreement and bond go with a steeper decline. Goal is unrelated. Symptoms do not predict task or bond.
#'
#' Assumed: everything else, among it 33 patients in imaginal exposure, the scales, the sizes of all effects, forms missing at random (2 to 3 %),
#' and that task, goal and bond are correlated weakly (assumed .25 between persons and .3 within; in these rows .16 to .31), less than the
#' subscales usually are.
#' Nothing is told of within-person effects of the bond; the process has none. "4 % of the outcome's variance" is taken as the share of
#' the residual variance that the within-person task effect removes (Raudenbush & Bryk 2002; `r2(fit, method = "reduction")`): 4.4 %.
#' `system.file("published", "hoffart2013.json", package = "wbhlm")` has every assumption, and model, estimate and p of each finding.
#'
#' @section How it is made:
#' A process in which all findings hold: own lines, autoregressive deviations, an effect of last week's task deviation on the
#' symptoms which depends on treatment and initial task agreement, and slopes that depend on initial task and bond. With 65 patients, a
#' sample of such a process rarely shows everything at once. The script therefore drew sample after sample (seeds 2013, 2014, ...) and kept the
#' first, seed 2195, in which every finding is clear: p < .02 where there is one, p > .25 where there is none, 3.5 to 4.5 % explained.
#' Effect sizes and these limits were themselves settled after trial runs, the last over 500 seeds, in which about one sample in twenty showed everything
#' at p < .05 (absent: p > .1). The p values are thus chosen, not found: they illustrate an analysis and are evidence for nothing.
#'
#' @format A data frame with 650 rows (65 patients, 10 rows each, missing values included) and 9 variables:
#' \describe{
#'   \item{patient}{patient, 1 to 65}
#'   \item{treatment}{factor: `IR` imagery rescripting (32), `IE` imaginal exposure (33)}
#'   \item{week}{weeks since the first measurement, 0 to 9}
#'   \item{task, goal, bond}{components of the alliance (WAI-SR, patient: means of 4 items, 1 to 7; higher is better); 14 missing each}
#'   \item{ptsd}{symptoms of PTSD (sum of 17 items, 0 to 51; higher is worse); 20 missing}
#'   \item{female}{1 for women (38), 0 for men}
#'   \item{age}{age in years (mean 45.2, SD 9.7)}
#' }
#'
#' @source `data-raw/hoffart2013.R` in the sources of the package, with a fixed seed.
#' @references Hoffart, A., Øktedalen, T., Langkaas, T. F., & Wampold, B. E. (2013). Alliance and outcome in varying imagery procedures for PTSD: A
#'   study of within-person processes. *Journal of Counseling Psychology*, 60(4), 471-482. \doi{10.1037/a0033604}
#'
#'   Raudenbush, S. W., & Bryk, A. S. (2002). *Hierarchical linear models* (2nd ed.). Sage.
#' @examples
#' # Is the within-person task effect stronger in imaginal exposure?
#' hlm(ptsd ~ week + within(lagged(task), detrend = TRUE) * treatment + (1 + week | patient),
#'   data = hoffart2013, time = week)
#'
#' # In the row of week 1 the lagged value is that of week 0, so `at = 1` is the level at the start.
#' hlm(ptsd ~ week * between(lagged(bond), detrend = TRUE, at = 1) + (1 + week | patient),
#'   data = hoffart2013, time = week)
"hoffart2013"
