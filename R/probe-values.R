# The values of moderators at which slopes are looked at, and what the other variables are held at.

# `at` and `at2` as given. Returns list(modx, mod2, held): for each moderator a data frame (value, words, outside); held: a named list of single values by
# key, the predictor's own value included where the user fixes it.
probe_values <- function(probe, focals, at = NULL, at2 = NULL) {
  chosen <- list(modx = at, mod2 = at2)
  held <- list()
  if (is.list(at)) {
    chosen$modx <- NULL
    if (is.null(names(at)) || any(names(at) == "") || anyDuplicated(names(at))) {
      abort_hlm("data", "A list {.arg at} must name each of its variables once, for example {.code at = list(severity = c(10, 20))}.")
    }
    keys <- vapply(focals, `[[`, "", "key")
    for (name in names(at)) {
      key <- held_key(probe, name)
      role <- names(keys)[match(key, keys)]
      if (is.na(role) || role == "pred") held[[key]] <- held_value(probe, key, name, at[[name]]) else chosen[[role]] <- at[[name]]
    }
  }
  if (!is.null(at2) && is.null(focals$mod2)) {
    abort_hlm("data", "{.arg at2} gives values of a second moderator, but {.arg mod2} is not named.")
  }
  if (!is.null(at2) && is.list(at) && !identical(chosen$mod2, at2)) {
    abort_hlm("data", "Give the values of {.arg mod2} in {.arg at} or in {.arg at2}, not in both.")
  }
  list(
    modx = moderator_values(focals$modx, chosen$modx, "at"), mod2 = if (!is.null(focals$mod2)) moderator_values(focals$mod2, chosen$mod2, "at2"),
    held = held
  )
}

held_key <- function(probe, name) {
  expr <- if (known_name(probe, name)) as.name(name) else tryCatch(str2lang(name), error = function(e) as.name(name))
  found <- focal_candidates(probe, expr, "at")
  if (length(found$keys) > 1L) abort_ambiguous(probe, "at", expr, found$keys)
  found$keys
}

held_value <- function(probe, key, name, value) {
  if (!key %in% names(probe$values)) {
    abort_hlm("data", "{.arg at} holds {.code {name}}: name the variable that it is made of instead.")
  }
  if (length(value) != 1L || is.na(value)) {
    abort_hlm("data", c(
      "{.arg at} must hold {.var {name}} at one value.", i = "For slopes at several values of {.var {name}} name it as {.arg modx} or {.arg mod2}."
    ))
  }
  x <- probe$values[[key]]
  if (is_category(x)) {
    check_categories(as.character(value), category_levels(probe, key, x), name, "at")
    return(as.character(value))
  }
  check_numbers(value, x, name, "at")
}

moderator_values <- function(focal, at, argument) {
  if (focal$kind == "factor") {
    values <- if (is.null(at)) focal$levels else as.character(at)
    check_categories(values, focal$levels, focal$key, argument)
    return(data.frame(value = values, words = "", outside = FALSE))
  }
  if (is.null(at) || is.character(at)) {
    return(default_values(focal, at, argument))
  }
  values <- check_numbers(at, focal$original, focal$key, argument)
  range <- range(focal$x)
  tolerance <- 1e-9 * max(abs(range))
  data.frame(value = values, words = "", outside = values < range[[1L]] - tolerance | values > range[[2L]] + tolerance)
}

check_categories <- function(values, levels, name, argument) {
  unknown <- setdiff(values, levels)
  if (length(unknown) || !length(values)) {
    abort_hlm("data", c(
      "{.arg {argument}}: {.var {name}} has no category {.val {unknown}}.", i = "Its categories are {.val {levels}}."
    ))
  }
  if (anyDuplicated(values)) abort_hlm("data", "{.arg {argument}} names a category of {.var {name}} twice.")
}

# As numbers counted as in the fit (dates in days).
check_numbers <- function(values, original, name, argument) {
  if (is.character(values) || is.factor(values)) {
    abort_hlm("data", "{.arg {argument}}: {.var {name}} is a number, not {variable_type(values)}.")
  }
  clock <- clock_of(original)
  if (!is.null(clock_of(values))) values <- on_clock(values, clock, name)
  if (!is.numeric(values) && !is.logical(values)) abort_hlm("data", "{.arg {argument}} must be numbers for {.var {name}}.")
  values <- as.double(values)
  if (!length(values) || anyNA(values) || any(is.infinite(values))) {
    abort_hlm("data", "{.arg {argument}} must be numbers without missing or infinite values for {.var {name}}.")
  }
  if (anyDuplicated(values)) abort_hlm("data", "{.arg {argument}} has a value of {.var {name}} twice.")
  values
}

# Mean and one SD below and above, over the units at which the moderator varies, each counting once (Aiken and West 1991, chapter 2); both values of a
# variable that has only two; or the 16th, 50th and 84th percentiles, which never lie outside the data.
default_values <- function(focal, at, argument) {
  how <- if (is.null(at)) "sd" else check_choice(at, c("sd", "quantiles", "range"), argument)
  x <- focal$x
  distinct <- sort(unique(x))
  if (is.null(at) && length(distinct) <= 2L) return(data.frame(value = distinct, words = "", outside = FALSE))
  mean <- near_zero(mean(x), x)
  sd <- stats::sd(x)
  made <- switch(how,
    sd = list(mean + c(-1, 0, 1) * sd, c("mean - 1 SD", "mean", "mean + 1 SD")),
    quantiles = list(unname(stats::quantile(x, c(0.16, 0.5, 0.84))), c("16th percentile", "median", "84th percentile")),
    range = list(c(min(x), max(x)), c("lowest", "highest"))
  )
  values <- data.frame(value = made[[1L]], words = made[[2L]], outside = made[[1L]] < min(x) | made[[1L]] > max(x))
  values[!duplicated(values$value), , drop = FALSE]
}
