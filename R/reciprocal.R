# Lagged and reciprocal models: does x come before y, or y before x?

#' Lagged and reciprocal effects, session by session
#'
#' Fits both directions of a relation between two variables measured at every session: `x` of an earlier session on `y` (direction `xy`), and `y`
#' on `x` (direction `yx`), with the same split into within-person and between-person parts on both sides, and compares the two.
#'
#' With the defaults the two models are, in the formulas of [hlm()],
#'
#' * `xy`: `y ~ lagged(y) + within(lagged(x)) + between(lagged(x)) + (1 + within(lagged(x)) | id)`
#' * `yx`: `x ~ lagged(x) + within(lagged(y)) + between(lagged(y)) + (1 + within(lagged(y)) | id)`
#'
#' as in Falkenström, Granström and Holmqvist (2013). Lags go by `time`: the value of a missing session is missing, and no session is skipped. Each model
#' has the rows that are complete for it, so the numbers of rows may differ.
#'
#' @section Which lag, and what is controlled:
#' `lags` says how many sessions the predictor lies before the outcome. If symptoms are rated before and alliance after each session, the alliance of
#' session t precedes the symptoms of session t + 1, while the symptoms of session t precede the alliance of the same session t:
#' `lags = c(xy = 1, yx = 0)` for `x` the alliance. The order of measurement is then y(t-1), x(t-1), y(t), x(t).
#'
#' Controlled is the last value of the outcome that was measured no later than the predictor: of the session of the predictor when its lag is 1 or
#' more, of the session before when its lag is 0. In the example, y(t) is explained by x(t-1) given y(t-1), and x(t) by y(t) given x(t-1). (For a lag
#' of 2 it is the outcome two sessions before; the value between would be part of the effect.)
#' `autoregression = "raw"` enters it as it is (`lagged(y)`), `"within"` as the deviation from the person's own mean (`within(lagged(y))`), `"none"` leaves it
#' out. Neither form is free of bias with few sessions: in the raw form the person's own level, which is part of it, makes the coefficient too
#' large (and takes variance from the random intercept); in the centred form it is too small (Nickell 1981; Hamaker and Grasman 2015). The printed result
#' says by about how much ([nickell_bias()]; not with `residual`: correlated residuals change the bias, by how much is not known).
#'
#' @section The outcome:
#' * `"level"`: y(t). With the autoregression this is analysis of covariance: the effect on y(t) among sessions that start from the same y(t-1).
#' * `"change"`: y(t) - y(t-1). Without the autoregression (its default is then `"none"`) this fixes the coefficient of y(t-1) at 1. With
#'   the raw autoregression the other coefficients are those of `"level"`, only that of y(t-1) is smaller by 1.
#' * `"residualised"`: what is left of y(t) after one regression on y(t-1), by ordinary least squares over all pairs of sessions of all persons. The
#'   classical two-step residual. Since the first step gives y(t-1) also what it shares with the predictor, the effect is
#'   too small when the two are correlated (Maxwell, Delaney and Manheimer 1985): it is offered to reproduce published analyses, `"level"` does the
#'   same in one
#'   step without this fault.
#'
#' The session that is subtracted or regressed on is the one of the autoregression, see above.
#'
#' @section Trends:
#' `detrend` names the variables from which each person's own straight line over time is removed (Curran and Bauer 2011); a number is the degree of a
#' polynomial. A detrended variable is detrended wherever it stands. As predictor: `within(lagged(x), detrend = TRUE)`, the deviation from the person's
#' line, and `between(lagged(x), detrend = TRUE)`, the level of the line at time `at` of the predictor's own session (by default the first session of
#' the data),
#' fitted to the analysed rows as everywhere in [hlm()]. As outcome (and its earlier value): the variable minus the person's own least-squares line
#' plus the person's own mean,
#' over all rows of the data (after `subset`) with a value and a time, so that sessions which no row of the model can use, as the first one, still
#' inform the line;
#' persons with too few values for a line are left out with a warning. To control for time instead, put it among the covariates:
#' `covariates = session`. Whether a trend should be removed is a question of theory (Wang and Maxwell 2015; Falkenström et al. 2017): report both.
#'
#' @section Comparing the directions:
#' Effects in the units of the data cannot be compared. The difference test compares the effects in within-person standard deviations (each person's
#' coefficient times the person's own SD of the predictor over that of the outcome, averaged over persons; Schuurman et al. 2016), as they are and in
#' absolute size. Both models are fitted to the same persons, so their estimates are correlated. With `test = "scores"` the standard error comes from
#' what each cluster (person, or therapist where these have random effects) contributes to the two estimates, stacked as in a sandwich covariance of two
#' estimating equations (Weesie 1999; White 1982) and corrected for the cluster's own pull on the fit, as a jackknife that leaves out one cluster is.
#' Counted are the coefficients, each person's share in the mean (the person's slope and SDs), and the variances of the random effects, on which the
#' effects depend when a lagged outcome is in the model. So the test holds when effects differ between persons and the model has no random slope, and
#' does not use the standard errors in the table of effects, nor `vcov`: those take the SDs as given and, without `vcov`, the model as true. With
#' `test = "bootstrap"` the clusters are drawn with all their rows, and both models fitted to the same draw: the same as a loop over [reciprocal()] with drawn
#' persons.
#'
#' The two agree where the estimates are nearly linear in the contributions. Where they differ widely, neither can be relied on, and the model is what to
#' change: (a) with the raw lagged outcome and a variance of random effects near zero, the random intercept and the autoregression take turns, from draw to
#' draw, in carrying the persons' levels, and the cross-effects move with them; (b) when some persons have only two or three usable sessions, or hardly
#' vary, the ratio of their SDs can be anything, and the mean of the ratios rests on few persons; leave these persons out by `subset`. The scores take the
#' parameters of a residual structure as given; the bootstrap estimates them anew in every draw.
#' In simulations with 60 persons of 10 sessions the scores' standard errors were 6 to 8 % too small (tests at 5 % rejected 7 %).
#' With fewer than about 20 clusters neither is reliable.
#'
#' @section Random slopes:
#' With a normal distribution of slopes around b with standard deviation sd, the share of persons whose effect has the other sign is
#' pnorm(-|b|/sd). Its interval comes from the delta method on the normal-quantile scale, with the covariance of the estimates of
#' b (fixed effects and variances are asymptotically independent). With moderators the share is the mean over persons of the share at their own
#' moderator values. Beside
#' it stands the count of persons whose own (empirical-Bayes) slope has the other sign; shrinkage makes this count smaller than the share says.
#'
#' @param data A data frame, one row per person and session.
#' @param x,y The two variables, as bare names or strings. `x` is usually the process (alliance), `y` the outcome (symptoms).
#'   In the methods `x` is the result.
#' @param id,time The person and the session, as in [hlm()]; `id = therapist:patient` when patients are numbered anew by every therapist.
#' @param moderators Variables that may change the within-person effects: names (`c(treatment, age)`), or a one-sided formula of the grammar of [hlm()].
#'   Each is added with its main effect and its product with the within part of the predictor. A list `list(xy = , yx = )` has one for each direction.
#' @param covariates Further predictors, given in the same ways.
#' @param detrend `"none"`, `"x"`, `"y"` or `"both"`; `TRUE` for both; a number for the degree of both; or `c(x = 1, y = 2)`.
#' @param random `"slope"` (default): a random intercept and a random slope of the within effect for each person (and, with `level`, a random intercept for
#'   each unit of the level); `"uncorrelated"`: the same without their correlation; `"intercept"`; or a one-sided formula such as `~ 1 + slope |
#'   therapist/id`, where `slope` stands for
#'   the within part of the predictor. A list as above is possible.
#' @param residual Structure of the residuals, as in [hlm()]: `"ar1"`, `car1(day)`, `~ ar1 + hetero(phase)`. A list `list(xy = , yx = )` has one for each
#'   direction.
#' @param lags Sessions from predictor to outcome, `c(xy = 1, yx = 1)`; one number for both.
#' @param outcome `"level"`, `"change"` or `"residualised"`.
#' @param autoregression `"raw"`, `"within"` or `"none"` (`TRUE` is `"raw"`, `FALSE` is `"none"`); by default `"raw"`, and `"none"` when `outcome` is not
#'   `"level"`.
#' @param concurrent Also the value of the same session, within persons? Its between part would be nearly that of the lagged value and is left out. In a
#'   direction of lag 0 it is the value of the session before that is added. A predictor measured after its outcome is not (a message says so).
#' @param level A higher level between which and persons the between part is split, such as `"therapist"`; see [hlm()].
#' @param at Time at which the level of a trend is taken.
#' @param labels Words for `x` and `y` in printed output and plots, `c(x = "alliance", y = "anxiety")`.
#' @param subset A condition evaluated in `data`; other rows are treated as if they had not been given.
#' @param REML,control As in [hlm()].
#' @param ddf,vcov,cluster Degrees of freedom and covariance matrix of the tests of the coefficients (not of the comparison of the directions), see
#'   [hlm-ddf]. A matrix cannot serve two models: give a function or a type such as `"CR2"`; `cluster` by name.
#' @param conf.level Confidence level.
#' @param test,nsim,seed How the standardised effects are compared: `"scores"` or `"bootstrap"`, with number of draws and seed.
#'   See "Comparing the directions" for when they differ.
#' @param ... Further arguments of [hlm()], such as `weights`.
#' @return An object of class `hlm_reciprocal`, a list:
#'   * `fits`: the fits `xy` and `yx`, of class `hlm`;
#'   * `effects`: a data frame with one row per coefficient: `direction`, `outcome`, `role` (`"autoregression"`, `"within"`, `"between"`, `"concurrent"`,
#'     `"moderation"`, `"moderator"`, `"covariate"`), `term`, `estimate`, `std.error`, `df`, `statistic`, `p.value`, `conf.low`, `conf.high`, and
#'     standardised within persons
#'     `std.estimate`, `std.error.std`, `std.low`, `std.high`;
#'   * `slopes`: one row per direction with a random slope: the average effect, the SD with its interval, the expected share of persons with the
#'     other sign and its
#'     interval, the number of persons and how many of them have the other sign;
#'   * `difference`: the tests; `correlation`: of the two standardised estimates; `units`: the grouping factor whose units count as independent;
#'     `nickell`: see [nickell_bias()], per direction; `settings`.
#'
#'   Methods: `print()`, `summary()` (all coefficients and both models), `plot()` (path diagram), `as.data.frame()` and `tidy()` (the effects).
#' @section Errors: `hlm_error_data` for variables that are not there or not numbers, `hlm_error_formula` for arguments that are not understood; those of
#'   [hlm()].
#' @source Falkenström, Granström and Holmqvist (2013), *Journal of Counseling Psychology* 60, 317-328; Curran and Bauer (2011), *Annual Review of
#'   Psychology* 62, 583-619; Falkenström, Finkel, Sandell, Rubel and Holmqvist (2017), *Journal of Consulting and Clinical Psychology* 85, 537-549;
#'   Hamaker and
#'   Grasman (2015), *Frontiers in Psychology* 5, 1492; Maxwell, Delaney and Manheimer (1985), *Journal of Educational Statistics* 10, 197-209;
#'   Nickell (1981),
#'   *Econometrica* 49, 1417-1426; Schuurman, Ferrer, de Boer-Sonnenschein and Hamaker (2016), *Psychological Methods* 21, 206-221; Weesie (1999), *Stata
#'   Technical Bulletin* 52, 34-47; White (1982), *Econometrica* 50, 1-25.
#' @seealso [nickell_bias()]
#' @export
#' @examples
#' # real data: anxiety is rated before a session, the alliance after it
#' both <- reciprocal(implement,
#'   x = wai, y = bai, id = id, time = session, covariates = session,
#'   lags = c(xy = 1, yx = 0), labels = c(x = "alliance", y = "anxiety")
#' )
#' both
#' summary(both$fits$xy)
reciprocal <- function(data, x, y, id, time, moderators = NULL, covariates = NULL, detrend = c("none", "x", "y", "both"), random = "slope",
                       residual = NULL, lags = c(xy = 1, yx = 1), outcome = c("level", "change", "residualised"), autoregression = NULL,
                       concurrent = FALSE, level = NULL, at = NULL, labels = NULL, subset = NULL, REML = TRUE, control = hlm_control(),
                       ddf = NULL, vcov = NULL, cluster = NULL, conf.level = 0.95, test = c("scores", "bootstrap"), nsim = 500, seed = NULL, ...) {
  caller <- parent.frame()
  call <- match.call()
  data_name <- substitute(data)
  check_reciprocal_data(data)
  dots <- as.list(substitute(list(...)))[-1L]
  check_passed_on(dots)
  names <- names(data)
  given <- list(
    x = capture_series(if (!missing(x)) substitute(x), names, caller, "x"), y = capture_series(if (!missing(y)) substitute(y), names, caller, "y"),
    id = if (!missing(id)) capture_name(substitute(id), names, caller, "id"), time = if (!missing(time)) capture_time(substitute(time), names, caller),
    moderators = capture_terms(substitute(moderators), names, caller, "moderators"),
    covariates = capture_terms(substitute(covariates), names, caller, "covariates"),
    random = capture_random(substitute(random), caller), level = if (!is.null(substitute(level))) level_names(substitute(level), level, names)
  )
  settings <- c(given, list(
    detrend = parse_detrend(detrend), lags = parse_lags(lags), outcome = parse_outcome(outcome), concurrent = concurrent, at = at,
    residual = capture_residuals(substitute(residual), if (!is.null(given$time)) as.character(given$time), caller),
    conf.level = conf.level, test = check_choice(test, c("scores", "bootstrap"), "test"), nsim = nsim, seed = seed
  ))
  settings$autoregression <- parse_autoregression(autoregression, settings$outcome)
  settings$labels <- parse_labels(labels, settings)
  check_reciprocal(settings)
  data <- reciprocal_rows(data, eval_input(substitute(subset), "subset", data, caller, caller))
  settings$step <- reciprocal_step(data, settings, caller)
  if (is.null(at)) settings$at <- first_time(data, settings$time)
  passed <- list(REML = REML, control = control, dots = dots, data_name = data_name, caller = caller)
  cluster <- reciprocal_cluster(substitute(cluster), names, caller)
  fits <- list(xy = fit_direction("xy", data, settings, passed), yx = fit_direction("yx", data, settings, passed))
  new_reciprocal(call, fits, settings, list(ddf = ddf, vcov = vcov, cluster = cluster))
}

new_reciprocal <- function(call, fits, settings, tests) {
  inferences <- lapply(fits, function(made) {
    cluster <- if (!is.null(tests$cluster)) cluster_values(tests$cluster, made)
    resolve_inference(made$fit, tests$ddf, tests$vcov, cluster)
  })
  effects <- do.call(rbind, unname(Map(direction_effects, fits, inferences, MoreArgs = list(settings = settings))))
  row.names(effects) <- NULL
  compared <- compare_directions(fits, effects, settings)
  structure(
    list(
      call = call, fits = lapply(fits, `[[`, "fit"), effects = effects,
      slopes = do.call(rbind, unname(Map(slope_signs, fits, inferences, MoreArgs = list(settings = settings)))),
      difference = compared$table, correlation = compared$correlation, units = coarsest_unit(fits)$name, note = compared$note,
      nickell = lapply(fits, direction_nickell), inference = unique(vapply(inferences, `[[`, "", "label")), settings = settings
    ),
    class = "hlm_reciprocal"
  )
}
