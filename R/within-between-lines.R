# The numbers behind the within/between plot: expected outcomes as a function of a person's mean, of the deviation from it and of the moderators.

# The expected outcome is linear in the deviation w, in each between part and in each person-level number that moderates them (one at a time), so that
# its values where all of them are 0 or 1 say everything. At each of these corners the columns of the fixed and of the random part are averaged over the
# analysed rows: all other predictors are "at their mean" whatever their kind, and nothing is read from the names of coefficients.
# list(names, kind, corners (0/1 matrix), x: per facet a matrix corners x coefficients, z: per facet and term corners x effects).
outcome_corners <- function(fit, parts, facets) {
  names <- c(parts$within, parts$between, parts$moderators)
  corners <- as.matrix(expand.grid(rep(list(0:1), length(names))))
  colnames(corners) <- names
  per_facet <- lapply(facets$levels, function(set) {
    rows <- lapply(seq_len(nrow(corners)), function(i) corner_columns(fit, parts, corners[i, ], set))
    list(
      x = do.call(rbind, lapply(rows, `[[`, "x")),
      z = lapply(seq_along(fit$design$terms), function(t) do.call(rbind, lapply(rows, function(row) row$z[[t]])))
    )
  })
  list(names = names, corners = corners, facets = per_facet)
}

# Column means of X (estimated columns) and Z with these variables set in every analysed row.
corner_columns <- function(fit, parts, values, set) {
  rows <- newdata_columns(fit, NULL)
  for (name in names(values)) rows$columns[[name]] <- rep(as.double(values[[name]]), rows$n)
  # x itself, where the formula has it (cx()), is the sum of its parts.
  for (name in parts$raw) rows$columns[[name]] <- rep(parts$grand + sum(values[c(parts$within, parts$between)]), rows$n)
  for (name in names(set)) rows$columns[[name]] <- rep(set[[name]], rows$n)
  rows <- newdata_derived(fit, rows)
  x <- newdata_x(fit, rows)[, kept_columns(fit), drop = FALSE]
  list(x = colMeans(x), z = lapply(newdata_z(fit, rows), colMeans))
}

# Weights of the corners that give the value at a point: products of v or 1 - v (multilinear interpolation, exact for multilinear functions).
corner_weights <- function(corners, points) {
  weights <- matrix(1, nrow(points), nrow(corners))
  for (name in colnames(corners)) {
    v <- points[, name]
    weights <- weights * (outer(v, corners[, name]) + outer(1 - v, 1 - corners[, name]))
  }
  weights
}

# A curve in the variable is not a straight line: refuse rather than draw something else.
check_straight <- function(fit, parts, facets, lines) {
  for (name in c(parts$within, parts$between)) {
    values <- stats::setNames(numeric(length(lines$names)), lines$names)
    at <- function(v) {
      values[[name]] <- v
      corner_columns(fit, parts, values, facets$levels[[1L]])
    }
    bend <- at(2)$x - 2 * at(1)$x + at(0)$x
    if (any(abs(bend) > 1e-8 * pmax(1, abs(at(2)$x)))) {
      abort_hlm("design", c(
        "{.var {name}} enters the model as a curve; the plot draws straight lines.",
        i = "{.fn plot_trajectories} shows what a shift of the variable does in any model."
      ))
    }
  }
}

# What the plot needs to know of a split variable: the columns of its parts in the data, where each varies, the raw variable if the formula has it
# beside them, the person-level numbers that moderate it, and the values of all these in the analysed rows.
split_parts <- function(fit, variable) {
  means <- fit$means[[variable]]
  kind <- vapply(means$columns, `[[`, "", "kind")
  level <- vapply(means$columns, `[[`, "", "level")
  key <- names(which(source_labels(fit$spec$sources) == variable))[[1L]]
  raw <- if (key %in% fit$spec$contextual) contextual_value(fit, key)
  between <- names(means$columns)[kind == "between"]
  # the level of a trend at two times: the first one named
  chain <- c("", means$columns[[between[[1L]]]]$chain)
  between <- between[stats::na.omit(match(chain, level[kind == "between"]))]
  within <- c(names(means$columns)[kind == "within"], ".within")[[1L]]
  parts <- list(
    variable = variable, label = means$label, within = within, between = between, raw = raw, degree = means$degree,
    level = vapply(means$columns[between], `[[`, "", "level", USE.NAMES = FALSE), grand = means$columns[[between[[length(between)]]]]$grand %||% 0
  )
  check_main_effects(fit, parts)
  parts$values <- newdata_derived(fit, newdata_columns(fit, NULL))$columns
  parts$moderators <- person_moderators(fit, parts)
  parts
}

contextual_value <- function(fit, key) {
  value <- fit$spec$values[[fit$spec$sources[[key]]$value]]
  if (value$lag != 0L) return(value$label)
  if (is.symbol(value$expr)) return(as.character(value$expr))
  abort_hlm("design", c(
    "The plot cannot set {.code {deparse1(value$expr)}} of {.code cx({deparse1(value$expr)})} to given values.",
    i = "Make it a column of the data."
  ))
}

check_main_effects <- function(fit, parts) {
  has_effect <- function(names) any(term_has(fit, names)[fit$design$x_assign[kept_columns(fit)]])
  absent <- c(if (!has_effect(c(parts$within, parts$raw))) "within", if (!has_effect(parts$between)) "between")
  if (length(absent)) {
    abort_hlm("data", c(
      "The plot needs a within and a between effect of {.var {parts$label}}; the model has no estimate of the {absent} effect.",
      i = "Use {.code wb({column_label(parts$label)})} in the formula."
    ))
  }
}

# Which terms of the fixed part hold one of these variables.
term_has <- function(fit, names) {
  terms <- fit$blueprint$terms
  if (!length(terms$term_labels)) return(logical())
  mine <- vapply(terms$variables, function(v) any(expr_vars(v) %in% names), NA)
  unname(colSums(terms$factors[mine, , drop = FALSE] > 0L) > 0L)
}

# Variables that share a term of the fixed part with one of `names`.
partners <- function(fit, names) {
  terms <- fit$blueprint$terms
  if (!length(terms$term_labels)) return(character())
  mine <- vapply(terms$variables, function(v) any(expr_vars(v) %in% names), NA)
  terms$labels[rowSums(terms$factors[, term_has(fit, names), drop = FALSE] > 0L) > 0L & !mine]
}

# Numbers that do not change within a person and change the slope within persons: each person's line has its own value of them.
person_moderators <- function(fit, parts) {
  labels <- partners(fit, c(parts$within, parts$raw))
  bare <- gsub("^`|`$", "", labels[fit$blueprint$types[labels] == "numeric"])
  bare <- setdiff(bare[bare %in% names(parts$values)], c(parts$between, parts$raw))
  person <- fit$design$groups[[person_group(fit)]]
  Filter(function(name) is.numeric(parts$values[[name]]) && constant_within(as.double(parts$values[[name]]), person), bare)
}

# Categories that change a slope of the variable: one panel for each combination that occurs. list(levels: per panel the named categories,
# label, rows: panel of each row).
slope_facets <- function(fit, parts) {
  labels <- partners(fit, c(parts$within, parts$between, parts$raw))
  labels <- labels[fit$blueprint$types[labels] != "numeric"]
  n <- n_rows(fit)
  bare <- gsub("^`|`$", "", labels)
  if (any(!bare %in% names(fit$data))) {
    abort_hlm("design", c(
      "{.code {labels[!bare %in% names(fit$data)]}} changes the slope of {.var {parts$label}}, but is computed in the formula.",
      i = "Make it a column of the data, so that the plot can have a panel for each category."
    ))
  }
  if (!length(labels)) return(list(levels = list(list()), label = "", rows = rep(1L, n)))
  values <- lapply(stats::setNames(bare, bare), function(name) fit$data[[name]][fit$rows])
  ordered <- Map(function(value, label) factor(as.character(value), levels = fit$blueprint$xlevels[[label]]), values, labels)
  combined <- interaction(ordered, drop = TRUE, lex.order = TRUE, sep = "\r")
  first <- match(levels(combined), combined)
  list(
    levels = lapply(first, function(i) lapply(values, `[`, i)), rows = as.integer(combined),
    label = vapply(first, function(i) paste(paste0(bare, ": ", vapply(ordered, function(v) as.character(v[[i]]), "")), collapse = ", "), "")
  )
}

# Per person (and panel in which the person has rows): range of its own values, mean, and the expected outcome there.
person_lines <- function(fit, variable, parts = split_parts(fit, variable), facets = slope_facets(fit, parts),
                         lines = outcome_corners(fit, parts, facets)) {
  person <- fit$design$groups[[person_group(fit)]]
  deviation <- within_values(parts)
  place <- (facets$rows - 1L) * length(person$levels) + person$codes
  cells <- sort(unique(place))
  first <- match(cells, place)
  range <- vapply(split(deviation, factor(place, levels = cells)), range, c(0, 0))
  points <- matrix(0, length(cells), length(lines$names), dimnames = list(NULL, lines$names))
  for (name in c(parts$between, parts$moderators)) points[, name] <- parts$values[[name]][first]
  ahead <- points
  ahead[, parts$within] <- 1
  y_mean <- person_outcome(fit, lines, facets$rows[first], points, first)
  slope <- person_outcome(fit, lines, facets$rows[first], ahead, first) - y_mean
  mean <- rowSums(points[, parts$between, drop = FALSE]) + parts$grand
  data.frame(
    person = person$levels[person$codes[first]], mean = mean, y_mean = y_mean, low = mean + range[1L, ], high = mean + range[2L, ],
    y_low = y_mean + slope * range[1L, ], y_high = y_mean + slope * range[2L, ], slope = slope,
    facet = factor(facets$label[facets$rows[first]], levels = facets$label)
  )
}

# The deviation from the person's mean in each row; after cx() from x itself and its between parts.
within_values <- function(parts) {
  own <- parts$values[[parts$within]]
  if (!is.null(own)) own else parts$values[[parts$raw]] - parts$grand - Reduce(`+`, parts$values[parts$between])
}

# Expected outcome of persons (given by a row of each) at points, with the random effects of the person and of the groups it lies in.
person_outcome <- function(fit, lines, facet, points, rows) {
  weights <- corner_weights(lines$corners, points)
  y <- mean(design_offset(fit$design)) + average_outcome(fit, lines, facet, weights)
  person <- fit$design$groups[[person_group(fit)]]
  for (t in seq_along(fit$design$terms)) {
    group <- fit$design$groups[[fit$design$terms[[t]]$group]]
    if (!identical(group$name, person$name) && !is_nested(person, group)) next
    modes <- term_modes(fit, t)[group$codes[rows], , drop = FALSE]
    for (f in unique(facet)) {
      mine <- facet == f
      z <- weights[mine, , drop = FALSE] %*% lines$facets[[f]]$z[[t]]
      y[mine] <- y[mine] + rowSums(z * modes[mine, , drop = FALSE])
    }
  }
  y
}

average_outcome <- function(fit, lines, facet, weights) {
  y <- numeric(nrow(weights))
  for (f in unique(facet)) {
    mine <- facet == f
    y[mine] <- drop(weights[mine, , drop = FALSE] %*% (lines$facets[[f]]$x %*% fixef.hlm(fit)))
  }
  y
}

# One line per between part and panel: the other parts at zero, moderators at their mean over persons.
between_lines <- function(fit, parts, facets, lines) {
  pieces <- lapply(seq_along(parts$between), function(k) {
    own <- parts$values[[parts$between[[k]]]]
    do.call(rbind, lapply(seq_along(facets$levels), function(f) {
      span <- range(own[facets$rows == f])
      points <- matrix(0, 2L, length(lines$names), dimnames = list(NULL, lines$names))
      points[, parts$between[[k]]] <- span
      for (name in parts$moderators) points[, name] <- mean(parts$values[[name]])
      y <- mean(design_offset(fit$design)) + average_outcome(fit, lines, rep(f, 2L), corner_weights(lines$corners, points))
      data.frame(
        x = span + parts$grand, y = y, part = parts$between[[k]], level = parts$level[[k]], facet = factor(facets$label[[f]], levels = facets$label)
      )
    }))
  })
  do.call(rbind, pieces)
}
