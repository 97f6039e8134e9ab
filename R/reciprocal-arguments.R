# The arguments of reciprocal(), captured and checked.

check_reciprocal_data <- function(data) {
  check_data(data)
  if (is.null(data)) abort_hlm("data", "{.arg data} is missing.")
}

# The name of one numeric column.
capture_series <- function(expr, names, caller, argument) {
  name <- capture_name(expr, names, caller, argument)
  if (!is.symbol(name)) {
    abort_hlm("formula", c(
      "{.arg {argument}} must be the name of one column of the data.", i = "For example {.code x = alliance, y = symptoms}."
    ))
  }
  as.character(name)
}

# NULL, names, a one-sided formula or list(xy = , yx = ) of these -> list(xy = expression or NULL, yx = ).
capture_terms <- function(expr, names, caller, argument) {
  if (call_head(expr) == "list") {
    parts <- as.list(expr)[-1L]
    check_direction_names(base::names(parts), argument)
    return(lapply(c(xy = "xy", yx = "yx"), function(way) one_terms(parts[[way]], names, caller, argument)))
  }
  both <- one_terms(expr, names, caller, argument)
  if (is.list(both)) return(both)
  list(xy = both, yx = both)
}

check_direction_names <- function(names, argument) {
  if (is.null(names) || !all(names %in% c("xy", "yx")) || anyDuplicated(names)) {
    abort_hlm("formula", "A list of {.arg {argument}} must have the names {.val xy} and {.val yx}.")
  }
}

one_terms <- function(expr, names, caller, argument) {
  if (is.null(expr)) return(NULL)
  # a variable of the caller that holds a formula, names or a list
  if (is.symbol(expr) && !as.character(expr) %in% names && exists(as.character(expr), envir = caller)) {
    value <- get(as.character(expr), envir = caller)
    if (is.list(value) && !is.data.frame(value)) {
      check_direction_names(base::names(value), argument)
      return(lapply(c(xy = "xy", yx = "yx"), function(way) one_terms(value[[way]], names, caller, argument)))
    }
    if (!is.function(value)) expr <- value
    if (is.null(expr)) return(NULL)
  }
  if (inherits(expr, "formula") || call_head(expr) == "~") {
    if (length(expr) != 2L) abort_hlm("formula", "{.arg {argument}} must be a formula with one side, such as {.code ~ age + treatment}.")
    return(expr[[2L]])
  }
  variables <- if (is.character(expr)) expr else name_parts(expr)
  if (is.null(variables) || call_head(expr) %in% c(":", "/")) {
    abort_hlm("formula", "{.arg {argument}} must be names of columns, {.code c(age, treatment)}, or a formula, {.code ~ age * treatment}.")
  }
  unknown <- setdiff(variables, names)
  if (length(unknown)) abort_missing_name(unknown[[1L]], names, argument)
  Reduce(function(a, b) call("+", a, b), lapply(variables, as.name))
}

random_words <- c("slope", "intercept", "uncorrelated")

# A word, or the right-hand side of a formula with bars, for each direction.
capture_random <- function(expr, caller) {
  value <- tryCatch(eval(expr, caller), error = function(e) NULL)
  one <- function(value) {
    if (inherits(value, "formula") && length(value) == 2L) return(value[[2L]])
    if (is.character(value) && length(value) == 1L && grepl("|", value, fixed = TRUE)) return(str2lang(sub("^ *~", "", value)))
    found <- if (is.character(value) && length(value) == 1L) pmatch(value, random_words) else NA
    if (is.na(found)) {
      abort_hlm("formula", c(
        "{.arg random} must be one of {.val {random_words}} or a formula with one side.",
        i = "For example {.code random = ~ 1 + slope | therapist/id}; {.code slope} is the within part of the predictor."
      ))
    }
    random_words[[found]]
  }
  if (is.list(value) && !inherits(value, "formula")) {
    check_direction_names(names(value), "random")
    return(lapply(c(xy = "xy", yx = "yx"), function(way) one(value[[way]] %||% "slope")))
  }
  value <- one(value)
  list(xy = value, yx = value)
}

# A structure as hlm() takes it, or list(xy = , yx = ) of these -> list(xy = formula or NULL, yx = ), or NULL without any.
capture_residuals <- function(expr, time, caller) {
  parts <- residual_list(expr, caller)
  if (is.null(parts)) {
    both <- capture_residual(expr, time, caller)$formula
    return(if (!is.null(both)) list(xy = both, yx = both))
  }
  check_direction_names(names(parts), "residual")
  out <- lapply(c(xy = "xy", yx = "yx"), function(way) capture_residual(parts[[way]], time, caller)$formula)
  if (!all(vapply(out, is.null, NA))) out
}

# The elements of a list, also of one that a variable of the caller holds or that was handed to the calling function; NULL for anything else.
residual_list <- function(expr, caller) {
  if (call_head(expr) == "list") return(as.list(expr)[-1L])
  if (!is.symbol(expr) || is_residual_expression(expr)) return(NULL)
  given <- eval(call("substitute", expr), caller)
  if (call_head(given) == "list") return(as.list(given)[-1L])
  if (is.language(given) && !inherits(given, "formula") && !is.symbol(given) && is_residual_expression(given)) return(NULL)
  value <- tryCatch(eval(expr, caller), error = function(e) NULL)
  if (is.list(value)) value
}

parse_detrend <- function(detrend) {
  choices <- c("none", "x", "y", "both")
  if (is.character(detrend)) {
    which <- check_choice(detrend, choices, "detrend")
    return(c(x = as.integer(which %in% c("x", "both")), y = as.integer(which %in% c("y", "both"))))
  }
  if (length(detrend) == 1L && is.null(names(detrend))) detrend <- c(x = detrend[[1L]], y = detrend[[1L]])
  ok <- (is.numeric(detrend) || is.logical(detrend)) && length(detrend) <= 2L && !is.null(names(detrend)) &&
    all(names(detrend) %in% c("x", "y")) && !anyDuplicated(names(detrend)) && !anyNA(detrend)
  if (!ok || any(detrend < 0 | detrend > 5 | detrend != round(detrend))) {
    abort_hlm("formula", c(
      "{.arg detrend} must be one of {.val {choices}}, TRUE, FALSE, a degree from 1 to 5, or {.code c(x = 1, y = 2)}."
    ))
  }
  out <- c(x = 0L, y = 0L)
  out[names(detrend)] <- as.integer(detrend)
  out
}

parse_lags <- function(lags) {
  if (is.numeric(lags) && length(lags) == 1L && is.null(names(lags))) lags <- c(xy = lags, yx = lags)
  if (is.numeric(lags) && length(lags) == 2L && is.null(names(lags))) names(lags) <- c("xy", "yx")
  ok <- is.numeric(lags) && length(lags) == 2L && setequal(names(lags), c("xy", "yx")) && all(is.finite(lags))
  if (!ok || any(lags < 0 | lags != round(lags))) {
    abort_hlm("formula", c(
      "{.arg lags} must be two whole numbers that are not negative: {.code lags = c(xy = 1, yx = 1)}.",
      i = "{.code yx = 0} when {.arg y} is measured before {.arg x} in the same session."
    ))
  }
  lags <- stats::setNames(as.integer(lags), names(lags))[c("xy", "yx")]
  if (all(lags == 0L)) {
    abort_hlm("formula", c(
      "With both {.arg lags} 0 neither variable comes before the other.",
      i = "One of them must be at least 1; add {.code concurrent = TRUE} for effects of the same session."
    ))
  }
  lags
}

parse_outcome <- function(outcome) {
  choices <- c("level", "change", "residualised")
  if (identical(outcome, "residualized")) outcome <- "residualised"
  check_choice(outcome, choices, "outcome")
}

parse_autoregression <- function(autoregression, outcome) {
  if (is.null(autoregression)) return(if (outcome == "level") "raw" else "none")
  if (is.logical(autoregression)) {
    check_flag(autoregression, "autoregression")
    return(if (autoregression) "raw" else "none")
  }
  check_choice(autoregression, c("raw", "within", "none"), "autoregression")
}

parse_labels <- function(labels, settings) {
  out <- c(x = settings$x, y = settings$y)
  if (is.null(labels)) return(out)
  if (is.character(labels) && length(labels) == 2L && is.null(names(labels))) names(labels) <- c("x", "y")
  if (!is.character(labels) || anyNA(labels) || is.null(names(labels)) || !all(names(labels) %in% c("x", "y"))) {
    abort_hlm("data", "{.arg labels} must be words for the two variables: {.code labels = c(x = \"alliance\", y = \"anxiety\")}.")
  }
  out[names(labels)] <- labels
  out
}

check_reciprocal <- function(settings) {
  if (settings$x == settings$y) abort_hlm("data", "{.arg x} and {.arg y} are the same variable, {.var {settings$x}}.")
  if (is.null(settings$id)) abort_hlm("formula", "Say which variable identifies the person: {.code id = patient}.")
  if (is.null(settings$time)) {
    abort_hlm("formula", "Say which variable holds the session: {.code time = session}. Lags go by it, not by row.")
  }
  check_flag(settings$concurrent, "concurrent")
  check_level(settings$conf.level, "conf.level")
  check_nsim(settings$nsim)
  if (!is.null(settings$at) && !is_number(settings$at)) abort_hlm("formula", "{.arg at} must be one number.")
}

# `subset` acts first, as if the other rows had not been given.
reciprocal_rows <- function(data, subset) {
  if (is.null(subset)) return(data)
  keep <- subset_rows(subset, nrow(data))
  if (!length(keep)) abort_hlm("data", "{.arg subset} keeps no row.")
  as.data.frame(data)[keep, , drop = FALSE]
}

first_time <- function(data, time) {
  values <- time_column(data, time)
  if (all(is.na(values))) abort_hlm("data", "The time variable {.var {time}} is missing in every row.")
  min(values, na.rm = TRUE)
}

# A session back in the units of time.
reciprocal_step <- function(data, settings, caller) {
  id <- if (is.character(settings$id)) str2lang(backticked(settings$id, data)) else settings$id
  session_step(group_labels(id, as.list(data), caller), time_column(data, settings$time))
}

# A variable of the data by name: the two fits have different rows, so values per row could belong to one of them only.
reciprocal_cluster <- function(expr, names, caller) {
  if (is.symbol(expr) && as.character(expr) %in% names) return(as.character(expr))
  value <- eval(expr, caller)
  if (!is.null(value) && !(is.character(value) && length(value) == 1L)) {
    abort_hlm("data", "{.arg cluster} must be the name of a variable of the models, since their rows differ.")
  }
  value
}

# What `...` hands to hlm() must be arguments of hlm() that reciprocal() does not set itself.
check_passed_on <- function(dots) {
  allowed <- c("weights", "na.action", "offset", "contrasts")
  names <- names(dots) %||% rep("", length(dots))
  unknown <- setdiff(names, allowed)
  if (length(unknown)) {
    abort_hlm("formula", c(
      "{.fn reciprocal} does not know {cli::qty(length(unknown))}the argument{?s} {.val {ifelse(unknown == '', '(without a name)', unknown)}}.",
      i = "Is the spelling right? Of {.fn hlm} it hands on {.arg {allowed}}."
    ))
  }
}
