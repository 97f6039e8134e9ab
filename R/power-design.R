# A study that is being planned, in the words of the field: arguments, their checks, the object. What the words mean in numbers is in
# R/power-design-variances.R, what the simulation core is told in R/power-design-core.R.

#' Describe a planned study
#'
#' Says in the words of the field what a study will look like and how large its effects are: so many patients, so many sessions, how alike a patient's
#' sessions are, how reliably x is measured, who drops out. [power_hlm()] simulates and analyses such studies, [find_design()] looks for the
#' smallest one that is large enough. `print()` says what is assumed and what follows from it.
#'
#' @section Units:
#' `sd_y` and `sd_x` are standard deviations over patients and sessions, as descriptive tables give them, apart from what time does (trends come on top).
#' Effects are in these units: `within = -0.1` means that y is 0.1 lower in a session in which the patient's x is one unit above his or her own usual level.
#' With the defaults `sd_y = 1` and `sd_x = 1` effects are therefore in SDs of y per SD of x. With `units = "level"` they are standardised at their own
#' level: `within` is the correlation of the deviations of x and y within patients, `between` that of patients' true means, `interaction` and `moderation`
#' SDs of y within patients per SD of x within patients and SD of the moderator; `slope_sd` likewise.
#'
#' Effects are those of the *true* x. When x is measured with error (`reliability`) or a person's mean is taken over few sessions, the analysis estimates
#' something smaller, and [power_hlm()] shows that as bias: that is the price of the unreliable measure.
#'
#' An effect that is 0 is in the analysis, and what [power_hlm()] shows for it is the type-I error. An effect that is `NULL` is left out of the analysis.
#'
#' @section Variances:
#' With `variances = "total"` (the default), `sd_y` and `icc` describe the outcome as it is, before any predictor is in the model (an unconditional model at
#' the first session); what the effects explain is taken off. With `variances = "residual"` they describe what is left after the predictors: `sd_y` the SD of
#' random intercepts and residuals together. A binary moderator is coded `-share` and `1 - share`, so that groups differ by one unit and the other effects
#' are averages over the two groups.
#'
#' @section Dropout:
#' In words: `"mcar 22% by session 4"`: 22 % have left before session 4, whoever they are, with the same chance at every session (and with this chance
#' after session 4, too). Several points: `"mcar 15% by session 4, 30% by session 10"`. `"mar 30% by session 10"`: those with a high outcome in their last
#' session leave more often; one SD doubles the odds, or what you say: `"mar 30% by session 10, odds 1.5 per SD"` (below 1: those with a low outcome leave).
#' A single number is the share that has left by the last session, a vector the chance to leave before each session, and a function gives that chance for a
#' session.
#'
#' @section Analysis:
#' What the data will be analysed with, as far as it does not follow from the rest: a list with any of
#' * `time`: session among the predictors (by default when `trend_x` or `trend_y` is given);
#' * `random_slope`: random slope of the within effect (by default when `slope_sd` is not 0); `random_trend`: of time (when `trend_y` has an `sd`);
#' * `therapist`: random intercept of therapists (when `n_therapists` is given); `random_slope_therapist`; `split_therapist`: split x at the therapists, too;
#' * `correlated = FALSE`: random effects without correlations, `(x || patient)`;
#' * `detrend = TRUE`: deviations from the patient's own line instead of the own mean (Curran and Bauer 2011);
#' * `lagged_outcome = TRUE`: the outcome of the session before as a predictor;
#' * `REML`: `TRUE` (default) or `FALSE`.
#'
#' @param n_patients Number of patients in the study (not per therapist); or a fit of [hlm()], a pilot study, from which the design is read. Arguments given
#'   beside a fit replace what was read.
#' @param n_sessions Number of sessions planned for every patient.
#' @param n_therapists Number of therapists, who have equally many patients (as near as possible); `NULL`: not in the model.
#' @param within,between Effects of x within and between patients.
#' @param interaction Does the within effect depend on the patient's usual level? Product of within and between; `NULL` (default): not in the model.
#' @param between_therapist Effect of the therapist's mean of x; by default the same as `between` where x differs between therapists.
#' @param moderator A characteristic of the patient: `"binary"` or `"binary 30%"` (share of the second group), `"normal"` (SD 1), or `NULL`.
#' @param moderator_effect,moderation,moderator_trend Effect of the moderator on y, on the within effect (cross-level interaction) and on the
#'   trend of y (a treatment that speeds up recovery); `NULL`: not in the model.
#' @param units `"raw"` or `"level"`, see below.
#' @param sd_y,icc,icc_therapist SD of the outcome, share of its variance between patients (of the same therapist), share between therapists.
#' @param variances `"total"` or `"residual"`, see below.
#' @param sd_x,icc_x,icc_x_therapist The same for x as it is measured, error included; or `sd_x = c(within = , between = )`, which says `icc_x`, too.
#' @param reliability Reliability of x in one session: share of its variance (as measured) that is no measurement error.
#' @param slope_sd,slope_cor SD of the within effect between patients and its correlation with the intercept; `slope_sd_therapist`: SD between therapists.
#' @param slope_sd_therapist See `slope_sd`.
#' @param trend_x,trend_y Change per session: a number, or `c(mean = , sd = )` when patients differ (for y also `cor`, the correlation with the intercept).
#' @param autocorrelation Correlation of deviations in neighbouring sessions: of x, a number; or `c(x = , y = )`, for y of the residuals.
#' @param lag Sessions by which x precedes y: 0 the same session, 1 the next one.
#' @param dropout See below.
#' @param missing Chance that a single session is missed.
#' @param analysis See below.
#' @param x The result.
#' @param ... Not used.
#' @return A list of class `hlm_study`: `arguments` (as given), `truth` (variances and effects of the true model in raw units), `analysis` (the model as a
#'   formula in `analysis$formula`), `effects` (data frame, one row per coefficient: `effect`, `term`, `label`, `truth`), `implied` (what follows: `rows`,
#'   `sessions` per patient, `retention` per session, `reliability` of person means and of deviations, `icc`, `explained`).
#' @section Errors: `hlm_error_data` for an argument out of range or not understood (it names the argument), and when effects explain more variance than
#'   there is.
#' @source Snijders and Bosker (1993), *Journal of Educational Statistics* 18, 237-259, and Raudenbush and Liu (2001), *Psychological Methods* 6, 387-401, on
#'   the design of multilevel and longitudinal studies; Lüdtke et al. (2008), *Psychological Methods* 13, 203-229, on the reliability of means.
#' @seealso [power_hlm()], [find_design()]
#' @export
#' @examples
#' hlm_design(
#'   n_patients = 96, n_sessions = 4, within = -0.10, between = -0.23, interaction = -0.03,
#'   sd_y = 0.47, icc = 0.83, sd_x = 0.70, dropout = "mcar 22% by session 4"
#' )
hlm_design <- function(n_patients, n_sessions, n_therapists = NULL, within = 0, between = 0, interaction = NULL, between_therapist = NULL,
                       moderator = NULL, moderator_effect = 0, moderation = NULL, moderator_trend = NULL, units = c("raw", "level"),
                       sd_y = 1, icc = 0.5, icc_therapist = 0, variances = c("total", "residual"), sd_x = 1, icc_x = 0.5,
                       icc_x_therapist = 0, reliability = 1, slope_sd = 0, slope_cor = 0, slope_sd_therapist = 0, trend_x = 0, trend_y = 0,
                       autocorrelation = 0, lag = 0, dropout = "none", missing = 0, analysis = list(), ...) {
  check_dots(...)
  given <- as.list(match.call())[-1L]
  given <- given[names(given) %in% names(formals(hlm_design))]
  given <- lapply(given, eval, envir = parent.frame())
  # wherever it lands: hlm_design(fit, n_patients = 200)
  pilot <- which(vapply(given, inherits, NA, "hlm"))
  if (length(pilot)) return(design_of_fit(given[[pilot[[1L]]]], given[-pilot[[1L]]]))
  make_study(given)
}

# From a list of arguments, so that a design can be made again with some of them changed.
make_study <- function(given) {
  arguments <- as.list(formals(hlm_design))
  arguments <- arguments[setdiff(names(arguments), "...")]
  for (name in c("n_patients", "n_sessions")) {
    if (is.null(given[[name]])) abort_hlm("data", "{.arg {name}} is missing: the number of {sub('n_', '', name)} of the study.")
  }
  arguments <- lapply(arguments, function(value) if (is.call(value)) eval(value) else value)
  arguments[names(given)] <- given
  arguments <- check_study_arguments(arguments)
  study <- list(arguments = given, truth = study_truth(arguments))
  study$analysis <- study_analysis(arguments)
  study$effects <- study_effects(study$truth, study$analysis)
  # correlations that contradict each other are found here, not when a thousand studies are under way
  true_random(study$truth)
  study$implied <- study_implied(study)
  structure(study, class = "hlm_study")
}

#' @rdname hlm_design
#' @param object A design; `update(design, n_patients = 120)` makes it again with other arguments.
#' @export
update.hlm_study <- function(object, ...) {
  changes <- list(...)
  unknown <- setdiff(names(changes) %||% rep("", length(changes)), setdiff(names(formals(hlm_design)), "..."))
  if (length(unknown)) abort_hlm("data", "{.val {unknown}} {?is/are} no argument{?s} of {.fn hlm_design}: write {.code update(design, n_patients = 120)}.")
  changed_study(object, changes)
}

# The design made again with some of its arguments changed.
changed_study <- function(study, changes) {
  arguments <- study$arguments
  arguments[names(changes)] <- changes
  make_study(arguments)
}

# Checks ---------------------------------------------------------------------------------------------------------------------------

check_study_arguments <- function(a) {
  a$n_patients <- check_whole(a$n_patients, "n_patients", 2)
  a$n_sessions <- check_whole(a$n_sessions, "n_sessions", 1)
  if (identical(a$n_therapists, 0)) a["n_therapists"] <- list(NULL)
  if (!is.null(a$n_therapists)) {
    a$n_therapists <- check_whole(a$n_therapists, "n_therapists", 2)
    if (a$n_therapists > a$n_patients) {
      abort_hlm("data", "{.arg n_therapists} = {a$n_therapists}, but there are only {a$n_patients} patients: some therapists would have none.")
    }
  }
  a$lag <- check_whole(a$lag, "lag", 0)
  if (a$lag >= a$n_sessions) abort_hlm("data", "{.arg lag} = {a$lag} needs more sessions than {.arg n_sessions} = {a$n_sessions}.")
  a$units <- check_choice(a$units, c("raw", "level"), "units")
  a$variances <- check_choice(a$variances, c("total", "residual"), "variances")
  for (name in c("within", "between", "interaction", "between_therapist", "moderator_effect", "moderation", "moderator_trend")) {
    if (!is.null(a[[name]]) && !is_number(a[[name]])) {
      abort_hlm("data", "{.arg {name}} must be one number, the size of the effect; 0 for no effect, {.code NULL} to leave it out of the analysis.")
    }
  }
  if (!is_number(a$sd_y) || a$sd_y <= 0) abort_hlm("data", "{.arg sd_y} must be one positive number.")
  for (name in c("icc", "icc_therapist", "icc_x_therapist", "missing")) check_share(a[[name]], name)
  for (name in c("slope_sd", "slope_sd_therapist")) {
    if (!is_number(a[[name]]) || a[[name]] < 0) abort_hlm("data", "{.arg {name}} must be one number of at least 0: a standard deviation.")
  }
  if (!is_number(a$slope_cor) || abs(a$slope_cor) >= 1) abort_hlm("data", "{.arg slope_cor} must be a correlation: a number between -1 and 1.")
  if (!is_number(a$reliability) || a$reliability <= 0 || a$reliability > 1) {
    abort_hlm("data", "{.arg reliability} must be one number above 0 and up to 1: the share of the variance of x that is no measurement error.")
  }
  a$trend_x <- check_named_numbers(a$trend_x, c("mean", "sd"), "trend_x")
  a$trend_y <- check_named_numbers(a$trend_y, c("mean", "sd", "cor"), "trend_y")
  a$autocorrelation <- check_named_numbers(a$autocorrelation, c("x", "y"), "autocorrelation")
  if (any(abs(a$autocorrelation) >= 1)) abort_hlm("data", "{.arg autocorrelation} must lie between -1 and 1.")
  if (a$trend_x[["sd"]] < 0 || a$trend_y[["sd"]] < 0) abort_hlm("data", "The SD of a trend ({.arg trend_x}, {.arg trend_y}) cannot be negative.")
  if (abs(a$trend_y[["cor"]]) >= 1) abort_hlm("data", "{.arg trend_y}: {.field cor} is a correlation, between -1 and 1.")
  a$moderator <- parse_moderator(a$moderator)
  a$dropout <- parse_dropout(a$dropout)
  check_needs(a)
  a
}

check_whole <- function(x, name, least) {
  if (!is_number(x) || x != round(x) || x < least || x > 1e7) {
    shown <- if (is.numeric(x)) paste(x, collapse = ", ") else class(x)[[1L]]
    abort_hlm("data", "{.arg {name}} must be a whole number of at least {least}, not {.val {shown}}.")
  }
  as.integer(x)
}

check_share <- function(x, name) {
  if (!is_number(x) || x < 0 || x >= 1) abort_hlm("data", "{.arg {name}} must be a share: one number from 0 to below 1 (22 % is 0.22).")
}

# 0.1, c(mean = 0.1, sd = 0.05): the first name is meant where there is none.
check_named_numbers <- function(x, names, argument) {
  value <- stats::setNames(numeric(length(names)), names)
  if (is.list(x)) x <- unlist(x)
  known <- names(x) %||% names[seq_along(x)]
  if (!is.numeric(x) || !length(x) || anyNA(x) || any(!is.finite(x)) || length(x) > 1L && is.null(names(x)) || !all(known %in% names)) {
    example <- paste0(names, " = ", collapse = ", ")
    abort_hlm("data", "{.arg {argument}} must be one number, or several with the names {.code c({example})}.")
  }
  value[known] <- x
  value
}

# What an argument says only makes sense beside another one.
check_needs <- function(a) {
  if (is.null(a$n_therapists)) {
    given <- c(
      if (a$icc_therapist > 0) "icc_therapist", if (a$icc_x_therapist > 0) "icc_x_therapist", if (a$slope_sd_therapist > 0) "slope_sd_therapist",
      if (!is.null(a$between_therapist)) "between_therapist"
    )
    if (length(given)) abort_hlm("data", "{.arg {given}} {?needs/need} therapists: give {.arg n_therapists}.")
  } else if (!is.null(a$between_therapist) && a$icc_x_therapist == 0) {
    abort_hlm("data", "{.arg between_therapist} needs therapists who differ in x: give {.arg icc_x_therapist}.")
  }
  if (is.null(a$moderator)) {
    given <- c(if (!is.null(a$moderation)) "moderation", if (!is.null(a$moderator_trend)) "moderator_trend", if (!a$moderator_effect %in% 0) "moderator_effect")
    if (length(given)) abort_hlm("data", "{.arg {given}} {?needs/need} a moderator: {.code moderator = \"binary 50%\"} or {.code \"normal\"}.")
  }
  if (a$slope_sd == 0 && a$slope_cor != 0) abort_hlm("data", "{.arg slope_cor} needs slopes that differ: give {.arg slope_sd}.")
  if (is.null(a$within) && (!is.null(a$interaction) || !is.null(a$moderation) || a$slope_sd > 0)) {
    abort_hlm("data", "{.arg interaction}, {.arg moderation} and {.arg slope_sd} are about the within effect, but {.code within = NULL} leaves it out.")
  }
  if (is.null(a$between) && !is.null(a$interaction)) abort_hlm("data", "{.arg interaction} needs the between effect in the model: give {.arg between}.")
  if (a$n_sessions == 1L && !is.null(a$within)) {
    abort_hlm("data", "With {.code n_sessions = 1} nothing varies within patients. Give at least 2 sessions.")
  }
}

# "binary", "binary 30%", "normal"; NULL: none.
parse_moderator <- function(moderator) {
  none <- list(kind = "none", share = 0, low = 0, high = 0, variance = 0)
  if (is.null(moderator) || identical(moderator, "none")) return(NULL)
  if (is.list(moderator) && all(names(none) %in% names(moderator))) return(moderator)
  words <- if (is.character(moderator) && length(moderator) == 1L && !is.na(moderator)) tolower(trimws(moderator)) else ""
  if (words == "normal") return(utils::modifyList(none, list(kind = "normal", variance = 1)))
  found <- regmatches(words, regexec("^binary(?:\\s+([0-9]*[.]?[0-9]+)\\s*(%)?)?$", words))[[1L]]
  share <- if (!length(found)) NA else if (!nzchar(found[[2L]])) 0.5 else as.double(found[[2L]]) / if (nzchar(found[[3L]])) 100 else 1
  if (is.na(share) || share <= 0 || share >= 1) {
    abort_hlm("data", "{.arg moderator} must be {.val binary}, {.val binary 30%} (share of the second group) or {.val normal}.")
  }
  list(kind = "binary", share = share, low = -share, high = 1 - share, variance = share * (1 - share))
}
