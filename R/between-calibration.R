# The predictors' own random-intercept model, by moments, and the prediction of each person's level. Used by between_correction().
#
# v_ij = A'w_j + r_j + e_ij for the vector v of the split variables (first) and of the other columns that vary within persons; r_j ~ (0, T),
# e_ij ~ (0, S). With M the residual matrix of W (persons by person-level columns) and n_j the sessions,
#   S = within sums of products / (n - J),   B = Vbar' M Vbar / (J - k),   E(B) = T + S sum_j M_jj / n_j / (J - k),
# the analysis-of-variance ("unweighted means") estimates (Searle, Casella & McCulloch 1992, Variance Components, section 3.6 and 5.3).

# Everything the moments are made from, and which columns of the model involve an uncertain level.
calibration_problem <- function(fit) {
  check_correctable(fit)
  person <- person_factor(fit)
  labels <- uncertain_labels(fit)
  rows <- newdata_derived(fit, newdata_columns(fit, NULL), NULL, "within")
  x <- lapply(labels, function(label) as.double(newdata_value(fit, fit$means[[label]], rows, rows$columns)))
  parts <- uncertain_parts(fit, labels)
  products <- uncertain_products(fit, parts, rows)
  involved <- involved_columns(fit, parts)
  others <- other_columns(fit, involved)
  means <- vapply(labels, function(label) {
    fit$means[[label]]$coef[match(person$levels, fit$means[[label]]$persons), 1L]
  }, numeric(length(person$levels)))
  sessions <- vapply(labels, function(label) {
    as.double(fit$means[[label]]$count[match(person$levels, fit$means[[label]]$persons)])
  }, numeric(length(person$levels)))
  list(
    person = person, labels = labels, rows = rows, x = x, parts = parts, products = products, columns = involved, w = others$w,
    auxiliary = others$auxiliary, means = matrix(means, length(person$levels)), sessions = matrix(sessions, length(person$levels))
  )
}

uncertain_labels <- function(fit) {
  labels <- Filter(function(label) {
    any(vapply(fit$means[[label]]$columns, function(column) column$kind == "between", NA))
  }, names(fit$means))
  if (!length(labels)) {
    abort_hlm("data", c(
      "The model has no between-person effect of a person's mean: there is nothing to correct.",
      i = "Use {.code wb(x)}, {.code between(x)} or {.code cx(x)} in the formula."
    ))
  }
  labels
}

check_correctable <- function(fit) {
  trend <- names(Filter(function(means) means$degree > 0L, fit$means))
  if (length(trend)) {
    abort_hlm("design", c(
      "{.var {trend}} {?is/are} split by each person's own trend; the correction knows the reliability of means only.",
      i = "Use {.code wb(x)} without {.arg detrend}."
    ))
  }
  person <- person_factor(fit)
  above <- Filter(function(group) {
    group$name != fit$id && is_nested(person, list(codes = as.integer(group$codes), levels = group$levels))
  }, fit$design$groups)
  split <- any(vapply(fit$means, function(means) any(vapply(means$columns, function(column) length(column$chain) > 0L, NA)), NA))
  if (length(above) || split) {
    abort_hlm("design", c(
      "The correction is for persons as the highest level; this model has {.val {vapply(above, `[[`, '', 'name')}} above them.",
      i = "Persons' levels are then related within these units, which the correction does not take into account. Leave that level out to
           see how much unreliability matters."
    ))
  }
}

# One row per column of the formula that holds an uncertain level: its label, its column in the data, the variable (by place), kind,
# grand mean.
uncertain_parts <- function(fit, labels) {
  facts <- variable_facts(fit)
  computed <- facts$label[facts$kind == "computed"]
  if (length(computed)) {
    abort_hlm("design", c(
      "{.code {computed}} {?is a function/are functions} of the split parts of a variable; the correction knows the parts themselves and
       their products.",
      i = "Compute the function of the variable first, and split that: {.code wb(x_squared)}."
    ))
  }
  facts <- facts[facts$kind %in% c("within", "between") & facts$source %in% labels, ]
  facts$variable <- match(facts$source, labels)
  facts$column <- vapply(seq_len(nrow(facts)), function(i) {
    columns <- names(fit$means[[facts$source[[i]]]]$columns)
    columns[[match(facts$label[[i]], column_label(columns))]]
  }, "")
  facts$grand <- vapply(seq_len(nrow(facts)), function(i) fit$means[[facts$source[[i]]]]$columns[[facts$column[[i]]]]$grand %||% 0, 0)
  facts
}

# Terms with two uncertain parts: the columns, the sign of the posterior covariance and what else is multiplied.
uncertain_products <- function(fit, parts, rows) {
  members <- term_members(fit)
  coefs <- fit$spec$coefs
  out <- list()
  for (term in names(members)) {
    mine <- parts[match(members[[term]], parts$label, nomatch = 0L), ]
    if (nrow(mine) < 2L || all(mine$kind == "within")) next
    if (nrow(mine) > 2L || any(coefs$name[coefs$term == term] %in% names(fit$blueprint$products))) {
      abort_hlm("design", "{.code {term}} is a product of more than two uncertain parts; the correction knows products of two.")
    }
    ones <- rows
    for (column in mine$column) ones$columns[[column]] <- rep(1, rows$n)
    columns <- coefs$name[coefs$term == term]
    out <- c(out, list(list(
      labels = mine$label, columns = columns, sign = if (any(mine$kind == "within")) -1 else 1, rest = term_values(fit, ones)[columns]
    )))
  }
  out
}

# Names of the model's columns with an uncertain level in them. The double-demeaned product of within parts has none: each person's mean
# is taken off it.
involved_columns <- function(fit, parts) {
  members <- term_members(fit)
  hit <- vapply(fit$spec$coefs$term, function(term) any(members[[term]] %in% parts$label), NA)
  setdiff(fit$spec$coefs$name[hit], names(fit$blueprint$products))
}

# The remaining predictors: person-level columns (W, a matrix persons by columns) and those that vary within persons (a list).
other_columns <- function(fit, involved) {
  person <- person_factor(fit)
  first <- match(seq_along(person$levels), person$codes)
  w <- list(rep(1, length(first)))
  auxiliary <- list()
  split <- unlist(lapply(fit$spec$contextual, function(key) contextual_raw(fit, key, source_labels(fit$spec$sources)[[key]])))
  for (k in kept_columns(fit)) {
    name <- fit$design$x_names[[k]]
    if (fit$design$x[[k]] == 0L || name %in% c(involved, split)) next
    column <- design_column(fit$design, fit$design$x[[k]])
    deviation <- column - group_mean(column, person)
    varies <- fit$spec$coefs$level[[match(name, fit$spec$coefs$name)]] == "1"
    if (!varies) w <- c(w, list(column[first])) else if (!is_double_demeaned(fit, name)) auxiliary[[name]] <- column
    if (varies && max(abs(deviation)) == 0) w <- c(w, list(column[first]))
  }
  w <- matrix(unlist(w), length(first))
  pivot <- qr(w)
  list(w = w[, pivot$pivot[seq_len(pivot$rank)], drop = FALSE], auxiliary = auxiliary)
}

# Its person means are zero by construction: it says nothing about a person's level.
is_double_demeaned <- function(fit, name) name %in% names(fit$blueprint$products)

calibration_moments <- function(problem) {
  person <- problem$person
  n_persons <- length(person$levels)
  rows <- c(problem$x, unname(problem$auxiliary))
  deviation <- matrix(unlist(lapply(rows, function(v) v - group_mean(v, person))), length(person$codes))
  auxiliary <- unlist(lapply(problem$auxiliary, function(v) {
    sums <- engine_group_sums(v, person$codes, n_persons)
    sums$sum / sums$count
  }))
  means <- cbind(problem$means, matrix(as.double(auxiliary), n_persons))
  count <- tabulate(person$codes, n_persons)
  sessions <- cbind(problem$sessions, matrix(rep(as.double(count), length(problem$auxiliary)), n_persons))
  projection <- qr(problem$w)
  rest <- qr.resid(projection, means)
  leverage <- rowSums(qr.Q(projection)^2)
  df <- n_persons - ncol(problem$w)
  within_df <- length(person$codes) - n_persons
  if (df < 1L || within_df < 1L) {
    abort_hlm("data", "The reliability of person means needs more persons than person-level predictors, and persons with several sessions.")
  }
  observed <- crossprod(rest) / df
  within <- crossprod(deviation) / within_df
  noise <- error_share(sessions, (1 - leverage) / df)
  moments <- list(
    intercepts = qr.coef(projection, means), observed = observed, within = within, noise = noise, means = means, sessions = sessions,
    leverage = leverage, df = df, within_df = within_df
  )
  add_between(moments)
}

# sum_j weight_j / n_j for each pair of variables. Where two variables were observed in different numbers of sessions, their means share the
# sessions of the smaller number: Cov = S_ab / max(n_a, n_b).
error_share <- function(sessions, weight) {
  q <- ncol(sessions)
  share <- matrix(0, q, q)
  for (a in seq_len(q)) {
    for (b in seq_len(q)) share[a, b] <- sum(weight / pmax(sessions[, a], sessions[, b]))
  }
  share
}

# T = B - S * share, moved to the nearest matrix without negative variances in the units of the within SDs.
add_between <- function(moments) {
  between <- moments$observed - moments$within * moments$noise
  unit <- sqrt(diag(moments$within))
  unit[unit == 0] <- 1
  spectrum <- eigen(between / tcrossprod(unit), symmetric = TRUE)
  if (any(spectrum$values < 0)) {
    between <- (spectrum$vectors %*% (pmax(spectrum$values, 0) * t(spectrum$vectors))) * tcrossprod(unit)
  }
  moments$between <- between
  moments
}

check_calibration <- function(problem, moments) {
  raw <- diag(moments$observed - moments$within * moments$noise)[seq_along(problem$labels)]
  none <- raw <= 0
  if (any(none)) {
    abort_hlm("data", c(
      "Persons do not differ in {.var {problem$labels[none]}} beyond what {?its/their} variation within persons would produce by chance.",
      i = "The person means have no reliability: a between-person effect cannot be estimated, corrected or not."
    ))
  }
  reliability <- reliability_table(problem, moments)
  low <- reliability$mean < 0.3
  if (any(low)) {
    warn_hlm("reliability", c(
      "The person means of {.var {reliability$variable[low]}} have a reliability of {round(reliability$mean[low], 2)} only.",
      i = "The correction then rests on very little; take note of the standard errors."
    ))
  }
}

reliability_table <- function(problem, moments) {
  rows <- lapply(seq_along(problem$labels), function(a) {
    tau2 <- moments$observed[a, a] - moments$within[a, a] * moments$noise[a, a]
    sigma2 <- moments$within[a, a]
    n <- problem$sessions[, a]
    lambda <- tau2 / (tau2 + sigma2 / n)
    data.frame(
      variable = problem$labels[[a]], tau2 = tau2, sigma2 = sigma2, sessions = 1 / mean(1 / n), mean = mean(lambda), lowest = min(lambda),
      highest = max(lambda), stringsAsFactors = FALSE
    )
  })
  do.call(rbind, rows)
}

# E(level | all observed means) and its covariance, J x p and J x p x p: A'w_j + T (T + S/n_j)^-1 (vbar_j - A'w_j), T - T (T + S/n_j)^-1 T.
predict_levels <- function(problem, moments) {
  p <- length(problem$labels)
  fixed <- problem$w %*% moments$intercepts
  rest <- moments$means - fixed
  pattern <- engine_group_codes(as.character(do.call(paste, as.data.frame(moments$sessions))))
  level <- fixed[, seq_len(p), drop = FALSE]
  covariance <- array(0, c(nrow(rest), p, p))
  for (k in seq_along(pattern$first)) {
    mine <- which(pattern$codes == k)
    n <- moments$sessions[pattern$first[[k]], ]
    total <- moments$between + moments$within / outer(n, n, pmax)
    gain <- moments$between[seq_len(p), , drop = FALSE] %*% solve_symmetric(total)
    level[mine, ] <- level[mine, , drop = FALSE] + tcrossprod(rest[mine, , drop = FALSE], gain)
    left <- moments$between[seq_len(p), seq_len(p), drop = FALSE] - gain %*% moments$between[, seq_len(p), drop = FALSE]
    covariance[mine, , ] <- rep(left, each = length(mine))
  }
  list(level = level, covariance = covariance)
}

# Generalised inverse: an auxiliary column may be a combination of the others, or the same for everybody.
solve_symmetric <- function(a) {
  unit <- sqrt(pmax(diag(a), 0))
  unit[unit == 0] <- 1
  spectrum <- eigen(a / tcrossprod(unit), symmetric = TRUE)
  keep <- spectrum$values > 1e-10 * spectrum$values[[1L]]
  (spectrum$vectors[, keep, drop = FALSE] %*% (t(spectrum$vectors[, keep, drop = FALSE]) / spectrum$values[keep])) / tcrossprod(unit)
}

# The estimates as one vector (A, B, S), their covariance matrix under normal theory and the way back. A, B and S are uncorrelated.
calibration_parameters <- function(problem, moments) {
  w <- problem$w
  k <- ncol(w)
  q <- ncol(moments$means)
  lower <- which(lower.tri(diag(q), diag = TRUE), arr.ind = TRUE)
  variance <- function(a, b) moments$between[a, b] + moments$within[a, b] / pmax(moments$sessions[, a], moments$sessions[, b])
  inverse <- chol2inv(chol(crossprod(w)))
  intercepts <- matrix(0, k * q, k * q)
  block <- function(a) (a - 1L) * k + seq_len(k)
  weighted <- lapply(seq_len(q), function(a) lapply(seq_len(q), function(b) inverse %*% crossprod(w, variance(a, b) * w)))
  for (a in seq_len(q)) {
    for (b in seq_len(q)) intercepts[block(a), block(b)] <- weighted[[a]][[b]] %*% inverse
  }
  # tr(M D M D') for diagonal D, D' and M = I - H
  trace <- function(a, b, c, d) {
    one <- variance(a, b)
    two <- variance(c, d)
    sum(one * two * (1 - 2 * moments$leverage)) + sum(weighted[[a]][[b]] * t(weighted[[c]][[d]]))
  }
  pairs <- nrow(lower)
  observed <- within <- matrix(0, pairs, pairs)
  for (i in seq_len(pairs)) {
    for (j in seq_len(i)) {
      a <- lower[i, 1L]
      b <- lower[i, 2L]
      c <- lower[j, 1L]
      d <- lower[j, 2L]
      observed[i, j] <- observed[j, i] <- (trace(a, c, b, d) + trace(a, d, b, c)) / moments$df^2
      s <- moments$within
      within[i, j] <- within[j, i] <- (s[a, c] * s[b, d] + s[a, d] * s[b, c]) / moments$within_df
    }
  }
  covariance <- block_diagonal(list(intercepts, observed, within))
  list(
    value = c(moments$intercepts, moments$observed[lower], moments$within[lower]), covariance = covariance,
    moments = function(value) {
      moments$intercepts <- matrix(value[seq_len(k * q)], k, q)
      moments$observed <- symmetric_from(value[k * q + seq_len(pairs)], lower, q)
      moments$within <- symmetric_from(value[k * q + pairs + seq_len(pairs)], lower, q)
      add_between(moments)
    }
  )
}

# Matrix::bdiag() sets up its methods at its first call, which takes as long as hundreds of fits.
block_diagonal <- function(blocks) {
  sizes <- vapply(blocks, nrow, 1L)
  out <- matrix(0, sum(sizes), sum(sizes))
  for (k in seq_along(blocks)) {
    mine <- sum(sizes[seq_len(k - 1L)]) + seq_len(sizes[[k]])
    out[mine, mine] <- blocks[[k]]
  }
  out
}

symmetric_from <- function(value, lower, q) {
  out <- matrix(0, q, q)
  out[lower] <- value
  out[lower[, 2:1, drop = FALSE]] <- value
  out
}
