# The ways of splitting a variable that compare_disaggregation() knows: one entry of the registry each, and how a formula is rewritten
# into one of them.
#
# A specification is a list of settings:
# x         "mean" (person means), "detrend" (each person's own trend), "contextual" (x itself and the person's mean), "raw" (not split)
# y         "observed", or "detrend": the outcome without each person's own trend, its level kept
# time      is time a covariate? FALSE takes every term with the time variable out, random slopes included
# lag       how far back in time, in its own units (a session is `step` of them)
# means     "analysis" or "available" rows define a person's mean
# weighting "persons" or "rows" in grand means
# corrected is the between effect corrected for the unreliability of person means?
# An entry names only what it settles; everything else is as in the fit.

# list(label, changes: function(base) -> settings, optional: shown only when it changes something)
disaggregation_variants <- function() {
  entry <- function(label, ..., optional = FALSE) {
    given <- list(...)
    list(label = label, changes = if (is.function(given[[1L]])) given[[1L]] else function(base, step) given, optional = optional)
  }
  list(
    mean = entry("Person means", x = "mean", y = "observed", time = FALSE),
    mean_time = entry("Person means, time", x = "mean", y = "observed", time = TRUE),
    detrend_x = entry("Detrended x", x = "detrend", y = "observed", time = FALSE),
    detrend_x_time = entry("Detrended x, time", x = "detrend", y = "observed", time = TRUE),
    detrend_y = entry("Detrended y", x = "mean", y = "detrend", time = FALSE),
    detrend_xy = entry("Detrended x and y", x = "detrend", y = "detrend", time = FALSE),
    contextual = entry("Contextual (x and mean)", x = "contextual", y = "observed"),
    available = entry("Means of available rows", means = "available"),
    analysis = entry("Means of analysed rows", means = "analysis"),
    lagged = entry("Lagged x", function(base, step) list(lag = if (base$lag == 0L) step else base$lag)),
    concurrent = entry("Concurrent x", lag = 0L),
    corrected = entry("Reliability-corrected", x = "mean", y = "observed", corrected = TRUE),
    rows = entry("Grand means over rows", weighting = "rows", optional = TRUE),
    persons = entry("Grand means over persons", weighting = "persons", optional = TRUE),
    raw = entry("Not split (x as it is)", x = "raw", y = "observed")
  )
}

disaggregation_settings <- list(
  x = c("mean", "detrend", "contextual", "raw"), y = c("observed", "detrend"), time = c(TRUE, FALSE), lag = NULL,
  means = c("analysis", "available"), weighting = c("persons", "rows"), corrected = c(FALSE, TRUE)
)

# The specifications to fit, "fitted" first: list by name of list(name, label, settings, optional). Entries that come to the same
# settings are one.
chosen_specifications <- function(variants, base, step) {
  entries <- if (is.list(variants)) own_variants(variants) else known_variants(variants)
  out <- list(fitted = list(name = "fitted", label = fitted_label(base, step), settings = base, optional = FALSE))
  for (name in names(entries)) {
    settings <- utils::modifyList(base, entries[[name]]$changes(base, step))
    if (any(vapply(out, function(other) identical(other$settings, settings), NA))) next
    out[[name]] <- list(name = name, label = entries[[name]]$label, settings = settings, optional = entries[[name]]$optional)
  }
  out
}

# The fit is called as the entry that it is; only an entry that says how x is split describes a model as a whole.
fitted_label <- function(base, step) {
  same <- Filter(function(entry) {
    changes <- entry$changes(base, step)
    !is.null(changes$x) && identical(utils::modifyList(base, changes), base)
  }, disaggregation_variants())
  if (length(same)) same[[1L]]$label else "As fitted"
}

known_variants <- function(names) {
  registry <- disaggregation_variants()
  if (is.null(names)) return(registry)
  unknown <- if (is.character(names)) setdiff(names, c(names(registry), "fitted")) else "?"
  if (length(unknown) || anyNA(names)) {
    abort_hlm("design", c(
      "{.arg variants} must be names of variants, or a list of settings of your own.",
      x = if (is.character(names)) "Not known: {.val {unknown}}.", i = "Known: {.val {names(registry)}}."
    ))
  }
  registry[intersect(names, names(registry))]
}

# A named list of lists of settings.
own_variants <- function(variants) {
  labels <- names(variants)
  if (is.null(labels) || !all(nzchar(labels)) || anyDuplicated(labels) || "fitted" %in% labels) {
    abort_hlm("design", c(
      "{.arg variants} as a list needs a name of its own for every variant (not {.val fitted}).",
      i = "For example {.code list(\"Two sessions before\" = list(lag = 2))}."
    ))
  }
  out <- lapply(labels, function(label) {
    settings <- variants[[label]]
    check_settings(settings, label)
    if (!is.null(settings$lag)) settings$lag <- as.integer(settings$lag)
    list(label = label, changes = function(base, step) settings, optional = FALSE)
  })
  stats::setNames(out, labels)
}

check_settings <- function(settings, label) {
  known <- names(disaggregation_settings)
  if (!is.list(settings) || !length(settings) || is.null(names(settings)) || !all(names(settings) %in% known)) {
    abort_hlm("design", "The variant {.val {label}} must be a list of some of the settings {.val {known}}.")
  }
  for (name in names(settings)) {
    value <- settings[[name]]
    choices <- disaggregation_settings[[name]]
    good <- if (name == "lag") is_number(value) && value == round(value) && abs(value) < 1e6 else
      length(value) == 1L && identical(typeof(value), typeof(choices)) && value %in% choices
    if (!good) {
      expected <- if (name == "lag") "a whole number of sessions" else paste("one of", paste(choices, collapse = ", "))
      abort_hlm("design", "The variant {.val {label}}: {.arg {name}} must be {expected}.")
    }
  }
}

# Does a specification need to know the time of each row? What the fit does already, it can do again.
needs_clock <- function(settings, base) {
  !identical(settings[c("x", "y", "time", "lag")], base[c("x", "y", "time", "lag")]) &&
    (settings$x == "detrend" && base$x != "detrend" || settings$y == "detrend" || settings$time != base$time ||
      settings$lag != base$lag && settings$lag != 0L)
}

# Rewriting ------------------------------------------------------------------------------------------------------------------------
#
# The right-hand side is taken apart into fixed part and bars; in both, the calls that split a focal variable become markers, one for the
# within and one for the between part. Terms are taken out or added in that form, where `wb(x) * time` is already a product of
# parts; then the markers become the calls of the variant.

within_marker <- function(i) as.name(paste0("..within", i, ".."))
between_marker <- function(i) as.name(paste0("..between", i, ".."))
both_marker <- function(i) as.name(paste0("..both", i, ".."))

# list(response, fixed, bars: list(op, lhs, group)), with markers.
marked_formula <- function(fit, focal) {
  formula <- fit$spec$formula
  data_names <- setdiff(names(fit$data), c("(weights)", "(offset)", expr_vars(fit$spec$id)))
  fixed <- split_formula(formula, data_names)$fixed
  bars <- lapply(split_bars(formula[[3L]])$bars, function(bar) list(op = bar[[1L]], lhs = bar[[2L]], group = bar[[3L]]))
  for (i in seq_along(focal)) {
    fixed <- mark_requests(fixed, focal[[i]], i, environment(formula))
    bars <- lapply(bars, function(bar) {
      bar$lhs <- mark_requests(bar$lhs, focal[[i]], i, environment(formula))
      bar
    })
  }
  list(response = formula[[2L]], fixed = fixed, bars = bars)
}

mark_requests <- function(expr, focal, i, env) {
  # beside cx(x), x itself is the within part wherever it stands as a term
  if (focal$contextual && focal$lag == 0L && identical(expr, focal$expr)) return(within_marker(i))
  if (!is.call(expr)) return(expr)
  head <- call_head(expr)
  if (head %in% request_heads) {
    request <- parse_request(expr, env)
    if (!identical(request$expr, focal$expr) || request$lag != focal$lag) return(expr)
    alone <- if (focal$contextual) within_marker(i) else expr
    return(switch(head, within = within_marker(i), between = between_marker(i), lagged = alone, both_marker(i)))
  }
  inner <- focal
  # an argument of a function is not a term
  if (!head %in% c("+", "-", "*", ":", "/", "^", "(", "%in%")) inner$contextual <- FALSE
  for (k in seq_along(expr)[-1L]) {
    if (!missing_argument(expr, k)) expr[[k]] <- mark_requests(expr[[k]], inner, i, env)
  }
  expr
}

# x[, 1] has an empty argument
missing_argument <- function(expr, k) is.symbol(expr[[k]]) && !nzchar(as.character(expr[[k]]))

# The markers of both parts at once as sums, so that terms can be told apart.
apart <- function(expr, problem) {
  n <- seq_along(problem$focal)
  sums <- lapply(n, function(i) call("(", call("+", within_marker(i), between_marker(i))))
  eval(call("substitute", expr, stats::setNames(sums, vapply(n, function(i) as.character(both_marker(i)), ""))))
}

sum_terms <- function(expr) stats::terms(stats::as.formula(call("~", expr), globalenv()))

# The formula of a specification. `problem` is that of compare_disaggregation().
variant_formula <- function(problem, settings, response = NULL) {
  marked <- problem$marked
  base <- problem$base
  gone <- c(
    if (base$time && !settings$time) problem$time,
    if (settings$x == "raw") vapply(seq_along(problem$focal), function(i) as.character(between_marker(i)), "")
  )
  if (length(gone)) marked <- drop_terms(marked, gone, problem)
  if (settings$x == "contextual") marked$fixed <- add_contextual(marked$fixed, problem)
  if (settings$time && !base$time) marked$fixed <- call("+", marked$fixed, problem$time_term)
  for (i in seq_along(problem$focal)) marked <- fill_markers(marked, variant_calls(problem, i, settings))
  formula <- call("~", response %||% marked$response, join_parts(marked))
  class(formula) <- "formula"
  environment(formula) <- environment(problem$fit$spec$formula)
  formula
}

join_parts <- function(marked) {
  bars <- lapply(marked$bars, function(bar) call("(", as.call(list(bar$op, bar$lhs, bar$group))))
  Reduce(function(a, b) call("+", a, b), c(list(marked$fixed), bars))
}

# Every product with one of the variables `gone` out of the fixed part and the bars. A bar without any effect left goes altogether.
drop_terms <- function(marked, gone, problem) {
  marked$fixed <- drop_from_sum(marked$fixed, gone, problem) %||% 0
  marked$bars <- Filter(Negate(is.null), lapply(marked$bars, function(bar) {
    kept <- drop_from_sum(bar$lhs, gone, problem, one = TRUE)
    if (is.null(kept)) return(NULL)
    bar$lhs <- kept
    bar
  }))
  if (!length(marked$bars)) {
    abort_hlm("design", "No random effect is left without the terms that this variant takes out.")
  }
  marked
}

# NULL when nothing is left, not even an intercept, which is written out with `one`.
drop_from_sum <- function(expr, gone, problem, one = FALSE) {
  tt <- sum_terms(apart(expr, problem))
  variables <- as.list(attr(tt, "variables"))[-1L]
  out <- vapply(variables, function(variable) any(expr_vars(variable) %in% gone), NA)
  if (!any(out)) return(expr)
  factors <- attr(tt, "factors")
  terms <- list()
  for (j in seq_along(attr(tt, "term.labels"))) {
    if (any(factors[, j] > 0L & out)) next
    terms <- c(terms, list(Reduce(function(a, b) call(":", a, b), variables[factors[, j] > 0L])))
  }
  # an offset is known, not estimated: it stays
  terms <- c(terms, variables[attr(tt, "offset")])
  intercept <- attr(tt, "intercept") == 1L
  if (!length(terms)) return(if (intercept) 1)
  Reduce(function(a, b) call("+", a, b), c(if (!intercept) 0 else if (one) 1, terms))
}

# cx(x) stands for x itself and between(x), which are in the model already; it marks the model as contextual.
add_contextual <- function(fixed, problem) {
  labels <- attr(sum_terms(apart(fixed, problem)), "term.labels")
  for (i in seq_along(problem$focal)) {
    if (!all(c(as.character(within_marker(i)), as.character(between_marker(i))) %in% labels)) {
      abort_hlm("design", "The contextual form needs the main effects of both the within and the between part.")
    }
    if (!as.character(both_marker(i)) %in% all.names(fixed)) fixed <- call("+", fixed, both_marker(i))
  }
  fixed
}

fill_markers <- function(marked, calls) {
  marked$fixed <- eval(call("substitute", marked$fixed, calls))
  marked$bars <- lapply(marked$bars, function(bar) {
    bar$lhs <- eval(call("substitute", bar$lhs, calls))
    bar
  })
  marked
}

# What the markers of focal variable i stand for.
variant_calls <- function(problem, i, settings) {
  focal <- variant_focal(problem, i, settings)
  value <- lagged_call(focal$expr, focal$lag)
  request <- function(head, level = TRUE) {
    degree <- focal$degree
    parts <- list(as.name(head), value)
    if (degree > 0L) parts$detrend <- if (degree == 1L) TRUE else degree
    if (level) {
      if (degree > 0L) parts$at <- focal$at
      if (length(focal$chain)) parts$level <- focal$chain
    }
    as.call(parts)
  }
  raw <- settings$x %in% c("contextual", "raw")
  calls <- list(
    if (raw) value else request("within", level = FALSE), request("between"),
    if (settings$x == "raw") value else request(if (raw) "cx" else "wb")
  )
  stats::setNames(calls, vapply(list(within_marker(i), between_marker(i), both_marker(i)), as.character, ""))
}

lagged_call <- function(expr, lag) {
  if (lag == 0L) expr else if (lag == 1L) call("lagged", expr) else call("lagged", expr, as.double(lag))
}

# The focal variable as a specification has it: lag, degree of the trend, whether it is x itself and the mean.
variant_focal <- function(problem, i, settings) {
  focal <- problem$focal[[i]]
  if (settings$lag != problem$base$lag) focal$lag <- settings$lag
  if (settings$x != problem$base$x) {
    focal$degree <- if (settings$x == "detrend") problem$degree else 0L
    focal$at <- problem$at
    focal$contextual <- settings$x == "contextual"
  }
  focal
}
