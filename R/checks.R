# Checks of arguments and of data. Each says what was found, where, and what to do.

is_number <- function(x) {
  is.numeric(x) && length(x) == 1L && !is.na(x) && is.finite(x)
}

check_choice <- function(value, choices, name) {
  if (identical(value, choices)) {
    return(choices[[1L]])
  }
  found <- if (is.character(value) && length(value) == 1L) pmatch(value, choices) else NA_integer_
  if (is.na(found)) {
    given <- if (is.character(value)) value else paste("an object of class", class(value)[1L])
    abort_hlm("design", "{.arg {name}} must be one of {.val {choices}}, not {.val {given}}.")
  }
  choices[[found]]
}

check_level <- function(level, name = "level") {
  if (!is.numeric(level) || length(level) != 1L || !isTRUE(level > 0 && level < 1)) {
    abort_hlm("data", "{.arg {name}} must be one number between 0 and 1, for instance 0.95.")
  }
}

check_flag <- function(value, name) {
  if (!is.logical(value) || length(value) != 1L || is.na(value)) {
    abort_hlm("design", "{.arg {name}} must be TRUE or FALSE.")
  }
}

# A seed for R's own generator, which takes integers only; NULL leaves the session's stream as it is.
check_session_seed <- function(seed) {
  if (is.null(seed)) return(invisible())
  if (check_boot_seed(seed) > .Machine$integer.max) {
    abort_hlm("data", "{.arg seed} must not be larger than 2147483647.")
  }
}

# Starts R's generator at a seed until the calling function ends, and then puts the session's stream back; NULL draws from the session's own.
local_seed <- function(seed, frame = parent.frame()) {
  check_session_seed(seed)
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) stats::runif(1L)
  if (is.null(seed)) return(invisible())
  restore <- bquote(assign(".Random.seed", .(get(".Random.seed", envir = globalenv())), envir = globalenv()))
  do.call(on.exit, list(restore, add = TRUE), envir = frame)
  set.seed(seed)
}

# Columns as other packages deliver them (labelled SPSS or Stata columns, 64-bit integers, I()) as plain vectors.
plain_column <- function(x) {
  if (!is.object(x) || is.factor(x) || inherits(x, c("Date", "POSIXt", "difftime"))) {
    return(x)
  }
  if (inherits(x, "integer64")) {
    return(as.double(x))
  }
  if (inherits(x, c("haven_labelled", "labelled", "AsIs"))) {
    bare <- unclass(x)
    attributes(bare) <- attributes(bare)[c("dim", "dimnames")]
    return(bare)
  }
  x
}

check_outcome <- function(y, label) {
  if (is.double(y) && is.null(attributes(y)) || is.numeric(y) && !is.factor(y) && NCOL(y) == 1L) {
    return(invisible())
  }
  kind <- if (is.factor(y)) {
    "a factor (categories)"
  } else if (is.character(y)) {
    "text"
  } else if (is.logical(y)) {
    "TRUE/FALSE"
  } else if (NCOL(y) > 1L) {
    "a table of several columns"
  } else {
    paste("of class", class(y)[1L])
  }
  hint <- if (is.character(y) || is.factor(y)) {
    "If its values are numbers, turn them into numbers: as.numeric(as.character(...)). Look for a decimal comma or for
     words such as 'missing' in the file."
  } else {
    "hlm() is for outcomes measured on a scale."
  }
  abort_hlm("data", c("The outcome {.var {label}} must be a number; it is {kind}.", i = hint))
}

check_column_type <- function(x, label) {
  if (is.list(x) && !inherits(x, "POSIXlt")) {
    abort_hlm("data", c(
      "{.var {label}} is a list column: its cells hold whole objects, not single values.",
      i = "Take it apart first (for example with {.fn tidyr::unnest}), or leave it out."
    ))
  }
  if (is.complex(x) || is.raw(x) || is.function(x)) {
    abort_hlm("data", "{.var {label}} is of type {.cls {typeof(x)}} and cannot be used in a model.")
  }
}

# sum() meets every value once and allocates nothing: only if it is not finite is the column looked at closely. (Sums of
# integers may overflow; they have no Inf anyway.) It is slow, in long double, for long columns.
is_clean <- function(x) {
  if (!is.double(x) || is.object(x)) {
    return(!anyNA(x))
  }
  if (length(x) > 5000L) engine_all_finite(x) else is.finite(sum(x))
}

# Inf and NaN come from a calculation gone wrong, so they are not treated as missing values.
check_finite <- function(x, label, rows) {
  bad <- if (is.double(x)) which(is.infinite(x) | is.nan(x)) else integer()
  if (length(bad) == 0L) {
    return(invisible())
  }
  bad <- (bad - 1L) %% length(rows) + 1L
  values <- unique(c(if (any(is.nan(x))) "NaN", if (any(is.infinite(x))) "infinite"))
  shown <- show_some(rows[unique(bad)])
  abort_hlm("data", c(
    "{.var {label}} has {values} values in {cli::qty(length(unique(bad)))} row{?s} {shown}.",
    i = "They come from a calculation such as log(0), 0/0 or a mean of no items. Correct them, or set them to {.val NA}
         if the value is unknown."
  ))
}

# read.csv() leaves an empty cell of a text column as "", which would silently become a category or a person of its own.
warn_blank_labels <- function(levels, frame) {
  for (name in names(frame$atoms)) {
    # labels of numbers are not made before they are needed
    value <- frame$raw[[name]]
    if (is.character(value) || is.factor(value)) levels[[name]] <- frame$atoms[[name]]$levels
  }
  if (length(levels) == 0L) {
    return(invisible())
  }
  blank <- names(levels)[vapply(levels, has_blank, NA)]
  if (length(blank) == 0L) {
    return(invisible())
  }
  warn_hlm("data", c(
    "{.var {blank}} {?has/have} rows with an empty text, which {?counts/count} as a category of {?its/their} own.",
    i = "If empty means missing, read the file with {.code read.csv(file, na.strings = c(\"\", \"NA\"))}."
  ))
}

# Persons may be many: only labels that start with a blank are looked at closely.
has_blank <- function(labels) {
  if (!all(nzchar(labels))) {
    return(TRUE)
  }
  suspect <- labels[startsWith(labels, " ")]
  length(suspect) > 0L && !all(nzchar(trimws(suspect)))
}

check_groups <- function(design, n) {
  for (group in design$groups) {
    n_levels <- length(group$levels)
    if (n_levels < 2L) {
      abort_hlm("design", c(
        "The grouping variable {.var {group$name}} has only one group ({.val {group$levels}}) in the {n} rows analysed.",
        i = "Differences between groups cannot be estimated from one group. Leave this term out, or check whether rows
             with other groups were lost through missing values."
      ))
    }
    if (n_levels >= n) {
      abort_hlm("design", c(
        "Every {.var {group$name}} has only one row: {n_levels} groups in {n} rows.",
        i = "The group's effect cannot then be told apart from the residual. A multilevel model needs several rows per
             group; check that {.var {group$name}} is the person and not the row."
      ))
    }
  }
  check_outcome_varies(design$y, design)
  for (term in design$terms) {
    group <- design$groups[[term$group]]
    n_effects <- length(term$columns) * length(group$levels)
    if (n_effects >= n) {
      abort_hlm("design", c(
        "The term {.code ({term$label})} has {n_effects} random effects ({length(term$columns)} for each of
         {length(group$levels)} groups), but there are only {n} rows.",
        i = "There are too few rows per {.var {group$name}} for these random slopes. Take a slope out."
      ))
    }
    if (length(group$levels) <= length(design$x)) check_groups_left(design, term, group)
  }
}

# An outcome that is constant in every group of a random intercept leaves nothing for the residual.
check_outcome_varies <- function(y, design) {
  for (term in design$terms) {
    group <- design$groups[[term$group]]
    if (all(term$columns > 0L) || !constant_within(y, group)) next
    abort_hlm("data", c(
      "The outcome never varies within a {.var {group$name}}: nothing is left to explain from row to row.",
      i = "It is an outcome of the {.var {group$name}}, measured once. Analyse one row per {.var {group$name}}, for example with
           {.fn lm}, or take an outcome that was measured in every session."
    ))
  }
}

# The same effect of the same group twice: its variance could be split between the two in any way.
check_terms_differ <- function(design) {
  if (length(design$terms) == 1L && (length(design$terms[[1L]]$columns) == 1L || !anyDuplicated(design$terms[[1L]]$columns))) {
    return(invisible())
  }
  effects <- unlist(lapply(design$terms, function(term) paste(term$group, term$columns)))
  again <- unique(effects[duplicated(effects)])
  if (length(again) == 0L) {
    return(invisible())
  }
  term <- Filter(function(term) any(paste(term$group, term$columns) %in% again), design$terms)[[1L]]
  name <- term$names[paste(term$group, term$columns) %in% again][[1L]]
  abort_hlm("formula", c(
    "The random effect {.val {name}} of {.var {design$groups[[term$group]]$name}} is in the formula more than once.",
    i = "Keep it in one term: {.code (1 | g) + (0 + x | g)} has an intercept and a slope that are not correlated."
  ))
}
