# Person means and trends: computed once from the declared rows, kept (frozen) with the fit, used for new data.
#
# `means` of a fit, one element per disaggregated variable (name: its label, e.g. "ans" or "ans_lag1"):
#   label, expr, lag, degree     what is disaggregated (expr with the parameters of scale() etc. filled in); degree 0: mean, 1: line, ... of the person's own
#   id, time, origin             grouping expression of the person, name of the time variable, its origin (dates)
#   persons, count               labels of the persons; rows that define each mean
#   coef, centre                 J x (degree + 1) coefficients of the person's polynomial in (time - centre); for a mean
#                                one column, the mean
#   columns                      per derived column (by name): kind, level, at, and for a between column `labels` and
#                                `value` of the units at its level, `grand` (the grand mean) and `outer`: the column of
#                                the next higher level as list(name, labels, value), subtracted instead of `grand`
# Sources: Curran & Bauer (2011, Annu Rev Psychol 62:583); Wang & Maxwell (2015, Psychol Methods 20:63).

# Returns list(columns = named list of double vectors over the analysed rows, means = as above).
disaggregate_frame <- function(spec, frame, control) {
  columns <- list()
  means <- list()
  if (length(spec$columns) == 0L) {
    return(list(columns = columns, means = means))
  }
  for (column in spec$columns) {
    if (column$kind == "lag") columns[[column$name]] <- frame$values[[column$value]]
  }
  labels <- source_labels(spec$sources)
  for (key in names(spec$sources)) {
    source <- spec$sources[[key]]
    made <- disaggregate_source(spec, frame, source, key, control)
    columns <- c(columns, made$columns)
    means[[labels[[key]]]] <- made$means
  }
  list(columns = columns, means = means)
}

source_labels <- function(sources) {
  if (length(sources) == 1L) {
    labels <- sources[[1L]]$label
    names(labels) <- names(sources)
    return(labels)
  }
  labels <- vapply(sources, `[[`, "", "label")
  if (!anyDuplicated(labels)) {
    return(labels)
  }
  degree <- vapply(sources, `[[`, 0L, "degree")
  twice <- labels %in% labels[duplicated(labels)] & degree > 0L
  labels[twice] <- paste0(labels[twice], "_detrend", ifelse(degree[twice] > 1L, degree[twice], ""))
  labels
}

disaggregate_source <- function(spec, frame, source, key, control) {
  x <- frame$values[[source$value]]
  person <- frame$factors[[frame$id]]
  codes <- person$codes
  base <- if (is.null(frame$all)) {
    list(x = x, person = codes, time = frame$time)
  } else {
    observed_rows(frame$all$values[[source$value]], frame$all$person, frame$all$time, source$degree > 0L)
  }
  model <- person_models(base$x, base$person, length(person$levels), base$time, source$degree)
  # of the first rows, which settle nearly always whether a column varies
  size <- max(abs(first_rows(x)))
  out <- facts <- list()
  for (column in spec$columns) {
    if (column$kind == "lag" || column$source != key) next
    name <- column$name
    if (column$kind == "within") {
      out[[name]] <- made <- off_trend(x, model, codes, frame$time)
      facts[[name]] <- within_facts
    } else {
      between <- between_column(column, model, person, frame, control$weighting)
      out[[name]] <- made <- between$x
      facts[[name]] <- between$means
    }
    check_made(made, x, size, column, frame)
  }
  means <- list(
    label = source$label, expr = frame$value_calls[[source$value]], lag = spec$values[[source$value]]$lag, degree = source$degree,
    id = person$expr, time = if (needs_time(spec)) spec$time, origin = frame$origin,
    persons = person$levels, count = model$count, coef = model$coef, centre = model$centre,
    rows = control$means, weighting = control$weighting, columns = facts
  )
  list(columns = out, means = means)
}

first_rows <- function(x) if (length(x) > 200L) x[1:200] else x
within_facts <- list(kind = "within", level = "", at = 0)

# With `means = "available"`: all rows with x, of persons who are in the analysis.
observed_rows <- function(x, person, time, needs_time) {
  ok <- !is.na(x) & person > 0L
  if (needs_time) ok <- ok & !is.na(time)
  list(x = x[ok], person = person[ok], time = time[ok])
}

# Each person's own mean (degree 0) or polynomial trend over time, as coefficients about the person's mean time.
person_models <- function(x, person, n_persons, time = NULL, degree = 0L) {
  sums <- engine_group_sums(x, person, n_persons)
  mean <- sums$sum / sums$count
  if (degree == 0L) {
    dim(mean) <- c(length(mean), 1L)
    return(list(coef = mean, centre = NULL, count = sums$count))
  }
  centre <- engine_group_sums(time, person, n_persons)$sum / sums$count
  s <- time - centre[person]
  # orthogonal polynomials per person by the three-term recurrence: stable whatever the unit and origin of time
  basis <- list(rep(1, length(s)))
  poly <- list(matrix(rep(c(1, rep(0, degree)), each = n_persons), n_persons))
  norm <- list(sums$count)
  rest <- x - mean[person]
  coef <- poly[[1L]] * mean
  for (k in seq_len(degree)) {
    last <- basis[[k]]
    group_mean <- function(v, by) engine_group_sums(v, person, n_persons)$sum / by
    shift <- group_mean(s * last * last, norm[[k]])
    new <- s * last - shift[person] * last
    new_poly <- cbind(0, poly[[k]][, -(degree + 1L), drop = FALSE]) - shift * poly[[k]]
    if (k > 1L) {
      back <- norm[[k]] / norm[[k - 1L]]
      new <- new - back[person] * basis[[k - 1L]]
      new_poly <- new_poly - back * poly[[k - 1L]]
    }
    norm[[k + 1L]] <- engine_group_sums(new * new, person, n_persons)$sum
    slope <- group_mean(new * rest, norm[[k + 1L]])
    rest <- rest - slope[person] * new
    coef <- coef + slope * new_poly
    basis[[k + 1L]] <- new
    poly[[k + 1L]] <- new_poly
  }
  list(coef = coef, centre = centre, count = as.integer(sums$count))
}

# The person's mean or trend at each row.
person_fitted <- function(model, codes, time) {
  if (is.null(model$centre)) {
    return(model$coef[codes])
  }
  s <- time - model$centre[codes]
  horner(model$coef[codes, , drop = FALSE], s)
}

# The deviation from it. What rounding leaves of a value on the trend is no deviation: a person with as few values as the trend has coefficients, or
# whose values lie on a line, has none. (From a mean it is the same in all rows of such a person, and so no variance.)
off_trend <- function(x, model, codes, time) {
  if (is.null(model$centre)) {
    return(x - model$coef[codes])
  }
  out <- x - person_fitted(model, codes, time)
  size <- abs(x) + horner(abs(model$coef[codes, , drop = FALSE]), abs(time - model$centre[codes]))
  out[which(abs(out) <= 64 * .Machine$double.eps * size)] <- 0
  out
}

# The variable without each person's own trend, with the level of the person left: the mean, or the trend at time `at`.
trend_removed <- function(x, codes, n, time, degree, at = NULL) {
  model <- person_models(x, codes, n, time, degree)
  level <- if (is.null(at)) person_level(person_models(x, codes, n)) else person_level(model, at)
  off_trend(x, model, codes, time) + level[codes]
}

# The person's level: the mean, or the trend at time `at`.
person_level <- function(model, at) {
  if (is.null(model$centre)) {
    return(as.vector(model$coef))
  }
  horner(model$coef, at - model$centre)
}

horner <- function(coef, s) {
  value <- coef[, ncol(coef)]
  for (k in rev(seq_len(ncol(coef) - 1L))) value <- value * s + coef[, k]
  value
}

# Between persons, or between the units of a higher level: means of the units, minus the mean of the unit they belong to
# in the next level of the chain, minus the grand mean at the top.
between_column <- function(column, model, person, frame, weighting) {
  level <- person_level(model, column$at)
  if (!is.null(model$centre)) check_at(column, frame)
  weight <- if (weighting == "persons") rep(1, length(level)) else as.double(model$count)
  grand <- sum(weight * level) / sum(weight)
  chain <- column$chain
  if (length(chain) == 0L) {
    own <- list(labels = person$levels, codes = person$codes)
    value <- level - grand
  } else {
    units <- unit_means(chain, level, weight, person, frame)
    depth <- match(column$level, c("", chain))
    own <- if (depth == 1L) list(labels = person$levels, value = level, codes = person$codes) else units[[depth - 1L]]
    outer <- if (depth <= length(chain)) units[[depth]]
    value <- own$value - if (is.null(outer)) grand else outer$value[own_parent(own, outer, column$level, chain[[depth]])]
  }
  list(
    x = value[own$codes],
    means = list(
      kind = "between", level = column$level, at = column$at, labels = own$labels, value = value, grand = grand,
      outer = if (length(chain) && !is.null(outer)) list(name = chain[[depth]], labels = outer$labels, value = outer$value),
      chain = chain
    )
  )
}

# Means of each higher level: a list along `chain` of list(labels, value, codes (rows), of_person (parent of person)).
unit_means <- function(chain, level, weight, person, frame) {
  lapply(chain, function(name) {
    unit <- frame$parents[[name]]
    parent <- integer(length(person$levels))
    parent[person$codes] <- unit$codes
    check_nested_level(parent, person, unit, name, frame$id)
    n <- length(unit$levels)
    total <- engine_group_sums(weight * level, parent, n)$sum
    value <- total / engine_group_sums(weight, parent, n)$sum
    list(labels = unit$levels, value = value, codes = unit$codes, of_person = parent)
  })
}

# For each unit of `own`, the unit of `outer` it belongs to.
own_parent <- function(own, outer, name, outer_name) {
  if (is.null(own$of_person)) {
    return(outer$of_person)
  }
  parent <- integer(length(own$labels))
  parent[own$of_person] <- outer$of_person
  moved <- parent[own$of_person] != outer$of_person
  if (any(moved)) {
    shown <- show_some(own$labels[unique(own$of_person[moved])])
    abort_hlm("data", c(
      "{.arg level} needs every {.var {name}} to belong to one {.var {outer_name}}; these have several: {shown}.",
      i = "Give {.arg level} from the inside out, for example {.code level = c(\"therapist\", \"clinic\")}."
    ))
  }
  parent
}

check_nested_level <- function(parent, person, unit, name, id) {
  moved <- parent[person$codes] != unit$codes
  if (any(moved)) {
    shown <- show_some(person$levels[unique(person$codes[moved])])
    abort_hlm("data", c(
      "{.code level = \"{name}\"} needs every {.var {id}} to belong to one {.var {name}}; these have several: {shown}.",
      i = "If the ids are used again by each {.var {name}}, write {.code (1 | {name}/{id})}.",
      i = "If persons really changed, their mean cannot be split between the levels."
    ))
  }
}

# A level far outside the observed times is an extrapolation that the user can hardly have wanted.
check_at <- function(column, frame) {
  range <- range(frame$time)
  width <- diff(range)
  if (column$at < range[1L] - width || column$at > range[2L] + width) {
    warn_hlm("data", c(
      "{.var {column$name}} is the person's trend at time {column$at}, far from the observed times ({range[1L]} to
       {range[2L]}).",
      i = "Set {.arg at} to a time within the data, for example {.code at = {signif(range[1L], 6)}}."
    ))
  }
}

# Columns without any variation cannot be estimated; the likely slip is named.
# `size`: the largest value of `x` in the first rows.
check_made <- function(made, x, size, column, frame) {
  # the first row settles it nearly always, and if not the first rows
  if (abs(made[[1L]]) > 1e-6 * size || max(abs(first_rows(made))) > 1e-6 * size) {
    return(invisible())
  }
  tolerance <- if (column$degree > 0L) 1e-10 else 64 * .Machine$double.eps
  if (max(abs(made)) > tolerance * max(abs(x))) {
    return(invisible())
  }
  name <- expr_text(column$expr)
  if (column$kind == "within") {
    abort_hlm("data", c(
      "{.var {name}} never varies within a {.var {frame$id}}: {.code within({name})} is zero in every row.",
      i = if (column$degree > 0L) "Every person's values lie exactly on its own trend." else
        "It describes the {.var {frame$id}}, not the session: use {.code {name}} itself or {.code between({name})}."
    ))
  }
  unit <- if (column$level == "") frame$id else column$level
  abort_hlm("data", c(
    "Every {.var {unit}} has the same mean of {.var {name}}: {.var {column$name}} is zero in every row.",
    i = "There is nothing to explain between them (as with session numbers when everyone has all sessions). Use
         {.code within({name})} or {.code {name}} alone."
  ))
}
