# Time: what counts as a session, and the value some sessions before.

# Any accepted time variable as numbers. Dates and date-times count days since the first one in the data (`origin`, kept
# with the fit so that new data are counted from the same day), time differences are taken in days.
time_values <- function(x, name, origin = NULL) {
  if (inherits(x, c("Date", "POSIXt"))) {
    days <- if (inherits(x, "Date")) as.double(x) else as.double(as.POSIXct(x)) / 86400
    if (is.null(origin)) origin <- min(days, na.rm = TRUE)
    return(list(values = days - origin, origin = origin))
  }
  if (inherits(x, "difftime")) {
    return(list(values = as.double(x, units = "days"), origin = NULL))
  }
  if (is.factor(x)) {
    numbers <- suppressWarnings(as.numeric(levels(x)))
    if (!anyNA(numbers)) {
      return(list(values = numbers[as.integer(x)], origin = NULL))
    }
    if (is.ordered(x)) {
      return(list(values = as.double(as.integer(x)), origin = NULL))
    }
  }
  if (is.character(x)) {
    numbers <- suppressWarnings(as.numeric(x))
    if (!any(is.na(numbers) & !is.na(x))) {
      return(list(values = numbers, origin = NULL))
    }
  }
  if (!is.numeric(x)) {
    shown <- show_some(unique(x), 4L)
    abort_hlm("data", c(
      "The time variable {.var {name}} has values that are not numbers: {shown}.",
      i = "Give numbers (sessions 1, 2, 3, ...), dates, or an ordered factor: its levels then count 1, 2, 3, ..."
    ))
  }
  list(values = as.double(x), origin = NULL)
}

# A column of data as such numbers.
time_column <- function(data, name, origin = NULL) time_values(plain_column(data[[name]]), name, origin)$values

# The times of a fit's analysed rows; NULL where it knows no time.
fit_times <- function(fit) {
  origin <- if (length(fit$means)) fit$means[[1L]]$origin
  if (!is.null(fit$time)) time_column(fit$data, fit$time, origin)[fit$rows]
}

# One number per distinct time, equal for times that differ by rounding only (0.1 * 3 and 0.3).
time_key <- function(time) {
  round(time, 8L)
}

# Two rows of one person at the same time: the order of the sessions is then unknown.
check_duplicate_times <- function(person, time, labels, names) {
  observed <- person > 0L & !is.na(time)
  times <- time_key(time)
  distinct <- unique(times[observed])
  key <- person * (length(distinct) + 1) + match(times, distinct)
  twice <- observed & duplicated(key)
  if (any(twice)) {
    persons <- unique(person[twice])
    shown <- show_some(labels[persons])
    at <- paste(labels[person[which(twice)[1L]]], "at", names$time, format(time[which(twice)[1L]]))
    abort_hlm("data", c(
      "{length(persons)} {cli::qty(length(persons))}person{?s} {?has/have} more than one row for the same
       {.var {names$time}}: {shown}.",
      x = "For example {at}; {sum(twice)} row{?s} too many in all.",
      i = "Lags and trends need one row per {.var {names$id}} and {.var {names$time}}. Remove or average the duplicates."
    ))
  }
}

# The value `n` sessions before, by time and not by row: missing where that session is missing. Times that are not whole
# numbers are matched after rounding to 8 decimals. `history`, for new data, is list(x, person, time) of rows to look in
# after the data's own.
lagged_values <- function(x, person, time, n, history = NULL) {
  from <- list(x = c(x, history$x), person = c(person, history$person), time = time_key(c(time, history$time)))
  distinct <- unique(from$time)
  width <- length(distinct) + 1
  key <- from$person * width + match(from$time, distinct)
  key[from$person == 0L | is.na(from$person) | is.na(from$time)] <- NA
  wanted <- person * width + match(time_key(time - n), distinct)
  wanted[is.na(time)] <- NA
  from$x[match(wanted, key, incomparables = NA)]
}

# How far apart in time sessions usually lie: the most frequent interval between neighbouring times of a person (4 for forms every four hours, 7 for
# weekly dates). 1 where that is no whole number, or where no one has two times.
session_step <- function(person, time) {
  known <- !is.na(person) & !is.na(time)
  code <- match(person, unique(person))[known]
  time <- time_key(time[known])
  sorted <- order(code, time)
  steps <- time_key(diff(time[sorted]))[diff(code[sorted]) == 0L]
  runs <- rle(sort(steps[steps > 0]))
  if (!length(runs$values)) return(1L)
  step <- runs$values[[which.max(runs$lengths)]]
  if (step >= 1 && step == round(step) && step <= .Machine$integer.max) as.integer(step) else 1L
}

# The same for all rows that a fit keeps, by the time variable named.
fit_session_step <- function(fit, data, clock) {
  expr <- if (length(fit$means)) fit$means[[1L]]$id else fit$spec$id
  if (is.null(expr) || is.null(clock)) return(1L)
  session_step(group_labels(expr, as.list(data), environment(fit$formula)), time_column(data, clock))
}

# "4 in hour" beside a count of sessions, where sessions are not one unit of time apart.
lag_in_time <- function(lag, step, time) if (step == 1L || lag == 0L) "" else paste0(" (", format(abs(lag)), " in ", time, ")")
