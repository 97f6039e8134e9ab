# One model, split in every usual way: which conclusions about a variable depend on how its within and between parts were made?

#' Does the conclusion depend on how a variable was split?
#'
#' Fits a model again under every usual way of splitting its time-varying predictor into within and between persons (person means, each person's own
#' trend taken off the predictor, the outcome or both, time as a covariate, the contextual form, the session before, corrected for
#' unreliable person means, not split at all) and shows the effects side by side, with a sentence on what holds throughout. The fits take a
#' few milliseconds each.
#'
#' @section Variants:
#' | name | what is fitted |
#' |---|---|
#' | `fitted` | the model as it is; always there |
#' | `mean`, `mean_time` | deviation from the person's mean, and the mean; without and with time as a covariate |
#' | `detrend_x`, `detrend_x_time` | deviation from the person's own straight line, and the line's level (Curran & Bauer 2011); without and with time |
#' | `detrend_y`, `detrend_xy` | the person's own line taken off the outcome, or off both; without time as a covariate |
#' | `contextual` | `x` itself and the person's mean; the between effect shown is the sum of the two coefficients, the contextual effect the second |
#' | `available`, `analysis` | persons' means over all rows with `x`, or over the analysed rows |
#' | `lagged`, `concurrent` | `x` of the session before, or of the same session |
#' | `corrected` | the between effect corrected by [between_correction()] |
#' | `rows`, `persons` | grand means over rows, or over persons; shown only when something changes |
#' | `raw` | `x` not split: a blend of the two effects, shown as a warning and left out of the verdict |
#'
#' What an entry does not name is as in the fit. An entry that comes to the fit itself is not fitted again. "With time" adds the time variable as a straight
#' line; "without" takes every term with the time variable out, interactions and random slopes included. Random slopes of the
#' within part are slopes of whatever stands in its place. Variants of your own are lists of settings, see the examples: `x` (`"mean"`, `"detrend"`,
#' `"contextual"`, `"raw"`), `y` (`"observed"`, `"detrend"`), `time` (`TRUE`, `FALSE`), `lag` (sessions; 0 for the same), `means`
#' (`"analysis"`, `"available"`), `weighting` (`"persons"`, `"rows"`), `corrected` (`TRUE`, `FALSE`).
#'
#' Which is right depends on what a trend in `x` means (Wang & Maxwell 2015): if it is part of the process (the alliance grows and so the symptoms
#' fall), taking it off removes the effect with it; if it is a coincidence, leaving it in biases the effect. Falkenstroem et al. (2017) advise to show
#' both.
#'
#' @section The detrended outcome:
#' Each person's own least-squares line over time is taken off the outcome (less its offset), over the rows of that very model, and the level put back: the
#' person's mean where `x` is split by means, the line's value at time `at` where `x` is detrended. No average trend and no
#' differences in trend are left, so that a random slope of time ends at a variance of zero (the status "boundary" is then expected). The model
#' does not know that a slope was estimated for every person: with T sessions, standard errors of within effects are too small by a factor of about
#' `sqrt((T - 2) / (T - 1))`. With only the outcome detrended the within effect shrinks: for equal numbers of sessions and a random intercept it is that
#' of the detrended `x` times the share of the within variance of `x` that is no trend.
#'
#' @section Rows:
#' All variants start from the rows kept with the fit (after `subset`, before rows with missing values were left out), so that a lag finds the session
#' before even where that session was not analysed. Lags lose first sessions and gaps, trends lose persons with too few sessions; the table shows the
#' rows of each model.
#'
#' @section Interactions:
#' The effects shown are the coefficients of the within and the between part themselves. When the model has interactions with them, these are the effects
#' where the other variables are 0 or at their reference category.
#'
#' @param fit A fitted model of class `hlm` with `wb()`, `within()`, `between()` or `cx()` terms.
#' @param variable The split variables to vary, as bare names or strings, `c(a, b)` for several; by default all. They are varied together.
#' @param variants Names of variants (see below), or a named list of settings of your own; `NULL` for all.
#' @param time The variable that holds the session or time, when the fit has none.
#' @param data The data frame that the model was fitted to; needed only when `time` is a variable that the fit does not keep.
#' @param ddf,vcov,cluster Degrees of freedom and covariance matrix of the tests, see [hlm-ddf]; `vcov` as a function or as `"CR0"` to `"CR3"`, `cluster` as
#'   the name of a variable of the model. The reliability-corrected effects keep the standard errors of [between_correction()].
#' @param level Confidence level; an effect counts as significant when p is below 1 minus `level`.
#' @param degree Degree of the trends; by default that of the fit, else 1.
#' @param at The time at which the level of a trend is taken; by default as in the fit, else the first time observed.
#' @param standardize Standardised effects: the within effect as in [standardize()] (within-person SDs), the between effect in SDs between persons.
#' @param fits Keep the fitted models?
#' @param x The result.
#' @param digits Significant digits.
#' @param row.names,optional Not used.
#' @param ... Not used.
#' @return An object of class `hlm_disaggregation`, a list: `effects`, a data frame with one row per variable, specification and effect (`variable`,
#'   `variant`, `label`, `effect` (`"within"`, `"between"`, for higher levels `"between therapist"`, `"contextual"` or `"not split"`), `estimate`,
#'   `std.error`, `df`, `statistic`, `p.value`, `conf.low`, `conf.high`; missing where there is no such estimate);
#'   `specifications`, a data frame with one row per model (`variant`, `label`, the settings, `rows`, `persons`, `status`: `"converged"`,
#'   `"boundary"`, `"failed"` or `"not possible"`, `reason`, `same_as`: an earlier specification of which this is another form, `seconds`, `formula`);
#'   `verdict`, a data frame (`variable`, `effect`, `specifications`, `negative`, `positive`, `significant`, `lowest`, `highest`, `text`); `fits` (with
#'   `fits = TRUE`), a list of models by variant; `seconds`, and what was asked for. [as.data.frame()] and `tidy()` give the effects joined to the
#'   specifications.
#' @section Errors: `hlm_error_data` when the model splits no variable or not `variable`, when `data` are not those of the fit, and when a variant needs
#'   the time and neither the fit nor `time` names it; `hlm_error_design` for variants that are not known. A variant that cannot be fitted is
#'   no error: its row says why.
#' @source Curran and Bauer (2011), *Annual Review of Psychology* 62, 583-619; Wang and Maxwell (2015), *Psychological Methods* 20, 63-83; Falkenstroem,
#'   Finkel, Sandell, Rubel and Holmqvist (2017), *Journal of Consulting and Clinical Psychology* 85, 537-549; Simonsohn, Simmons and Nelson
#'   (2020), *Nature Human Behaviour* 4, 1208-1214, for the specification curve.
#' @seealso [hlm()], [contextual()], [between_correction()], [plot.hlm_disaggregation()]
#' @examples
#' # real data: anxiety and the working alliance in 57 patients
#' fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session)
#' compare_disaggregation(fit)
#'
#' # variants of one's own
#' compare_disaggregation(fit, variants = list(
#'   "Two sessions before" = list(lag = 2), "Trends and time" = list(x = "detrend", time = TRUE)
#' ))
#' @export
compare_disaggregation <- function(fit, variable = NULL, variants = NULL, time = NULL, data = NULL, ddf = NULL, vcov = NULL,
                                   cluster = NULL, level = 0.95, degree = NULL, at = NULL, standardize = FALSE, fits = FALSE, ...) {
  caller <- parent.frame()
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_level(level)
  check_flag(standardize, "standardize")
  check_flag(fits, "fits")
  check_comparison_numbers(degree, at)
  check_comparison_vcov(vcov)
  asked <- list(ddf = ddf, vcov = vcov, cluster = cluster_argument(fit, substitute(cluster), caller), level = level, standardize = standardize)
  check_comparison_cluster(asked$cluster)
  focal <- focal_variables(fit, focal_names(fit, substitute(variable), caller))
  check_data(data)
  clock <- capture_time(substitute(time), c(names(fit$data), names(data)), caller) %||% fit$time
  problem <- comparison_problem(fit, focal, clock, data, degree, at)
  specifications <- chosen_specifications(variants, problem$base, problem$step)
  check_clock(problem, specifications)
  made <- lapply_progress(specifications, function(specification) one_specification(problem, specification, asked, fits), "Ways of splitting")
  collect_comparison(problem, specifications, made, asked, fits)
}

check_comparison_numbers <- function(degree, at) {
  if (!is.null(degree)) check_count(degree, "degree", 5)
  if (!is.null(at) && !is_number(at)) abort_hlm("data", "{.arg at} must be one number, a time.")
}

# A fit that is detrended itself settles what detrending means; another degree or time would be a model without a name here.
check_own_trend <- function(focal, degree, at) {
  if (focal$degree == 0L) return(invisible())
  if (!is.null(degree) && degree != focal$degree || !is.null(at) && at != focal$at) {
    abort_hlm("data", c(
      "The fit itself is detrended, with {.code detrend = {focal$degree}} and {.code at = {focal$at}}; the variants take these.",
      i = "Leave {.arg degree} and {.arg at} out, or fit the model anew with the ones you want."
    ))
  }
}

check_comparison_vcov <- function(vcov) {
  if (is.null(vcov) || is.function(vcov) || is.character(vcov)) return(invisible())
  abort_hlm("data", c(
    "{.arg vcov} must be a function of the fit or {.val CR0} to {.val CR3} here: one matrix cannot belong to several models.",
    i = "For example {.code vcov = \"CR2\"}."
  ))
}

check_comparison_cluster <- function(cluster) {
  if (is.null(cluster) || is.character(cluster) && length(cluster) == 1L || inherits(cluster, "formula")) return(invisible())
  abort_hlm("data", c(
    "{.arg cluster} must be the name of a variable of the model here: the models do not all have the same rows.",
    i = "For example {.code cluster = \"therapist\"}."
  ))
}

# Labels of the split variables that `variable` names; all for NULL.
focal_names <- function(fit, expr, caller) {
  keys <- names(fit$spec$sources)
  if (!length(keys)) {
    abort_hlm("data", c(
      "The model splits no variable into within and between.", i = "Use {.code wb(x)} in the formula of {.fn hlm}."
    ))
  }
  values <- vapply(fit$spec$sources, `[[`, "", "value")
  known <- vapply(fit$spec$sources, `[[`, "", "label")[!duplicated(values)]
  if (is.null(expr)) return(known)
  plain <- vapply(fit$spec$values[unique(values)], function(value) expr_text(value$expr), "")
  if (is.symbol(expr) && !as.character(expr) %in% c(known, plain)) {
    given <- get0(as.character(expr), envir = caller, mode = "character")
    if (is.null(given) && is.null(get0(as.character(expr), envir = caller, ifnotfound = "?"))) return(known)
    expr <- given %||% expr
  }
  wanted <- if (is.character(expr)) expr else name_parts(expr) %||% expr_text(expr)
  place <- ifelse(wanted %in% known, match(wanted, known), match(wanted, plain))
  if (anyNA(place)) {
    abort_hlm("data", c(
      "{.arg variable}: the model does not split {.var {wanted[is.na(place)]}}.", i = "It splits {.var {unname(known)}}."
    ))
  }
  known[unique(place)]
}

# Per variable: label, expr, lag and how the fit splits it (degree, at, chain, contextual).
focal_variables <- function(fit, labels) {
  lapply(unname(labels), function(label) {
    keys <- Filter(function(key) fit$spec$sources[[key]]$label == label, names(fit$spec$sources))
    source <- fit$spec$sources[[keys[[1L]]]]
    value <- fit$spec$values[[source$value]]
    columns <- Filter(function(column) column$source == keys[[1L]] && column$kind == "between", fit$spec$columns)
    list(
      label = label, expr = value$expr, lag = value$lag, degree = source$degree, contextual = any(keys %in% fit$spec$contextual),
      at = if (length(columns)) columns[[1L]]$at else 0, chain = if (length(columns)) columns[[1L]]$chain else character()
    )
  })
}

# Everything that all specifications share: the fit, its data with the time, the marked formula, the settings of the fit itself.
comparison_problem <- function(fit, focal, clock, data, degree, at) {
  first <- focal[[1L]]
  check_own_trend(first, degree, at)
  problem <- list(fit = fit, focal = focal, time = clock, data = comparison_data(fit, clock, data), marked = marked_formula(fit, focal))
  x <- if (first$contextual) "contextual" else if (first$degree > 0L) "detrend" else "mean"
  problem$base <- list(
    x = x, y = "observed", time = has_time_term(problem$marked$fixed, clock), lag = first$lag, means = fit$control$means %||% "analysis",
    weighting = fit$control$weighting %||% "persons", corrected = FALSE
  )
  problem$degree <- if (!is.null(degree)) as.integer(degree) else max(first$degree, 1L)
  problem$at <- at %||% if (first$degree > 0L) first$at
  problem$step <- fit_session_step(fit, problem$data, clock)
  if (is.null(clock)) return(problem)
  time <- problem$data[[clock]]
  values <- time_values(time, clock)$values
  if (is.null(problem$at)) problem$at <- min(values[fit$rows], na.rm = TRUE)
  problem$time_term <- as.name(clock)
  # text, ordered factors and the like are no straight line as they stand
  if (!is.numeric(time) || is.object(time)) {
    problem$data[["(time)"]] <- values
    problem$time_term <- as.name("(time)")
  }
  problem
}

comparison_data <- function(fit, clock, data) {
  stored <- fit$data
  if (is.null(clock) || clock %in% names(stored)) return(stored)
  rows <- tryCatch(match_original_rows(fit, data), hlm_error_data = function(e) NULL)
  if (is.null(rows)) {
    abort_hlm("data", c(
      "{.arg data} are not the data that the model was fitted to.",
      i = "They are needed for {.var {clock}}, which the fit does not keep. Give the same data frame, or fit again with
           {.code hlm(..., time = {clock})}."
    ))
  }
  stored[[clock]] <- plain_column(data[[clock]])[rows]
  stored
}

has_time_term <- function(fixed, clock) {
  if (is.null(clock)) return(FALSE)
  tt <- sum_terms(fixed)
  variables <- setdiff(seq_along(attr(tt, "variables"))[-1L] - 1L, attr(tt, "offset"))
  any(vapply(as.list(attr(tt, "variables"))[variables + 1L], function(variable) clock %in% expr_vars(variable), NA))
}

check_clock <- function(problem, specifications) {
  if (!is.null(problem$time)) return(invisible())
  need <- Filter(function(specification) needs_clock(specification$settings, problem$base), specifications)
  if (!length(need)) return(invisible())
  without <- setdiff(names(disaggregation_variants()), c(names(need), "fitted", "concurrent", "analysis", "persons", "rows"))
  abort_hlm("data", c(
    "{cli::qty(length(need))}The variant{?s} {.val {names(need)}} need{?s/} to know which variable holds the session or time.",
    i = "Add {.code time = session} (the name of your variable; with {.code data = }, if the model does not use it).",
    i = "Or leave {cli::qty(length(need))}{?it/them} out: {.code variants = c({paste0('\"', without, '\"', collapse = ', ')})}."
  ))
}
