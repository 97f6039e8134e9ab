# What a residual structure needs of every row: evaluated with the frame, checked over the rows analysed, handed to the core.

# Times and strata over all rows; a missing one takes its row out.
add_residual_values <- function(frame, spec, env) {
  for (part in spec$residual$parts) {
    label <- expr_text(part$expr)
    if (residual_registry()[[part$name]]$needs == "time") {
      x <- plain_column(eval_variable(part$expr, frame$raw, env))
      value <- time_values(x, label)$values
    } else {
      value <- read_group(part$expr, function(atom) eval_variable(atom, frame$raw, env))
    }
    if (n_values(if (is.list(value)) value$codes else value) != frame$n) {
      abort_hlm("data", "{.var {label}} in {.arg residual} does not have one value for each of the {frame$n} rows.")
    }
    frame$residual[[part$name]] <- list(label = label, value = value)
  }
  frame
}

missing_residual_values <- function(entry) {
  if (is.list(entry$value)) return(entry$value$codes == 0L)
  is.na(entry$value)
}

take_residual_values <- function(entry, rows) {
  entry$value <- if (is.list(entry$value)) compact_factor(entry$value, rows) else entry$value[rows]
  entry
}

# The element `residual` of the design: see design/0001-contract.md.
residual_design <- function(spec, frame, design) {
  person <- frame$factors[[frame$id]]
  parts <- lapply(spec$residual$parts, function(part) {
    entry <- frame$residual[[part$name]]
    if (residual_registry()[[part$name]]$correlates) check_residual_person(frame$id, person, design)
    if (!is.list(entry$value)) return(c(list(name = part$name, label = entry$label), serial_times(part$name, entry, person, frame$id)))
    check_strata(entry)
    list(name = part$name, label = entry$label, codes = entry$value$codes, levels = entry$value$levels)
  })
  list(parts = parts, free = NULL)
}

# Residuals are correlated within a person, so a person must be a level of the finest factor, and that one inside all others.
check_residual_person <- function(id, person, design) {
  groups <- design$groups[used_groups(design)]
  size <- vapply(groups, function(g) length(g$levels), 0L)
  finest <- groups[[which.max(size)]]
  if (!same_partition(person$codes, finest$codes)) {
    other <- finest$name
    abort_hlm("covariance", c(
      "Residuals correlated over time belong to a person, {.var {id}}, but the finest grouping factor with random effects is {.var {other}}.",
      i = if (length(person$levels) > length(finest$levels)) {
        "Add a random intercept of the person: {.code (1 | {id})}."
      } else {
        "Sessions of one person may not be split among levels of {.var {other}}: leave that term out, or let {.code id = {other}} be the person."
      }
    ))
  }
  for (group in groups) {
    if (!is_nested(finest, group)) {
      abort_hlm("covariance", c(
        "Residuals cannot be correlated in a model with crossed grouping factors: {.var {finest$name}} is not nested in {.var {group$name}}.",
        i = "Leave one of the two out, or fit the model without {.arg residual}."
      ))
    }
  }
}

# Times from each person's first one, and the typical and the shortest distance between neighbours.
serial_times <- function(name, entry, person, id) {
  time <- entry$value
  check_duplicate_times(person$codes, time, person$levels, list(id = id, time = entry$label))
  order <- order(person$codes, time)
  codes <- person$codes[order]
  first <- !duplicated(codes)
  start <- time[order][first]
  time <- time - start[match(person$codes, codes[first])]
  if (name == "ar1") {
    whole <- round(time)
    off <- abs(time - whole) > 1e-6
    if (any(off)) {
      abort_hlm("covariance", c(
        "{.fn ar1} needs sessions that are whole numbers apart; {.var {entry$label}} is not, in {sum(off)} row{?s}.",
        i = "Use {.code residual = \"car1\"} for times at any distance."
      ))
    }
    time <- whole
  }
  gap <- diff(time[order])[!first[-1L]]
  if (!length(gap)) abort_hlm("covariance", "No {.var {id}} has two rows: residuals cannot be correlated.")
  list(time = as.double(time), unit = stats::median(gap), shortest = min(gap))
}

# The element `residual` for drawn rows. Strata without a row have no variance to estimate.
residual_of_rows <- function(residual, rows) {
  parts <- lapply(residual$parts, function(part) {
    if (!is.null(part$time)) {
      part$time <- part$time[rows]
      return(part)
    }
    present <- sort(unique(part$codes[rows]))
    if (length(present) < 2L) return(NULL)
    part$codes <- match(part$codes[rows], present)
    part$levels <- part$levels[present]
    part
  })
  parts <- Filter(Negate(is.null), parts)
  if (length(parts)) list(parts = parts, free = NULL)
}

# Strata: enough rows in each to have a variance.
check_strata <- function(entry) {
  levels <- entry$value$levels
  rows <- tabulate(entry$value$codes, length(levels))
  if (length(levels) < 2L) {
    abort_hlm("covariance", "{.fn hetero}: {.var {entry$label}} has one value only, {.val {levels}}, in the rows analysed.")
  }
  if (length(levels) > 50L) {
    abort_hlm("covariance", c(
      "{.fn hetero}: {.var {entry$label}} has {length(levels)} different values, each of which would get a variance of its own.",
      i = "Make a few groups of them, for example with {.fn cut}."
    ))
  }
  few <- levels[rows < 3L]
  if (length(few)) {
    abort_hlm("covariance", c(
      "{.fn hetero}: too few rows for a variance of their own where {.var {entry$label}} is {show_some(few)}.",
      i = "Join values, or leave these rows out."
    ))
  }
}
