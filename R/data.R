#' Alliance and anxiety, session by session: the IMPLEMENT trial (real data)
#'
#' Real data of 57 patients with generalized anxiety disorder, treated by 13 therapists with cognitive-behavioural therapy
#' over 15 sessions: the patient's view of the working alliance and anxiety at every session.
#'
#' @section Timing:
#' Anxiety (`bai`) was rated *before* a session and the alliance (`wai` and its parts) *after* it. A row therefore holds
#' the anxiety with which the patient came and the alliance with which the patient went. To ask whether a good session is followed
#' by less anxiety, use the alliance of the session before: `within(lagged(wai))` with `time = session`.
#'
#' @section Centring:
#' The published items are centred at their mean over patients at the first session, so there are no raw totals: 0 means "as
#' the average patient at the first session", `wai = 0.5` means half a scale point above it. Differences within and between
#' patients are those of the raw scale; levels cannot be compared with norms or cut-offs. The means at session 1 are
#' near, not at, zero since the items were centred one by one.
#'
#' @format A data frame with 855 rows (57 patients, 15 rows each, missing values included) and 8 variables:
#' \describe{
#'   \item{id}{patient, 1 to 57. Every patient has one number and one therapist: numbers are not used again by another therapist}
#'   \item{therapist}{therapist, 1 to 13, with 1 to 7 patients each; a number as in the source, not a measurement}
#'   \item{session}{session, 1 to 15}
#'   \item{wai}{working alliance after the session (Working Alliance Inventory, patient): mean of at least 6 of 9 items,
#'     centred; 139 missing}
#'   \item{task, goal, bond}{its three components, means of three items each, centred; 153, 154 and 193 missing}
#'   \item{bai}{anxiety before the session (Beck Anxiety Inventory): mean of three parcels of items, centred; 75 missing}
#' }
#' Alliance and anxiety are both present in 692 rows.
#' The same rows are a CSV file: `system.file("extdata", "implement.csv", package = "wbhlm")`.
#'
#' @source File `data/completedata.RDS` of the repository PsychometricsMZ/dsem_tutorial, published there under the MIT licence.
#' @references Flückiger, C., Forrer, L., Schnider, B., Bättig, I., Bodenmann, G., & Zinbarg, R. E. (2016).
#'   A single-blinded, randomized clinical trial of how to implement an evidence-based treatment for generalized anxiety
#'   disorder \[IMPLEMENT\]. *EBioMedicine*, 3, 163-171. \doi{10.1016/j.ebiom.2015.11.049}
#' @examples
#' # alliance and anxiety in the same row: anxiety before, alliance after the session
#' hlm(bai ~ session + wb(wai) + (1 | id), data = implement, time = session)
#'
#' # the alliance of the session before: in these data its effect is close to zero
#' hlm(bai ~ session + within(lagged(wai)) + between(wai) + (1 | id),
#'   data = implement, time = session
#' )
"implement"

#' SYNTHETIC data that return the figures of Manubens et al. (2023)
#'
#' Synthetic data, made by a script: nobody was asked, no patient is described. The raw data of the study are not
#' public. These rows are built so that the models of the article, fitted to them, return the figures that the article prints. They
#' serve to learn and to check the method; they say nothing about psychotherapy beyond what the article says.
#'
#' @section How near they are:
#' The estimates and standard errors agree within 0.005, t within 0.2, the likelihood-ratio tests within 5 %, the share of variance of
#' the patients (ICC) within one percentage point, means, SDs and correlation within 0.01, the
#' Wald intervals within 0.005. Degrees of freedom come as near as the rest lets them (mostly within two; the intercept of the
#' unconditional model has about 91 instead of 95). The file
#' `system.file("published", "manubens2023.json", package = "wbhlm")` lists every figure, as published and as these data
#' give it. Where the printed figures contradict each other, no data can return them all:
#'
#' * the within effect of the hybrid model is printed as -0.10, t = -3.4, with an interval of \[-0.15, -0.03\], which is centred at -0.09:
#'   estimate, standard error and t are met, the upper limit is not;
#' * the within effect controlling for time is printed with a standard error of 0.04 and an interval, \[-0.12, -0.01\], that a standard
#'   error of 0.028 gives: estimate, standard error and t are met, the interval is not;
#' * the interval of the session effect, \[-0.08, -0.04\], needs t = -4.7 and not the printed -4.51: both are met at the end of their
#'   tolerances, with the normal quantile;
#' * p = .64 of the product is met by the likelihood-ratio test; the t test gives .63;
#' * the OQ-45 totals by session (73.37, 65.83, 59.33, 53.74) fall by 6.5 points a session, the model's slope by 2.7 (-0.06 times 45 items):
#'   `oq` follows the model.
#'
#' @section What the figures imply:
#' Means, SDs and the correlation are taken over rows. A mean of 1.70 over rows beside a mean of 1.63 over patients requires that
#' those who left early had fewer symptoms, and a correlation of -.12 over rows beside a between effect of -0.23 that the
#' relation between patients comes mainly from those who left. Most of the synthetic leavers therefore have few symptoms and a
#' good alliance, some have many symptoms and a poor one. This is a property of the reconstruction, not a finding.
#'
#' @format A data frame with 331 rows (96 patients, one to four sessions each) and 8 variables:
#' \describe{
#'   \item{patient}{patient, 1 to 96}
#'   \item{therapist}{therapist, 1 to 8, with 5 to 27 patients each}
#'   \item{session}{session minus one: 0 is the first session, 3 the fourth}
#'   \item{ans}{alliance negotiation after the session (Alliance Negotiation Scale, mean of 12 items, 1 to 7; higher is better)}
#'   \item{oq}{symptoms after the session (OQ-45.2, mean of 45 items, 0 to 4; higher is worse)}
#'   \item{female}{1 for women (61.5 %), 0 for men}
#'   \item{age}{age in years (mean 36.44, SD 11.84)}
#'   \item{dropout}{1 for the 22 patients who left before the fourth session, 0 for the others; missed sessions have no row}
#' }
#'
#' @source `data-raw/manubens2023.R` in the sources of the package, with a fixed seed; `design/0002-manubens2023.md` tells how.
#' @references Manubens, R. T., Babl, A., Doran, J., Roussos, A., Alalu, N., & Gómez Penedo, J. M. (2023). Alliance
#'   negotiation as a predictor of early treatment outcome. *Journal of Clinical Psychology*. \doi{10.1002/jclp.23498}
#' @examples
#' # the hybrid model of the article: within- and between-patient effects of alliance negotiation
#' fit <- hlm(oq ~ wb(ans) + (1 | patient), data = manubens2023)
#' summary(fit)
#'
#' # does the between effect change the within effect?
#' hlm(oq ~ within(ans) * between(ans) + (1 + within(ans) | patient), data = manubens2023)
"manubens2023"

#' Ruminative thoughts in everyday life, four times a day (real data)
#'
#' Real data of 40 adults of the general population who answered questions about their thoughts four times a day for two weeks: an example
#' for daily diaries and experience sampling.
#'
#' @section Time:
#' Forms came at fixed hours: 9, 13, 17 and 21 o'clock. From beep to beep there are four hours, but from the last beep of a day to the first of the
#' next there are twelve. Two running times are given, and they answer two questions:
#'
#' * `hour` counts the hours since midnight before the first day. With `time = hour`, `lagged(x, n = 4)` is the value four hours before,
#'   on the same day; the first beep of a day has none. Nothing is carried across the night.
#' * `occasion` counts the beeps, 1 to 56. With `time = occasion`, `lagged(x)` is the value at the beep before, which for the
#'   first beep of a day is that of the evening before: the interval is then not the same in all rows.
#'
#' Both leave a lag missing where the form before is missing. `hour` is the planned hour; most forms were opened within an hour of it.
#'
#' @section What was changed:
#' The participants' codes in the source are built from initials and a date; here they are the numbers 1 to 40, in the order of the
#' source. The times of the forms and one item (perseverance) are left out, `occasion` and `hour` are derived as above. Answers are as
#' published. Forms that were never sent or never opened have no row (138 of 2,240 planned); 40 forms were opened and left empty
#' (all items missing).
#'
#' @format A data frame with 2,102 rows (40 persons, 42 to 56 rows each) and 11 variables:
#' \describe{
#'   \item{id}{person, 1 to 40}
#'   \item{day}{day, 1 to 14}
#'   \item{beep}{form of the day, 1 to 4}
#'   \item{occasion}{`4 * (day - 1) + beep`, 1 to 56}
#'   \item{hour}{planned hour since the start, `24 * (day - 1) + 9 + 4 * (beep - 1)`}
#'   \item{activity}{absorption in the current activity. All items are visual analogue scales from 0 to 100. Of this item and `att_control` the source
#'     does not give the wording}
#'   \item{negativity}{To what extent were your thoughts negative? (not at all to extremely)}
#'   \item{criticism}{To what extent were your thoughts self-critical? (not at all to extremely)}
#'   \item{brooding}{How much did you think about the causes and consequences of emotional experiences? (not at all to absolutely)}
#'   \item{replaying}{To what extent have you mentally replayed emotional experiences that you have had? (not at all to absolutely)}
#'   \item{att_control}{executive (attentional) control}
#' }
#' @source File `data/clean/0013_hoebeke_ts.tsv` of the openESM database (Siepe et al. 2026), from the authors' data at
#'   <https://osf.io/dngyk/>; licence CC BY 4.0: `system.file("extdata", "LICENSE-hoebeke2022.txt", package = "wbhlm")`.
#' @references Hoebeke, Y., Blanchard, M. A., Contreras, A., & Heeren, A. (2022). An experience sampling measure of the key features of
#'   rumination. *Clinical Neuropsychiatry*, 19(5), 288-297. \doi{10.36131/cnfioritieditore20220504}
#'
#'   Siepe, B. S., Haslbeck, J. M. B., Kloft, M., Büchner, A., Zhang, Y., Fried, E. I., & Heck, D. W. (2026). Introducing openESM: A database of openly
#'   available experience sampling datasets. *Behavior Research Methods*, 58(8), 240. \doi{10.3758/s13428-026-03112-y}
#' @examples
#' # does more brooding than usual go with more negative thoughts four hours later, on the same day?
#' hlm(negativity ~ beep + wb(lagged(brooding, n = 4)) + (1 | id), data = hoebeke2022, time = hour)
"hoebeke2022"
