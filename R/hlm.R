#' Fit a hierarchical linear model with within- and between-person effects
#'
#' Fits a linear mixed-effects model by restricted (or full) maximum likelihood. The formula is that of
#' `lme4::lmer()` with terms added that split a variable measured at every session into what changes within a person and
#' what differs between persons.
#'
#' @section Terms of the formula:
#' All of lme4's grammar holds: `(x | g)`, `(x || g)`, `(1 | a/b)`, `(1 | a:b)`, several terms, factors with contrasts,
#' `I()`, `poly()`, `splines::ns()`, `scale()`, `log()`, `offset()`. These terms are recognised by name inside the
#' formula only (they are not functions and do not mask [base::within()]):
#'
#' | term | column | meaning |
#' |---|---|---|
#' | `within(x)` | `x_within` | deviation from the person's own mean |
#' | `between(x)` | `x_between` | the person's mean, minus the mean over persons |
#' | `wb(x)` | both | `within(x) + between(x)` |
#' | `cx(x)` | `x`, `x_between` | contextual form: `x` itself and the person's mean; the coefficient of `x_between` is between minus within |
#' | `between(x, level = "therapist")` | `x_between`, `x_between_therapist` | the person's mean minus the therapist's, and the therapist's mean; several levels from the inside out: `level = c("therapist", "clinic")` |
#' | `within(x, detrend = TRUE)` | `x_within` | residual from the person's own straight line over `time`; `detrend = 2` a parabola, ... |
#' | `between(x, detrend = TRUE, at = 0)` | `x_between` | level of that line at time `at`, minus the mean over persons |
#' | `lagged(x, n = 1)` | `x_lag1` | the value `n` sessions before by `time`, missing where that session is missing; may stand inside `within()`, `between()`, `wb()`, `cx()`: `x_lag1_within` |
#'
#' They may stand in the fixed and in the random part and in interactions, for example `wb(x) * treatment`,
#' `within(x):between(w)`, `(1 + within(x) | therapist/patient)`. The product of two within terms,
#' `within(x):within(w)`, is centred at the person's mean once more ("double-demeaned": centre, multiply, centre
#' again). Of an expression only letters, digits, `_` and `.` enter the name: `within(log(x))` is called `log_x_within`. If one
#' formula splits the same variable with and without detrending, the columns of the former end in `_detrend`.
#' `lagged(within(x))` is not defined: use `within(lagged(x))`.
#'
#' @section Rows and means:
#' `subset` acts first, as if the other rows had not been given. Rows with missing values are then left out (`na.action`),
#' counted per variable, and only then are the persons' means taken, over the rows that remain
#' (`hlm_control(means = "available")`: over all rows with the variable). A grand mean counts each person once
#' (`weighting = "rows"`: each row). The means are kept in the fit; [predict()] uses them for
#' persons of the fit, takes columns `x_within` and `x_between` of new data as they are, and describes other persons by their
#' own rows. `.` stands for all columns that the formula does not use otherwise. Infinite values and `NaN` are
#' errors. Transformations such as `scale(x)` or `poly(x, 2)` are computed before rows are left out, as [lm()] does.
#'
#' @section Persons and time:
#' Without `id` the person is the innermost grouping factor, the one with the most groups. In `(1 | therapist/patient)` a person
#' is a combination of therapist and patient, so patient numbers may be used again by every therapist. `time` is needed
#' for lags and detrending only. It may be a number, a date or date-time (counted in days since the first one in
#' the data), a time difference (in days), text or a factor that holds numbers, or an ordered factor (1, 2, 3, ...); rows need
#' not be sorted.
#'
#' @section Correlated and unequal residuals:
#' What is left of a session often resembles what is left of the session before, and some raters or phases are noisier than others. `residual`
#' says so; without it residuals are independent with one variance.
#'
#' | `residual =` | correlation or variance of a person's residuals |
#' |---|---|
#' | `"ar1"`, `ar1(session)` | phi^d, d the number of sessions between two rows (missing sessions count), -1 < phi < 1; times must be whole numbers apart |
#' | `"car1"`, `car1(day)` | phi^d, d the time between two rows, any number, 0 < phi < 1 |
#' | `hetero(phase)` | a standard deviation of its own for every value of a variable (an occasion, a rater, a treatment; `hetero(a:b)`: every combination) |
#'
#' `ar1()` or `car1()` may stand beside `hetero()`: `ar1(session) + hetero(phase)`. A string, a one-sided formula (`~ ar1(session)`) or a
#' variable that holds one of these will do, too. Without a variable in the parentheses it is `time`. Residuals are correlated within
#' persons (`id`), who must be the finest grouping factor with random effects; `hetero()` may stand in any model.
#'
#' The parameters are estimated together with all others, by REML or ML, and count as variance parameters in [logLik()], AIC and BIC.
#' `summary()` prints them with intervals; `anova(fit0, fit)` tests them against `fit0` without `residual` (independence is the end of the range of
#' `car1()`, so that its p value is up to twice too large). Satterthwaite's degrees of freedom take their uncertainty into account. With
#' `hetero()` `sigma()` is the standard deviation of the variable's first value. Autocorrelation and differences between persons
#' compete: with few sessions the data may hardly tell a phi near 1 from a random intercept.
#'
#' Fitted values, random effects, predictions, simulation, the parametric bootstrap, tests and comparisons take the structure into account. A
#' prediction does not carry the residual of earlier sessions forward. Profile likelihoods, Kenward-Roger and robust covariances, influence
#' measures, exact tests of variances and the correction of between effects are not available yet and say so (`hlm_error_covariance`).
#'
#' @param formula A formula `outcome ~ fixed effects + (random effects | group)`; see below.
#' @param data A data frame, tibble or data.table with one row per person and session.
#' @param id The variable that identifies the person, as a bare name or a string; also a combination,
#'   `therapist:patient`.
#' @param time The variable that holds the session or time, as a bare name or a string.
#' @param REML Restricted maximum likelihood (`TRUE`, default) or maximum likelihood (`FALSE`).
#' @param weights Prior weights, evaluated in `data`: the residual variance of row i is sigma^2 / weight.
#' @param subset A condition or row numbers, evaluated in `data`.
#' @param na.action What to do with missing values: [na.omit()] (default), [na.exclude()] (residuals and fitted values are
#'   padded with `NA`) or [na.fail()].
#' @param offset A known part of the outcome, evaluated in `data`.
#' @param contrasts A named list of contrasts for factors, as in [lm()].
#' @param start Starting values: a vector theta, or a list with the element `theta`.
#' @param control Settings made by [hlm_control()].
#' @param residual How the residuals of a person are correlated, or differ in variance: `NULL` (independent, one variance), `"ar1"`, `"car1"`,
#'   `hetero(variable)` or a combination; see below.
#'
#' @return An object of class `hlm`, a list.
#' @section Errors: Errors are classed (see [hlm_conditions]): `hlm_error_formula`, `hlm_error_data`, `hlm_error_design`,
#'   `hlm_error_covariance` (a residual structure that does not fit the model), `hlm_error_numerical`. A fit that ends at the boundary (a variance of
#'   zero) is no error: its status says so. One that does not converge gives the warning `hlm_warning_convergence`, a variance
#'   that nothing is left to estimate from `hlm_warning_design`; predictors that cannot be estimated give the message `hlm_message_rank`, which names them.
#' @source Bates, Maechler, Bolker & Walker (2015) J Stat Softw 67(1) for the model and the criterion. Curran & Bauer (2011)
#'   Annu Rev Psychol 62:583-619 and Wang & Maxwell (2015) Psychol Methods 20:63-83 for within and between; Giesselmann &
#'   Schmidt-Catran (2022) Sociol Methods Res 51:1100-1127 for the product of within terms. Pinheiro & Bates (2000),
#'   *Mixed-Effects Models in S and S-PLUS*, chapter 5, for residual structures; Jones (1993), *Longitudinal Data with Serial Correlation*, for
#'   continuous time.
#' @seealso [disaggregate()] to make the columns for other software, [hlm_control()].
#' @export
#' @examples
#' # synthetic: 30 persons, 6 sessions
#' set.seed(1)
#' d <- data.frame(patient = rep(1:30, each = 6), session = rep(1:6, times = 30))
#' d$alliance <- rnorm(30)[d$patient] + rnorm(180)
#' d$distress <- 20 - d$alliance + rnorm(30)[d$patient] + rnorm(180)
#' fit <- hlm(distress ~ session + wb(alliance) + (1 | patient), data = d, time = session)
#' fit
#' # residuals of neighbouring sessions alike?
#' anova(fit, update(fit, residual = "ar1"))
hlm <- function(formula, data = NULL, id = NULL, time = NULL, REML = TRUE, weights = NULL, subset = NULL,
                na.action = getOption("na.action"), offset = NULL, contrasts = NULL, start = NULL,
                control = hlm_control(), residual = NULL) {
  if (missing(formula)) {
    abort_hlm("formula", c("{.arg formula} is missing.", i = "For example {.code hlm(outcome ~ session + (1 | patient), data)}."))
  }
  call <- match.call()
  caller <- parent.frame()
  check_flag(REML, "REML")
  check_formula(formula)
  check_data(data)
  control <- if (missing(control) && is.null(start)) default_control else resolve_control(control, start)
  env <- environment(formula)
  if (is.null(env)) env <- caller
  # without its class: `$` looks for methods each time it meets one
  spec <- unclass(parse_formula(
    formula, names(data),
    id = capture_name(substitute(id), names(data), caller, "id"),
    time = capture_time(substitute(time), names(data), caller)
  ))
  spec$residual <- capture_residual(substitute(residual), spec$time, caller)
  inputs <- list(
    subset = if (!missing(subset)) eval_input(substitute(subset), "subset", data, env, caller),
    weights = if (!missing(weights)) eval_input(substitute(weights), "weights", data, env, caller),
    offset = if (!missing(offset)) eval_input(substitute(offset), "offset", data, env, caller)
  )
  settings <- unclass(control)
  step <- local_progress(4L, "Fitting", !is.null(data) && .row_names_info(data, 2L) >= progress_rows)
  frame <- build_frame(spec, data, inputs, na.action, env, settings$means)
  step(1L)
  built <- build_design(spec, frame, contrasts, settings, env)
  step(2L)
  check_start(settings$start, built$design)
  settings$progress <- progress_callback(step, 2L)
  core <- engine_fit(built$design, REML, settings)
  step(4L)
  extra <- list(weights_name = if (!is.null(inputs$weights)) expr_text(substitute(weights)))
  if (!is.null(inputs$offset)) extra$offset_expr <- substitute(offset)
  report_fit(core, built$design)
  new_hlm(call, spec, frame, built, core, REML, control, contrasts, extra)
}

check_data <- function(data) {
  if (is.null(data)) {
    return(invisible())
  }
  if (!is.data.frame(data)) {
    abort_hlm("data", c(
      "{.arg data} must be a data frame with one row per person and session, not {.cls {class(data)}}.",
      i = if (is.matrix(data)) "Use {.fn as.data.frame}."
    ))
  }
  if (.row_names_info(data, 2L) == 0L) {
    abort_hlm("data", "{.arg data} has no rows.")
  }
}

# `subset`, `weights` and `offset`: from the data, else from where the formula was written, as lm() does, else from the caller.
eval_input <- function(expr, argument, data, env, caller) {
  if (is.null(expr)) {
    return(NULL)
  }
  failed <- NULL
  for (place in unique(list(env, caller))) {
    value <- tryCatch(eval(expr, data, place), error = identity)
    # a function of that name (weights = t) is not what was meant
    if (!inherits(value, "error") && !is.function(value)) return(value)
    failed <- failed %||% value
  }
  why <- if (is.function(failed)) "it is a function" else conditionMessage(failed)
  abort_hlm("data", c(
    "{.code {argument} = {expr_text(expr)}} could not be computed: {why}.",
    i = if (is.null(data)) "Give the data frame: {.code data = my_data}." else "{.arg {argument}} may use the columns of {.arg data}."
  ))
}

# `id` and `time`: a bare name of a column, a string, a combination (`a:b`, `a/b`, `c(a, b)`), or a variable of the caller
# that holds a string. Returns a symbol, a call a:b, or NULL.
capture_name <- function(expr, names, caller, argument) {
  if (is.null(expr)) {
    return(NULL)
  }
  if (is.symbol(expr) && !as.character(expr) %in% names) {
    name <- as.character(expr)
    if (!exists(name, envir = caller) || is.function(get(name, envir = caller))) {
      # without `data` the variable itself may be meant
      if (is.null(names) && exists(name, envir = caller)) {
        return(expr)
      }
      abort_missing_name(name, names, argument)
    }
    value <- get(name, envir = caller)
    if (!is.null(value) && !is.character(value) || is.null(names) && length(value) > 2L) {
      return(if (is.null(names)) expr else abort_missing_name(name, names, argument))
    }
    expr <- value
  }
  if (is.null(expr) || is.symbol(expr)) {
    return(expr)
  }
  parts <- name_parts(expr)
  if (is.null(parts)) {
    abort_hlm("formula", "{.arg {argument}} must be the name of a variable, for example {.code {argument} = patient}.")
  }
  unknown <- setdiff(parts, names)
  if (!is.null(names) && length(unknown) > 0L) abort_missing_name(unknown[1L], names, argument)
  Reduce(function(a, b) call(":", a, b), lapply(parts, as.name))
}

# Names of columns in a string, c("a", "b"), c(a, b), a:b or a/b (b:a, as in a formula); NULL for anything else.
name_parts <- function(expr) {
  if (is.character(expr)) {
    return(if (length(expr) %in% 1:3 && !anyNA(expr)) expr)
  }
  if (is.symbol(expr)) {
    return(as.character(expr))
  }
  head <- call_head(expr)
  if (!head %in% c(":", "/", "c", "(")) {
    return(NULL)
  }
  parts <- lapply(as.list(expr)[-1L], name_parts)
  if (any(vapply(parts, is.null, NA))) {
    return(NULL)
  }
  unlist(if (head == "/") rev(parts) else parts)
}

abort_missing_name <- function(name, names, argument) {
  abort_hlm("data", c(
    "{.arg {argument}} is {.var {name}}, but the data have no such column.",
    i = if (length(names)) "The data have the columns {.var {names}}."
  ))
}

capture_time <- function(expr, names, caller) {
  time <- capture_name(expr, names, caller, "time")
  if (is.null(time)) {
    return(NULL)
  }
  if (!is.symbol(time)) {
    abort_hlm("formula", "{.arg time} must be the name of one variable, for example {.code time = session}.")
  }
  as.character(time)
}
