# The slope of each unit (person, therapist, ...) in one predictor, as a linear combination of fixed and random effects. Everything that
# shows or ranks slopes (R/person-slopes.R and the plots made from it) reads them from here.

# What one unit more of `term` does in the rows of each unit of group g, averaged over them: list(label, x, z, codes, chosen, levels, count):
# rows as prediction_se() takes them. Products with other predictors (a cross-level interaction, a session) count at the unit's own values.
unit_direction <- function(fit, term, g) {
  term <- slope_term(fit, term, g)
  steps <- slope_steps(fit, term)
  group <- fit$design$groups[[g]]
  size <- tabulate(group$codes, length(group$levels))
  average <- function(m) {
    unname(vapply(seq_len(ncol(m)), function(k) engine_group_sums(m[, k], group$codes, length(size))$sum / size, numeric(length(size))))
  }
  first <- match(seq_along(size), group$codes)
  # The effects of the unit itself and of the units it belongs to (a patient's therapist), not those of the units inside it.
  within <- vapply(fit$design$groups, function(other) identical(other$name, group$name) || is_nested(group, other), NA)
  codes <- lapply(seq_along(within), function(h) if (within[[h]]) fit$design$groups[[h]]$codes[first] else rep(NA_integer_, length(size)))
  chosen <- lapply(fit$design$terms, function(one) if (within[[one$group]]) seq_along(one$columns) else integer())
  rows <- list(
    term = term, x = matrix(average(steps$x), length(size)), codes = codes, chosen = chosen, levels = group$levels, count = size,
    z = lapply(seq_along(steps$z), function(t) matrix(average(steps$z[[t]]), length(size)))
  )
  own <- which(term_group(fit) == g)
  moved <- vapply(own, function(t) any(abs(rows$z[[t]]) > 1e-10), NA)
  if (!any(moved)) abort_no_slope(fit, term, group$name)
  rows
}

abort_no_slope <- function(fit, term, group) {
  slopes <- setdiff(unlist(lapply(which(term_group(fit) == match(group, group_names(fit))), function(t) fit$design$terms[[t]]$names)), "(Intercept)")
  abort_hlm("design", c(
    "The model has no random slope of {.val {term}} for {.field {group}}: every {group} has the same slope but for its moderators.",
    i = if (length(slopes)) "Random slopes of {.field {group}}: {.val {slopes}}." else
      "Put the predictor into the random part of the formula, for example {.code (1 + within(x) | {group})}."
  ))
}

# The name that the user gave, in the words of the model; by default the first random slope of the group.
slope_term <- function(fit, term, g) {
  names <- unlist(lapply(which(term_group(fit) == g), function(t) fit$design$terms[[t]]$names))
  slopes <- setdiff(names, "(Intercept)")
  if (is.null(term)) {
    if (!length(slopes)) {
      abort_hlm("design", c(
        "The model has no random slope for {.field {group_names(fit)[[g]]}}: there are no slopes to show.",
        i = "Put the predictor into the random part of the formula, for example {.code (1 + within(x) | {group_names(fit)[[g]]})}."
      ))
    }
    return(slopes[[1L]])
  }
  if (!is.character(term) || length(term) != 1L || is.na(term)) abort_hlm("data", "{.arg term} must be the name of one predictor.")
  known <- unique(c(fit$design$x_names, names))
  lagged <- Filter(function(column) column$kind == "within" && expr_label(column$expr) == term, fit$spec$columns)
  candidates <- c(term, column_label(term), paste0(term, "_within"), column_label(paste0(term, "_within")), vapply(lagged, `[[`, "", "name"))
  found <- candidates[candidates %in% known]
  if (!length(found)) {
    abort_hlm("data", c(
      "{.arg term} = {.val {term}} is not a predictor of this model.",
      i = if (length(slopes)) "Random slopes of {.field {group_names(fit)[[g]]}}: {.val {slopes}}." else "Predictors: {.val {setdiff(known, '(Intercept)')}}."
    ))
  }
  found[[1L]]
}

# Rows of X (estimated columns) and of each term's Z per unit of the predictor. A number, split or not, is moved in every column that it enters;
# the columns' central difference over a step is exact for straight lines and parabolas. Anything else (the intercept, a category, a basis
# function) is a column of its own.
slope_steps <- function(fit, term) {
  shift <- slope_shift(fit, term)
  if (is.null(shift)) return(column_steps(fit, term))
  step <- shift$step
  one <- function(size) {
    rows <- design_newdata(fit, shift = stats::setNames(size, shift$name), at = shift$at)
    if (ncol(rows$x) == length(fit$design$x)) rows$x <- rows$x[, kept_columns(fit), drop = FALSE]
    rows
  }
  up <- one(step)
  down <- one(-step)
  list(x = (up$x - down$x) / (2 * step), z = Map(function(a, b) (a - b) / (2 * step), up$z, down$z))
}

column_steps <- function(fit, term) {
  n <- n_rows(fit)
  marks <- function(names) matrix(as.double(names == term), n, length(names), byrow = TRUE)
  list(x = marks(names(fixef.hlm(fit))), z = lapply(fit$design$terms, function(one) marks(one$names)))
}

# As predict(shift =, at =) takes it, with a step that is a power of two and small against the predictor's spread; NULL for what is no number.
slope_shift <- function(fit, term) {
  bare <- gsub("^`|`$", "", term)
  for (column in fit$spec$columns) {
    if (column$name != bare) next
    at <- if (column$kind == "between") { if (column$level == "") "between" else column$level } else "within"
    return(list(name = column$label, at = at, step = slope_step(fit, bare)))
  }
  rows <- newdata_columns(fit, NULL)
  if (!bare %in% names(rows$columns) || !bare %in% shiftable(fit, rows, "within")) return(NULL)
  list(name = bare, at = "within", step = slope_step(fit, bare))
}

slope_step <- function(fit, name) {
  column <- match(column_label(name), fit$design$x_names)
  values <- if (!is.na(column)) design_column(fit$design, fit$design$x[[column]]) else fit$data[[name]][fit$rows]
  spread <- if (is.numeric(values) && length(values) > 1L) stats::sd(values) else 1
  if (!is.finite(spread) || spread <= 0) spread <- 1
  2^(round(log2(spread)) - 8)
}

# Estimates and standard errors of the units' slopes. With l and z the unit's combination of fixed and random effects, the variance of
# l'(beta-hat - beta) + z'(b-hat - b) is l'C11 l + 2 l'C12 z + z'C22 z, C the inverse of Henderson's mixed model equations times sigma^2: the
# uncertainty of the average, that of the unit's deviation, and their covariance, which is negative. prediction_se() has it in the form of Bates
# et al. (2015), eq. 53.
unit_slopes <- function(fit, rows) {
  slope <- drop(rows$x %*% fixef.hlm(fit))
  for (t in which(lengths(rows$chosen) > 0L)) slope <- slope + new_random(fit, rows, t, rows$chosen[[t]])
  list(slope = slope, se = prediction_se(fit, rows, rows$chosen))
}

# SD, over units not analysed, of the random part of the average combination.
unit_spread <- function(fit, rows) {
  new <- rows
  new$z <- lapply(rows$z, function(z) matrix(colMeans(z), 1L))
  new$x <- matrix(colMeans(rows$x), 1L)
  new$codes <- lapply(rows$codes, function(codes) NA_integer_)
  fit$core$sigma * sqrt(unseen_variance(fit, new, rows$chosen))
}
