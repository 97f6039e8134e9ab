#' Split variables into within-person and between-person parts
#'
#' Adds to the data the columns that `within()` and `between()` make inside the formula of [hlm()], for use with
#' other software, for plots and for tables.
#'
#' For every variable `x` the result has `x_within`, the deviation from the person's own mean (or, with
#' `method = "detrend"`, from the person's own trend over `time`), and `x_between`, the person's mean (or the level of the trend at
#' time `at`) minus the mean over persons. With `level` the person's mean is split further: `x_between` is then the deviation from the mean of
#' the therapist (say), and `x_between_therapist` the mean over the therapist's persons minus the grand mean. The parts and the grand
#' mean add up to `x`; within parts add up to zero for every person over the rows that define the mean.
#'
#' @param data A data frame, tibble or data.table, one row per person and session. It is not changed.
#' @param ... Variables to split, as bare names or strings.
#' @param id The variable that identifies the person, as a bare name or a string. When persons are numbered anew by every therapist:
#'   `therapist:patient`.
#' @param time The variable that holds the session or time; needed with `method = "detrend"`.
#' @param method `"mean"` (default): person-mean centring. `"detrend"`: residuals from the person's own least-squares trend.
#' @param level Names of higher levels, from the inside out, for example `"therapist"` or `c("therapist", "clinic")`.
#' @param means Rows that define a person's mean of a variable: `"available"` (default here), all rows in which it is observed; or
#'   `"analysis"`, the rows in which all the variables in `...` are observed. (A model knows which rows it analyses, so the default
#'   of [hlm_control()] is `"analysis"`.)
#' @param weighting Each person counts once in grand means and means of higher levels (`"persons"`, default), or as often
#'   as it has rows (`"rows"`).
#' @param at The time at which the level of a trend is taken.
#' @param degree The degree of the trend: 1 (default) a straight line, 2 a parabola.
#'
#' @return `data`, of the same class, with the new columns at its end (columns of the same names are replaced). Where a variable or the
#'   person is missing, so is its within part; persons with too few sessions for a trend have missing values, with a warning
#'   that names them.
#' @section Errors: `hlm_error_data`: a variable that is not in the data, not a number, infinite, constant within every person (no within
#'   part) or the same on average for every person (no between part); two rows of one person at the same time with
#'   `method = "detrend"`; persons who belong to several units of `level`. `hlm_error_formula`: arguments that are not understood.
#' @source Curran & Bauer (2011) Annu Rev Psychol 62:583-619, for both methods; Wang & Maxwell (2015) Psychol Methods 20:63-83, on
#'   when (not) to detrend.
#' @seealso [hlm()]
#' @export
#' @examples
#' # synthetic: three persons, four sessions
#' d <- data.frame(
#'   patient = rep(1:3, each = 4), session = rep(1:4, times = 3),
#'   alliance = c(4, 5, 5, 6, 3, 3, 4, 6, 5, 6, 7, 6)
#' )
#' disaggregate(d, alliance, id = patient)
#' disaggregate(d, alliance, id = patient, time = session, method = "detrend", at = 1)
disaggregate <- function(data, ..., id, time = NULL, method = c("mean", "detrend"), level = NULL,
                         means = c("available", "analysis"), weighting = c("persons", "rows"), at = 0, degree = 1) {
  caller <- parent.frame()
  check_data(data)
  if (is.null(data)) abort_hlm("data", "{.arg data} is missing.")
  method <- check_choice(method, c("mean", "detrend"), "method")
  control <- list(
    means = check_choice(means, c("available", "analysis"), "means"),
    weighting = check_choice(weighting, c("persons", "rows"), "weighting")
  )
  if (missing(id)) {
    abort_hlm("formula", "Say which variable identifies the person: {.code id = patient}.")
  }
  variables <- capture_variables(as.list(substitute(list(...)))[-1L], names(data))
  spec <- data_spec(variables, list(
    id = capture_name(substitute(id), names(data), caller, "id"),
    time = capture_time(substitute(time), names(data), caller),
    degree = if (method == "detrend") parse_degree(degree, "disaggregate()", caller) else 0L,
    at = parse_at(at, "disaggregate()", caller), level = level_names(substitute(level), level, names(data))
  ))
  frame <- data_frame_of(spec, data, caller)
  add_columns(data, data_columns(spec, frame, control))
}

capture_variables <- function(expressions, names) {
  variables <- vapply(expressions, function(expr) {
    if (is.symbol(expr)) as.character(expr) else if (is.character(expr) && length(expr) == 1L) expr else NA_character_
  }, "")
  if (length(variables) == 0L || anyNA(variables) || !is.null(names(expressions))) {
    abort_hlm("formula", c(
      "Name the variables to split, for example {.code disaggregate(data, alliance, distress, id = patient)}.",
      i = "A transformed variable must be a column of the data first."
    ))
  }
  unknown <- setdiff(variables, names)
  if (length(unknown) > 0L) {
    abort_hlm("data", c("The data have no column {.var {unknown}}.", i = "They have {.var {names}}."))
  }
  unique(variables)
}

level_names <- function(expr, level, names) {
  if (is.symbol(expr) && as.character(expr) %in% names) {
    return(as.character(expr))
  }
  parsed <- parse_level(if (is.symbol(expr)) level else expr, "disaggregate()", parent.frame(2L))
  unknown <- setdiff(parsed, names)
  if (length(unknown) > 0L) abort_hlm("data", "{.arg level} names {.var {unknown}}, which the data do not have.")
  parsed
}

# The same spec that a formula with wb() for each variable would give.
data_spec <- function(variables, how) {
  book <- empty_book()
  for (name in variables) {
    request <- list(
      head = "wb", expr = as.name(name), lag = 0L, degree = how$degree, at = how$at, chain = how$level
    )
    book <- add_request(book, as.name(name), request)
  }
  book <- name_columns(book)
  spec <- c(book, list(id = how$id, time = how$time))
  check_time_given(spec)
  spec
}

data_frame_of <- function(spec, data, env) {
  names <- c(vapply(spec$values, function(v) as.character(v$expr), ""), expr_vars(spec$id), spec$time, spec_levels(spec))
  raw <- lapply(unique(names), function(name) plain_column(.subset2(data, name)))
  names(raw) <- unique(names)
  for (name in names(raw)) check_column_type(raw[[name]], name)
  frame <- list(raw = raw, n = .row_names_info(data, 2L))
  groups <- c(list(spec$id), lapply(spec_levels(spec), as.name))
  for (atom in unlist(lapply(groups, group_atoms))) {
    frame$atoms[[expr_text(atom)]] <- group_factor(frame$raw[[expr_text(atom)]], expr_text(atom))
  }
  frame$id <- expr_text(spec$id)
  frame$factors[[frame$id]] <- c(eval_group(spec$id, frame$atoms), list(name = frame$id, expr = spec$id))
  frame <- add_values(frame, spec, env)
  for (key in names(frame$values)) {
    check_finite(frame$values[[key]], spec$values[[key]]$label, seq_len(frame$n))
  }
  frame
}

# Computed on the rows that define the means, then carried to every row of the data.
data_columns <- function(spec, frame, control) {
  complete <- Reduce(`&`, lapply(frame$values, function(x) !is.na(x)))
  out <- list()
  for (source in names(spec$sources)) {
    use <- if (control$means == "analysis") complete else !is.na(frame$values[[spec$sources[[source]]$value]])
    out <- c(out, source_columns(spec, frame, source, use, control))
  }
  out[vapply(spec$columns, `[[`, "", "name")]
}

source_columns <- function(spec, frame, source, use, control) {
  one <- spec
  one$sources <- spec$sources[source]
  one$columns <- Filter(function(column) column$source == source, spec$columns)
  degree <- spec$sources[[source]]$degree
  use <- use & frame$factors[[frame$id]]$codes > 0L
  if (degree > 0L) use <- use & !is.na(frame$time)
  for (level in spec_levels(one)) use <- use & frame$atoms[[level]]$codes > 0L
  short <- find_short_persons(frame, one, !use, "analysis")
  if (!is.null(short)) use <- use & !short$rows
  keep <- which(use)
  if (length(keep) == 0L) {
    abort_hlm("data", "{.var {spec$sources[[source]]$label}} is missing in every row that could be used.")
  }
  kept <- frame
  kept$values <- lapply(frame$values, `[`, keep)
  kept$time <- frame$time[keep]
  kept$factors <- lapply(frame$factors, compact_factor, rows = keep)
  kept$parents <- lapply(frame$atoms[spec_levels(one)], compact_factor, rows = keep)
  made <- disaggregate_frame(one, kept, control)
  spread_columns(made$means[[1L]], frame, spec$sources[[source]], keep)
}

spread_columns <- function(means, frame, source, keep) {
  person <- frame$factors[[frame$id]]
  code <- match(person$levels, means$persons)[ifelse(person$codes > 0L, person$codes, NA)]
  model <- list(coef = means$coef, centre = means$centre)
  lapply(means$columns, function(column) {
    if (column$kind == "within") {
      return(off_trend(frame$values[[source$value]], model, code, frame$time))
    }
    if (column$level == "") {
      return(column$value[code])
    }
    unit <- frame$atoms[[column$level]]
    column$value[match(unit$levels, column$labels)[ifelse(unit$codes > 0L, unit$codes, NA)]]
  })
}

add_columns <- function(data, columns) {
  if (inherits(data, "data.table") && requireNamespace("data.table", quietly = TRUE)) {
    # a data.table is changed in place by its own assignment; the user's must stay as it is
    data <- data.table::copy(data)
    data.table::set(data, j = names(columns), value = columns)
    return(data[])
  }
  for (name in names(columns)) data[[name]] <- columns[[name]]
  data
}
