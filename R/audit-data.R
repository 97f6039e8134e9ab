# What every check of audit() reads: the data in long form, sorted by person and time, columns as numbers.

# `source`: list(person, time_raw, columns, role, covariates, levels, bounds, names, rows, others, fit).
new_audit_data <- function(source) {
  person <- source$person
  time <- if (!is.null(source$time_raw)) audit_time(source$time_raw)
  n <- length(person$codes)
  lost <- list(person = which(person$codes == 0L), time = if (!is.null(time)) which(is.na(time$values)) else integer())
  keep <- setdiff(seq_len(n), unlist(lost))
  if (!length(keep)) {
    abort_hlm("data", c(
      "No row has both a person and a time: there is nothing to read.",
      i = "Missing: {.var {source$names$id}} in {length(lost$person)}, {.var {source$names$time %||% 'time'}} in {length(lost$time)} of {n} rows."
    ))
  }
  key <- if (is.null(time)) keep else time$values[keep]
  order <- keep[order(person$codes[keep], key)]
  person <- compact_factor(person, rows = order)
  a <- list(
    names = source$names, fit = source$fit, others = source$others, lost = lost, n_rows = n, row = order, label = source$rows[order], all_labels = source$rows,
    person = person$codes, person_labels = person$levels, n_persons = length(person$levels), time = time$values[order], time_kind = time$kind,
    time_raw = source$time_raw, columns = lapply(source$columns, `[`, order), role = source$role,
    covariates = lapply(source$covariates, `[`, order), levels = lapply(source$levels, compact_factor, rows = order),
    bounds = source$bounds, lags = source$lags, cache = new.env()
  )
  a$infinite <- lapply(a$columns, function(x) which(is.infinite(x)))
  a$columns <- lapply(a$columns, function(x) ifelse(is.finite(x), x, NA))
  a$coded <- lapply(stats::setNames(nm = names(a$columns)), function(name) missing_codes(a$columns[[name]], a$bounds[[name]]))
  a$coded <- Filter(length, a$coded)
  # read as missing from here on: one 999 would spoil every mean
  for (name in names(a$coded)) {
    a$coded_rows[[name]] <- which(a$columns[[name]] %in% a$coded[[name]])
    a$columns[[name]][a$coded_rows[[name]]] <- NA
  }
  a$seen <- Reduce(`|`, lapply(a$columns, function(x) !is.na(x)))
  add_sessions(a)
}

# Values such as 99, 999, -9 far away from all others (by more than their whole range), or outside the scale.
missing_codes <- function(x, bounds = NULL) {
  codes <- c(-9, -99, -999, -9999, -8, -7, -88, -77, 77, 88, 99, 777, 888, 999, 7777, 8888, 9999)
  found <- codes[codes %in% x]
  others <- x[!x %in% codes & !is.na(x)]
  if (!length(found) || !length(others)) return(numeric())
  around <- range(others) + c(-1, 1) * max(diff(range(others)), 1e-8)
  if (!is.null(bounds)) around <- bounds
  found[found < around[[1L]] | found > around[[2L]]]
}

# Times as numbers. Of text that mostly holds numbers the words are set aside; other text is counted in the order in which it appears, so that
# the rest can be read.
audit_time <- function(x) {
  kind <- if (inherits(x, c("Date", "POSIXt"))) "date" else if (inherits(x, "difftime")) "duration" else "number"
  values <- tryCatch(time_values(x, "time")$values, hlm_error_data = function(e) NULL)
  if (is.null(values)) {
    kind <- "text"
    words <- if (is.factor(x)) levels(x) else unique(as.character(x[!is.na(x)]))
    numbers <- suppressWarnings(as.numeric(words))
    if (mean(is.na(numbers)) >= 0.5) numbers <- seq_along(words)
    values <- numbers[match(as.character(x), words)]
  }
  values[!is.finite(values)] <- NA
  list(values = time_key(values), kind = kind)
}

# The sessions that took place: one entry per person and time with a value of any variable; and the grid they lie on.
add_sessions <- function(a) {
  first <- c(TRUE, a$person[-1L] != a$person[-length(a$person)])
  if (is.null(a$time)) {
    a$sessions <- list(rows = which(a$seen), person = a$person[a$seen])
    a$time_usable <- FALSE
    return(a)
  }
  twice <- !first & c(FALSE, a$time[-1L] == a$time[-length(a$time)])
  a$twice <- which(twice)
  a$time_usable <- mean(twice) <= 0.05
  # several rows of a session count as one, held by the first that has a value
  rows <- which(a$seen)
  again <- c(FALSE, a$person[rows][-1L] == a$person[rows][-length(rows)] & a$time[rows][-1L] == a$time[rows][-length(rows)])
  if (length(rows) < 2L) again <- rep(FALSE, length(rows))
  rows <- rows[!again]
  a$sessions <- list(rows = rows, person = a$person[rows], time = a$time[rows])
  a$grid <- audit_grid(a$sessions$person, a$sessions$time)
  a
}

# The spacing of the sessions. `step`: the most frequent interval between neighbouring sessions of a person; `regular`: intervals are
# whole multiples of it, and at least half of the sessions expected on that grid (or of the intervals) are there; `times`: the sessions that
# anyone had.
audit_grid <- function(person, time) {
  n <- length(time)
  none <- list(regular = FALSE, step = NA_real_, share = NA_real_, times = sort(unique(time)))
  if (n < 2L) return(none)
  steps <- time_key(diff(time))[person[-1L] == person[-n]]
  if (!length(steps)) return(none)
  runs <- rle(sort(steps))
  step <- runs$values[[which.max(runs$lengths)]]
  share <- max(runs$lengths) / length(steps)
  whole <- abs(steps / step - round(steps / step)) < 1e-6
  last <- c(person[-1L] != person[-n], TRUE)
  first <- c(TRUE, last[-n])
  occupied <- n / sum((time[last] - time[first]) / step + 1)
  list(
    regular = mean(whole) > 0.99 && (share >= 0.5 || occupied >= 0.5), step = step, share = share, steps = steps, times = sort(unique(time)),
    first = time[first], last = time[last], occupied = occupied
  )
}

# The value of a column one session earlier (by time), for every row; the first row of a session holds it.
audit_lag <- function(a, x, steps = 1) {
  lagged_values(x, a$person, a$time, steps * a$grid$step)
}

# Values minus the person's own mean; persons with one value give 0.
audit_centred <- function(a, x) x - audit_means(a, x)[a$person]

audit_means <- function(a, x) {
  sums <- engine_group_sums(as.double(x), a$person, a$n_persons)
  sums$sum / sums$count
}

audit_counts <- function(a, x) engine_group_sums(as.double(x), a$person, a$n_persons)$count

predictors_of <- function(a) names(a$role)[a$role == "predictor"]

outcomes_of <- function(a) names(a$role)[a$role == "outcome"]

# From a data frame -----------------------------------------------------------------------------------------------------------------------------

audit_source_data <- function(data, variables, caller) {
  id <- variables$id
  person <- read_group(id, function(atom) data[[as.character(atom)]])
  used <- c(vapply(group_atoms(id), expr_text, ""), variables$time, variables$level, variables$covariates)
  measured <- c(variables$y, variables$x)
  chosen <- is.null(measured)
  if (chosen) measured <- audit_measured(data, setdiff(names(data), used), person)
  columns <- stats::setNames(lapply(measured, function(name) audit_numbers(data[[name]], name)), measured)
  role <- stats::setNames(ifelse(measured %in% variables$y, "outcome", "predictor"), measured)
  list(
    person = person, time_raw = if (!is.null(variables$time)) plain_column(data[[variables$time]]), columns = columns, role = role,
    covariates = lapply(stats::setNames(nm = variables$covariates), function(name) plain_column(data[[name]])),
    levels = lapply(stats::setNames(nm = variables$level), function(name) group_factor(plain_column(data[[name]]), name)),
    bounds = audit_bounds(variables$scale, measured), rows = seq_len(nrow(data)),
    names = list(id = expr_text(id), time = variables$time, chosen = chosen),
    others = as.list(data)[setdiff(names(data), c(used, measured))]
  )
}

# Without y and x: every number that changes within persons.
audit_measured <- function(data, names, person) {
  changes <- vapply(names, function(name) {
    x <- plain_column(data[[name]])
    if (!is.numeric(x) || is.object(x) || !is.null(dim(x))) return(FALSE)
    known <- !is.na(x) & person$codes > 0L
    if (!any(known)) return(FALSE)
    first <- match(seq_along(person$levels), person$codes[known])
    any(x[known] != x[known][first][person$codes[known]])
  }, NA)
  if (!any(changes)) {
    abort_hlm("data", c(
      "No numeric column changes from row to row of a person.",
      i = "Name the outcome and the predictors: {.code audit(data, y = distress, x = alliance, id = patient, time = session)}."
    ))
  }
  names[changes]
}

audit_numbers <- function(x, name) {
  x <- plain_column(x)
  x <- if (is.matrix(x) && ncol(x) == 1L) x[, 1L] else x
  if (!(is.numeric(x) || is.logical(x)) || is.object(x) || !is.null(dim(x))) {
    kind <- if (is.factor(x)) "a factor (categories)" else if (is.character(x)) "text" else paste("of class", class(x)[[1L]])
    abort_hlm("data", c(
      "{.var {name}} is {kind}, not a number: it cannot be read as an outcome or predictor measured in every session.",
      i = "If its values are numbers, turn them into numbers; a category of the person belongs to {.arg covariates}."
    ))
  }
  if (all(is.na(x))) abort_hlm("data", "{.var {name}} is missing in every row.")
  as.double(x)
}

# `scale`: c(min, max) for all measured variables, or a list by name.
audit_bounds <- function(scale, measured) {
  if (is.null(scale)) return(list())
  pair <- function(x) is.numeric(x) && length(x) == 2L && !anyNA(x) && x[[1L]] < x[[2L]]
  if (pair(scale)) return(lapply(stats::setNames(nm = measured), function(name) as.double(scale)))
  if (!is.list(scale) || is.null(names(scale)) || !all(vapply(scale, pair, NA))) {
    abort_hlm("data", c(
      "{.arg scale} must give the smallest and the largest possible value: {.code c(1, 7)} for all variables, or a list by name.",
      i = "For example {.code scale = list(alliance = c(1, 7), distress = c(0, 63))}."
    ))
  }
  unknown <- setdiff(names(scale), measured)
  if (length(unknown)) {
    abort_hlm("data", c("{.arg scale} names {.var {unknown}}, which {?is/are} not audited.", i = "Audited: {.var {measured}}."))
  }
  lapply(scale, as.double)
}

# Columns given as bare names, strings, c() of these, or a variable of the caller that holds strings.
capture_columns <- function(expr, names, caller, argument) {
  if (is.null(expr)) return(NULL)
  if (is.symbol(expr) && as.character(expr) %in% names) return(as.character(expr))
  found <- if (is.character(expr)) {
    expr
  } else if (call_head(expr) == "c") {
    unlist(lapply(as.list(expr)[-1L], capture_columns, names = names, caller = caller, argument = argument))
  } else {
    value <- tryCatch(eval(expr, caller), error = function(e) NULL)
    if (is.null(value) && is.symbol(expr) && exists(as.character(expr), envir = caller)) return(NULL)
    if (is.character(value)) value else abort_missing_name(deparse1(expr), names, argument)
  }
  unknown <- setdiff(found, names)
  if (length(unknown)) abort_missing_name(unknown[[1L]], names, argument)
  unique(found)
}
