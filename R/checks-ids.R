# Ids that are used again: patient 1 of one therapist is not patient 1 of the next, but a formula or an `id` that leaves the
# therapist out takes them for one person. Nothing can be proved from ids alone, so these are warnings with advice.

warn_ids <- function(spec, frame) {
  if (length(frame$factors) < 2L && is.null(spec$time)) {
    return(invisible())
  }
  # a variable with an effect of its own in the fixed part (the session, the rater's task) is no id
  others <- c(spec$time, spec$terms$labels)
  if (!warn_restarted_ids(frame$factors, frame$id, others)) warn_repeated_times(spec, frame)
}

# Patients numbered 1, 2, 3, ... anew for each therapist, but written as (1 | therapist) + (1 | patient). Only pairs of
# factors one of which is the person are looked at. TRUE when there was a warning.
warn_restarted_ids <- function(factors, id, others = character()) {
  person <- factors[[id]]
  warned <- FALSE
  if (length(factors) < 2L || call_head(person$expr) != "") {
    return(warned)
  }
  for (other in factors) {
    # sessions are numbered from 1 for everyone, rightly so
    if (other$name == id || call_head(other$expr) != "" || any(c(other$name, id) %in% others)) next
    if (!spread_nested(person, other) && !combined_name_known(person, other, factors)) {
      warned <- warn_restarted_pair(person, other, id) || warned
    }
  }
  warned
}

# Nested one in the other, as far as some thousand rows spread over the data tell: ids that restart in every therapist show
# it there. All rows would cost more than the fit of a large nested model.
spread_nested <- function(a, b) {
  n <- length(a$codes)
  if (n > 5000L) {
    some <- as.integer(seq.int(1, n, length.out = 5000L))
    a$codes <- a$codes[some]
    b$codes <- b$codes[some]
  }
  same_in_first(b$codes, a$codes) || same_in_first(a$codes, b$codes)
}

combined_name_known <- function(a, b, factors) {
  for (factor in factors) {
    if (call_head(factor$expr) == "") next
    atoms <- vapply(group_atoms(factor$expr), expr_text, "")
    if (all(c(a$name, b$name) %in% atoms)) {
      return(TRUE)
    }
  }
  FALSE
}

# TRUE when the numbering of one factor starts again within the other (and a warning said so). With (nearly) as many numbers in
# each group the data look the same as those of a crossed design (every rater rates everyone): then a message, and only
# when a cell has several rows, as sessions of a person would be.
warn_restarted_pair <- function(a, b, id) {
  n_a <- length(a$levels)
  n_b <- length(b$levels)
  cell <- engine_group_codes((a$codes - 1) * n_b + b$codes)$first
  if (length(cell) < 2L * max(n_a, n_b)) {
    return(FALSE)
  }
  unbroken <- c(restart_share(a, b, cell), restart_share(b, a, cell))
  if (max(unbroken) < 0.8) {
    return(FALSE)
  }
  swap <- if (unbroken[[1L]] == unbroken[[2L]]) n_b < n_a else unbroken[[2L]] > unbroken[[1L]]
  inner <- if (swap) b else a
  outer <- if (swap) a else b
  if (length(cell) < 0.9 * n_a * n_b) {
    warn_restarted(inner, outer, length(cell), id)
    return(TRUE)
  }
  if (length(a$codes) >= 2L * length(cell)) inform_crossed(inner, outer)
  FALSE
}

# The share of numbers present among 1, 2, ... up to the largest one of each outer group; 0 when the labels do not count or
# when fewer than four in five outer groups have number 1.
restart_share <- function(inner, outer, cell) {
  number <- label_numbers(inner$levels)
  if (is.null(number)) {
    return(0)
  }
  own <- number[inner$codes[cell]]
  of <- outer$codes[cell]
  n_outer <- length(outer$levels)
  if (sum(own == 1) < 0.8 * n_outer) {
    return(0)
  }
  largest <- numeric(n_outer)
  order <- order(own)
  largest[of[order]] <- own[order]
  length(cell) / sum(largest)
}

# Whole numbers from 1 in labels such as "3", "P3" or "patient 03"; NULL for labels that do not count.
label_numbers <- function(labels) {
  digits <- gsub("^[^0-9]+|[^0-9]+$", "", labels)
  if (!all(grepl("^[0-9]{1,9}$", digits))) {
    return(NULL)
  }
  number <- as.numeric(digits)
  counts <- min(number) == 1 && max(number) <= 2 * length(number) && !anyDuplicated(number)
  if (counts) number
}

warn_restarted <- function(inner, outer, n_cells, id) {
  warn_hlm("data", c(
    "The numbers of {.var {inner$name}} start again at 1 in nearly every {.var {outer$name}}: are ids used again?",
    i = "The model takes {.var {inner$name}} 1 of one {.var {outer$name}} for the same as {.var {inner$name}} 1 of the next:
         {length(inner$levels)} different ones. If each {.var {outer$name}} has its own, there are {n_cells}, and the term to write is
         {.code (1 | {outer$name}/{inner$name})}.",
    i = "As it stands, the model takes {.var {id}} for the person.",
    i = "If they really are the same ones (a crossed design), the model is right as it stands."
  ))
}

inform_crossed <- function(inner, outer) {
  inform_hlm("data", c(
    "(Nearly) every {.var {inner$name}} occurs with every {.var {outer$name}}: the model takes this for a crossed design.",
    i = "If each {.var {outer$name}} numbers its own {.var {inner$name}}s from 1, write
         {.code (1 | {outer$name}/{inner$name})}."
  ))
}

# With `time` given, a person should have one row per time. (Lags and trends cannot do without that, and stop.)
warn_repeated_times <- function(spec, frame) {
  if (is.null(spec$time) || identical(spec$time, frame$id) || needs_time(spec)) {
    return(invisible())
  }
  person <- frame$factors[[frame$id]]
  time <- time_codes(frame$raw[[spec$time]])
  if (length(frame$rows) < length(time)) time <- time[frame$rows]
  width <- max(time)
  if (as.double(width) * length(person$levels) < .Machine$integer.max) {
    key <- (person$codes - 1L) * width + time
  } else {
    key <- (person$codes - 1) * width + time
  }
  if (any_zero(time)) key[time == 0L] <- NA
  n_extra <- sum(time > 0L) - length(engine_group_codes(key)$first)
  if (n_extra == 0L) {
    return(invisible())
  }
  repeated <- unique(person$codes[duplicated(key) & time > 0L])
  warn_repeated(spec, frame, person, sort.int(repeated), n_extra)
}

# Codes 1, 2, ... of the times, 0 where the time is missing.
time_codes <- function(x) {
  if (is.factor(x)) x <- as.integer(x)
  if (is.object(x)) x <- as.double(if (inherits(x, "POSIXlt")) as.POSIXct(x) else x)
  engine_group_codes(x)$codes
}

warn_repeated <- function(spec, frame, person, repeated, n_extra) {
  shown <- show_some(person$levels[repeated])
  simple <- call_head(person$expr) == ""
  warn_hlm("data", c(
    "{length(repeated)} of {length(person$levels)} persons ({.var {frame$id}}) {cli::qty(length(repeated))}{?has/have} more than
     one row for the same {.var {spec$time}}, {n_extra} row{?s} too many in all: {shown}.",
    i = if (simple) "The model takes {.var {frame$id}} for the person. Are its numbers used again, for example by every therapist? Then
         write {.code (1 | therapist/{frame$id})}. If the person is another variable, name it: {.code id = }.",
    i = "If rows were entered twice, remove or average the duplicates. If several rows per {.var {spec$time}} are intended, the
         model is right as it stands."
  ))
}
