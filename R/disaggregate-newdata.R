# Within and between columns of new rows, from the frozen means of a fit:
# - a column that `newdata` has (x_within, x_between) is taken as it is;
# - a person of the fit keeps the mean (or trend) of the fit, whatever the new rows say;
# - any other person is described by its own rows in `newdata`, centred at the grand mean of the fit.

# Adds the derived columns to rows$columns, then moves what `shift` names.
newdata_derived <- function(fit, rows, shift = NULL, at = "within") {
  check_shift(fit, rows, shift, at)
  rows$person <- newdata_person(fit, rows)
  rows$own_rows <- FALSE
  given <- rows$columns
  for (means in fit$means) {
    made <- newdata_source(fit, means, rows)
    rows$columns[names(made$columns)] <- made$columns
    rows$own_rows <- rows$own_rows || made$own_rows
  }
  for (column in fit$spec$columns) {
    if (column$kind == "lag" && is.null(given[[column$name]])) {
      rows$columns[[column$name]] <- newdata_value(fit, column, rows, given)
    }
  }
  apply_shift(fit, rows, shift, at)
}

# Labels of the persons, or NA where `newdata` does not name them.
newdata_person <- function(fit, rows) {
  if (length(fit$means) == 0L || length(lacks(fit$means[[1L]]$id, rows)) > 0L) {
    return(rep(NA_character_, rows$n))
  }
  group_labels(fit$means[[1L]]$id, rows$columns, rows$env)
}

newdata_source <- function(fit, means, rows) {
  wanted <- setdiff(names(means$columns), names(rows$columns))
  out <- list()
  if (length(wanted) == 0L) {
    return(list(columns = out, own_rows = FALSE))
  }
  person <- match(rows$person, means$persons)
  needs_x <- "within" %in% vapply(means$columns[wanted], `[[`, "", "kind")
  model <- list(coef = means$coef, centre = means$centre)
  state <- list(known = person, x = NULL, time = NULL, own = NULL)
  if (needs_x || anyNA(person)) {
    check_newdata_source(means, rows, wanted, needs_x, anyNA(person))
    state$x <- as.double(newdata_value(fit, means, rows, rows$columns))
    if (means$degree > 0L) state$time <- newdata_time(means, rows)
    state$own <- own_models(state, rows$person, means)
  }
  for (name in wanted) {
    column <- means$columns[[name]]
    out[[name]] <- if (column$kind == "within") {
      newdata_within(state, model)
    } else {
      newdata_between(column, state, model, rows)
    }
  }
  list(columns = out, own_rows = !is.null(state$own))
}

check_newdata_source <- function(means, rows, wanted, needs_x, has_new) {
  missing <- lacks(means$expr, rows)
  if (means$lag != 0L && means$label %in% names(rows$columns)) missing <- character()
  no_id <- lacks(means$id, rows)
  if (length(missing) == 0L && length(no_id) == 0L) {
    return(invisible())
  }
  lacking <- c(missing, no_id)
  abort_hlm("data", c(
    "{.arg newdata} lacks {.var {lacking}}, from which {.var {wanted}} {?is/are} computed.",
    i = "Give {.var {unique(c(all.vars(means$id), all.vars(means$expr)))}}: persons of the model keep their mean from the
         model, new persons get the mean of their own rows.",
    i = "Or give {.var {wanted}} directly as {cli::qty(length(wanted))}{?a column/columns}."
  ))
}

# The value to split, lagged if the term is. For persons of the fit an earlier session may lie in the fit's own data.
newdata_value <- function(fit, what, rows, given) {
  expr <- if (is.null(what$value)) what$expr else fit$blueprint$values[[what$value]]
  if (what$lag == 0L) {
    require_columns(expr, rows)
    return(newdata_number(eval_new(expr, rows), expr_text(expr)))
  }
  if (!is.null(given[[what$label]])) {
    return(newdata_number(given[[what$label]], what$label))
  }
  id <- if (is.null(what$id)) lag_id(fit) else what$id
  for (needed in list(expr, id, as.name(fit$time))) require_columns(needed, rows)
  old <- list(columns = as.list(fit$data), n = nrow(fit$data), constants = rows$constants, env = rows$env)
  labels <- c(group_labels(id, rows$columns, rows$env), group_labels(id, old$columns, old$env))
  codes <- match(labels, unique(labels[!is.na(labels)]), nomatch = 0L)
  origin <- time_values(old$columns[[fit$time]], fit$time)
  new_time <- time_values(rows$columns[[fit$time]], fit$time, origin$origin)$values
  mine <- seq_len(rows$n)
  lagged_values(
    newdata_number(eval_new(expr, rows), expr_text(expr)), codes[mine], new_time, what$lag,
    history = list(x = as.double(eval_new(expr, old)), person = codes[-mine], time = origin$values)
  )
}

lag_id <- function(fit) {
  # one name may have blanks, a combination is kept as code
  if (fit$id %in% names(fit$data)) as.name(fit$id) else str2lang(fit$id)
}

newdata_time <- function(means, rows) {
  require_columns(as.name(means$time), rows)
  time_values(rows$columns[[means$time]], means$time, means$origin)$values
}

# Means or trends of the persons that the fit does not know, from their rows.
own_models <- function(state, labels, means) {
  new <- is.na(state$known) & !is.na(labels)
  persons <- unique(labels[new])
  if (length(persons) == 0L) {
    return(NULL)
  }
  codes <- match(labels, persons, nomatch = 0L)
  codes[!new] <- 0L
  use <- new & !is.na(state$x)
  if (means$degree > 0L) use <- use & !is.na(state$time)
  model <- person_models(state$x[use], codes[use], length(persons), state$time[use], means$degree)
  if (means$degree > 0L) model$coef[model$count <= means$degree, ] <- NA
  list(model = model, codes = codes, persons = persons)
}

newdata_within <- function(state, model) {
  out <- rep(NA_real_, length(state$x))
  known <- !is.na(state$known)
  out[known] <- off_trend(state$x[known], model, state$known[known], state$time[known])
  if (!is.null(state$own)) {
    new <- state$own$codes > 0L
    out[new] <- off_trend(state$x[new], state$own$model, state$own$codes[new], state$time[new])
  }
  out
}

newdata_between <- function(column, state, model, rows) {
  own_level <- if (is.null(state$own)) NULL else person_level(state$own$model, column$at)
  if (column$level == "") {
    value <- column$value[state$known]
    if (!is.null(own_level)) {
      new <- state$own$codes > 0L
      level <- own_level[state$own$codes[new]]
      value[new] <- level - outer_value(column, column$outer, level, state$own$codes[new], which(new), rows)
    }
    return(value)
  }
  require_columns(as.name(column$level), rows)
  labels <- group_labels(as.name(column$level), rows$columns, rows$env)
  value <- column$value[match(labels, column$labels)]
  if (!is.null(own_level)) {
    new <- which(is.na(value) & state$own$codes > 0L)
    level <- unit_level(own_level[state$own$codes[new]], state$own$codes[new], labels[new])
    value[new] <- level - outer_value(column, column$outer, level, labels[new], new, rows)
  }
  value
}

# The mean over persons (each once) of the unit of each row.
unit_level <- function(level, person, unit) {
  once <- !duplicated(person)
  means <- tapply(level[once], unit[once], mean)
  as.double(means[match(unit, names(means))])
}

# What a new unit's mean is centred at: the mean of the unit of the next level (of the fit, else of the new rows), or the
# grand mean of the fit.
outer_value <- function(column, outer, level, unit, which, rows) {
  if (is.null(outer)) {
    return(column$grand)
  }
  require_columns(as.name(outer$name), rows)
  labels <- group_labels(as.name(outer$name), rows$columns, rows$env)[which]
  value <- outer$value[match(labels, outer$labels)]
  new <- is.na(value)
  if (any(new)) value[new] <- unit_level(level, unit, labels)[new]
  value
}

check_shift <- function(fit, rows, shift, at) {
  if (is.null(shift)) {
    return(invisible())
  }
  if (!is.numeric(shift) || is.null(names(shift)) || anyNA(shift) || anyDuplicated(names(shift))) {
    abort_hlm("data", "{.arg shift} must be a named number, for example {.code shift = c(alliance = 1)}.")
  }
  levels <- c("within", "between", spec_levels(fit$spec))
  if (!is.character(at) || length(at) != 1L || !at %in% levels) {
    abort_hlm("data", "{.arg at} must be one of {.val {levels}}.")
  }
  movable <- lapply(stats::setNames(nm = levels), function(level) shiftable(fit, rows, level))
  possible <- unique(unlist(movable))
  unknown <- setdiff(names(shift), possible)
  if (length(unknown) > 0L) {
    abort_hlm("data", c(
      "{.arg shift} names {.var {unknown}}, but no term of the model moves with it.",
      i = "It can move {.var {possible}}."
    ))
  }
  still <- setdiff(names(shift), movable[[at]])
  if (length(still) > 0L) {
    elsewhere <- levels[vapply(movable, function(names) still[[1L]] %in% names, NA)]
    abort_hlm("data", c(
      "Nothing in the model depends on {.var {still}} at the level {.val {at}}: the predictions would not move.",
      i = "{.var {still[[1L]]}} can be moved with {.arg at} = {.val {elsewhere}}."
    ))
  }
}

# The names whose shift at this level moves a prediction: split variables with a column there, and numbers that the
# formula uses as they are (a variable that only its lag stands for is not moved by moving its present value).
shiftable <- function(fit, rows, at) {
  moved <- character()
  for (column in fit$spec$columns) {
    if (column_moves(column, at)) moved <- c(moved, column$label)
  }
  terms <- fit$spec$terms
  used <- variable_names(terms$variables[-terms$response])
  for (bar in fit$spec$bars) used <- c(used, variable_names(bar$terms$variables))
  numeric <- names(rows$columns)[vapply(rows$columns, is.numeric, NA)]
  unique(c(moved, setdiff(intersect(used, numeric), derived_names(fit$spec))))
}

column_moves <- function(column, at) {
  switch(column$kind,
    within = at == "within",
    between = if (column$level == "") at == "between" else at == column$level,
    lag = TRUE
  )
}

# Moves one level and no other: x_within or x_between, together with x itself where the model uses it (x is the sum of its
# levels).
apply_shift <- function(fit, rows, shift, at) {
  for (label in names(shift)) {
    for (column in fit$spec$columns) {
      if (column$label != label) next
      if (column_moves(column, at)) rows$columns[[column$name]] <- rows$columns[[column$name]] + shift[[label]]
    }
    if (!is.null(rows$columns[[label]]) && !label %in% derived_names(fit$spec)) {
      rows$columns[[label]] <- rows$columns[[label]] + shift[[label]]
    }
  }
  rows
}
