# Standard deviations by level, and which of them belong to which coefficient.

# One row per estimated coefficient but the intercept: place (among the estimated ones), name, type, level, outcome_level (the level number at
# which the coefficient's column varies), members (labels of the numeric variables to scale by), scaled.
standardized_columns <- function(fit) {
  kept <- kept_columns(fit)
  coefs <- fit$spec$coefs
  place <- which(coefs$term[kept] != "(Intercept)")
  coefs <- coefs[kept[place], , drop = FALSE]
  members <- term_members(fit)
  # TRUE and FALSE are categories: they are coded by contrasts
  categories <- names(fit$blueprint$xlevels)
  frame <- if (nrow(coefs)) model.frame.hlm(fit)
  chain <- scale_chain(fit)
  numeric <- lapply(coefs$term, function(term) {
    Filter(function(label) !label %in% categories && is_one_column(frame[[label]]), members[[term]])
  })
  whole <- lengths(numeric) > 0L & lengths(numeric) == lengths(members[coefs$term])
  out <- data.frame(
    place = place, name = coefs$name, type = coefs$type, level = coefs$level, outcome_level = chain_level(coefs$level, chain),
    scaled = ifelse(whole, "both", "outcome"), stringsAsFactors = FALSE
  )
  out$members <- numeric
  # a factor times a number is scaled by the number's SD
  out$scaled[!whole & lengths(numeric) > 0L] <- "both"
  out
}

is_one_column <- function(x) is.null(dim(x)) || ncol(x) == 1L

# The persons, then every higher level that the model knows.
scale_chain <- function(fit) {
  person <- person_factor(fit)
  groups <- fit$design$groups
  if (is.null(person)) return(groups)
  higher <- Filter(function(group) {
    length(group$levels) < length(person$levels) && is_nested(person, list(codes = as.integer(group$codes), levels = group$levels))
  }, groups)
  c(list(person), higher)
}

chain_level <- function(level, chain) {
  place <- match(level, vapply(chain, `[[`, "", "name"), nomatch = 0L)
  ifelse(level == "1" | place == 0L, 1L, place + 1L)
}

# The outcome (an offset taken off: it is known), the variables by label and the level number of each.
scale_book <- function(fit) {
  facts <- variable_facts(fit)
  frame <- model.frame.hlm(fit)
  chain <- scale_chain(fit)
  variables <- lapply(stats::setNames(facts$label, facts$label), function(label) {
    x <- frame[[label]]
    if ((is.numeric(x) || !is.null(clock_of(x))) && is_one_column(x)) as.double(x)
  })
  level <- stats::setNames(as.list(chain_level(facts$level, chain)), facts$label)
  list(outcome = fit$design$y - design_offset(fit$design), variables = variables, level = level, chain = chain)
}

# Level 1: pooled within persons. Level l: of the means of the units of that level around the means of the next, each unit counting once.
level_sd <- function(x, level, chain) {
  person <- chain[[1L]]
  n_persons <- length(person$levels)
  if (level == 1L) {
    return(sqrt(sum((x - group_mean(x, person))^2) / (length(x) - n_persons)))
  }
  value <- x
  codes <- NULL
  for (l in seq_len(level - 1L)) {
    group <- chain[[l]]
    now <- if (is.null(codes)) as.integer(group$codes) else as.integer(group$codes)[match(seq_along(value), codes)]
    sums <- engine_group_sums(as.double(value), now, length(group$levels))
    value <- sums$sum / sums$count
    codes <- as.integer(group$codes)
  }
  if (level > length(chain)) return(stats::sd(value))
  outer <- as.integer(chain[[level]]$codes)[match(seq_along(value), codes)]
  sums <- engine_group_sums(value, outer, length(chain[[level]]$levels))
  rest <- value - (sums$sum / sums$count)[outer]
  sqrt(sum(rest^2) / (length(value) - length(chain[[level]]$levels)))
}

# Each person's own SD over its rows; NA with a single row.
person_sd <- function(x, person) {
  n <- length(person$levels)
  codes <- as.integer(person$codes)
  centred <- x - group_mean(x, person)
  # rounding of the mean is no variance
  centred[abs(centred) < 64 * .Machine$double.eps * abs(x)] <- 0
  sums <- engine_group_sums(centred^2, codes, n)
  ifelse(sums$count > 1, sqrt(sums$sum / (sums$count - 1)), NA_real_)
}

# Each person's deviation from the fixed effect of a column: the random slopes of that name, of the person and of what the person lies in.
person_deviation <- function(fit, name, person) {
  first <- match(seq_along(person$levels), person$codes)
  total <- numeric(length(first))
  for (place in slope_places(fit, name, person)) {
    rows <- fit$design$groups[[fit$design$terms[[place$term]]$group]]$codes[first]
    total <- total + term_modes(fit, place$term)[rows, place$column]
  }
  total
}

# Random slopes of a column in groups in which every person lies as a whole.
slope_places <- function(fit, name, person) {
  places <- list()
  for (t in seq_along(fit$design$terms)) {
    term <- fit$design$terms[[t]]
    j <- match(name, term$names, nomatch = 0L)
    if (j == 0L) next
    group <- fit$design$groups[[term$group]]
    if (is_nested(person, list(codes = as.integer(group$codes), levels = group$levels))) {
      places <- c(places, list(list(term = t, column = j)))
    }
  }
  places
}

# ZGm / sigma^2 over the rows, m the persons' weights of their random slopes of a column; NULL without such a slope.
deviation_column <- function(fit, name, person, weights) {
  places <- slope_places(fit, name, person)
  if (!length(places)) return(NULL)
  first <- match(seq_along(person$levels), person$codes)
  w <- numeric(n_rows(fit))
  for (place in places) {
    term <- fit$design$terms[[place$term]]
    group <- fit$design$groups[[term$group]]
    m <- engine_group_sums(weights, as.integer(group$codes)[first], length(group$levels))$sum
    w <- w + m[group$codes] * drop(term_matrix(fit, term) %*% tcrossprod(term_lambda(fit, place$term))[, place$column])
  }
  w
}

# Variance of m'b-hat over repeated sampling at the estimated variances, m the persons' weights: w'Pw with w = ZGm, V = ZGZ' + R and
# P = V^-1 - V^-1 X(X'V^-1 X)^-1 X'V^-1, since b-hat = GZ'Py and PVP = P. w'Pw is the weighted residual sum of squares of w regressed on X,
# which the core gives for any outcome at a given theta (in units of sigma^2).
deviation_variance <- function(fit, name, weights) {
  w <- deviation_column(fit, name, scale_chain(fit)[[1L]], weights)
  if (is.null(w)) return(0)
  w <- fit$core$sigma^2 * w
  # Persons standardised alike have the same ratio of SDs: w is then a combination of the columns of X, and the mean does not vary.
  left <- stats::lm.fit(kept_x(fit), w)$residuals
  if (max(abs(left)) <= 1e-10 * max(abs(w))) return(0)
  design <- known_design(fit)
  design$offset <- NULL
  # the core scales the outcome: any unit will do
  unit <- max(abs(w))
  design$y <- w / unit
  engine_at(design, isTRUE(fit$REML), fit$core$theta)$parts$r2 * unit^2 / fit$core$sigma^2
}
