# Are the two standardised cross-effects equally large? Both models are fitted to the same persons, so the estimates are correlated.

# list(table, correlation, note).
compare_directions <- function(fits, effects, settings) {
  cross <- effects[effects$role == "within", , drop = FALSE]
  cross <- cross[match(c("xy", "yx"), cross$direction), ]
  if (anyNA(cross$std.estimate)) {
    return(list(table = NULL, correlation = NA_real_, note = "no test of their difference: a standardised effect is missing"))
  }
  if (settings$test == "bootstrap") return(bootstrap_difference(fits, cross, settings))
  psi <- tryCatch(lapply(fits, function(made) cross_contributions(made, common_cluster(made, fits))), hlm_error = identity)
  if (inherits(psi, "error")) {
    return(list(
      table = NULL, correlation = NA_real_, note = paste0("no test of their difference by scores (", conditionMessage(psi), "); use test = \"bootstrap\"")
    ))
  }
  covariance <- stacked_covariance(psi$xy, psi$yx)
  list(
    table = difference_table(cross$std.estimate, covariance, min(lengths(psi)) - 1, settings$conf.level),
    correlation = stats::cov2cor(covariance)[1L, 2L], note = NULL
  )
}

# Signed difference, and difference of absolute sizes (delta method: the signs as estimated). t with the number of clusters minus one.
difference_table <- function(estimate, covariance, df, level) {
  l <- rbind(c(1, -1), sign(estimate) * c(1, -1))
  value <- drop(l %*% estimate)
  se <- sqrt(rowSums((l %*% covariance) * l))
  half <- stats::qt((1 + level) / 2, df) * se
  data.frame(
    contrast = c("xy minus yx", "size of xy minus size of yx"), estimate = value, std.error = se, df = df, statistic = value / se,
    p.value = 2 * stats::pt(abs(value / se), df, lower.tail = FALSE), conf.low = value - half, conf.high = value + half, stringsAsFactors = FALSE
  )
}

# Scores ------------------------------------------------------------------------------------------------------------------------------

# Covariance of two estimators from the contributions of their clusters, a cluster that only one of them has counting as 0 in the other: the sandwich of
# the stacked estimating equations (Weesie 1999, Stata Tech Bull 52:34; White 1982, Econometrica 50:1), with the factor J/(J - 1).
stacked_covariance <- function(a, b) {
  known <- union(names(a), names(b))
  both <- cbind(xy = a[known], yx = b[known])
  both[is.na(both)] <- 0
  crossprod(both) * length(known) / (length(known) - 1)
}

# The coarsest grouping factor of either model.
coarsest_unit <- function(fits) {
  units <- lapply(fits, function(one) default_cluster(one$fit))
  units[[which.min(vapply(units, function(unit) length(unit$labels), 1L))]]
}

# The same for both: the clusters of the two must be the same units. In a model without it its values are taken from the data.
common_cluster <- function(made, fits) {
  unit <- coarsest_unit(fits)
  own <- default_cluster(made$fit)
  if (own$name == unit$name) return(own)
  values <- cluster_values(unit$name, made)
  groups <- factor(values)
  as_unit(unit$name, as.integer(groups), levels(groups))
}

# A grouping factor of the model, a column of the data, or a combination `a:b` of columns, over the analysed rows.
cluster_values <- function(name, made) {
  if (name %in% group_names(made$fit)) return(named_cluster(made$fit, name))
  expr <- if (name %in% names(made$data)) as.name(name) else str2lang(name)
  if (!all(expr_vars(expr) %in% names(made$data))) {
    abort_hlm("data", "{.val {name}} is neither a grouping factor nor a column of the data.")
  }
  columns <- lapply(as.list(made$data)[expr_vars(expr)], function(x) plain_column(x)[made$fit$rows])
  group_labels(expr, columns, environment(made$fit$formula))
}

# Bootstrap ---------------------------------------------------------------------------------------------------------------------------

# The unit to draw as a grouping factor of the design (without random effects, where the model has none of it).
with_cluster <- function(made, unit) {
  place <- match(unit$name, group_names(made$fit))
  if (is.na(place)) {
    place <- length(made$fit$design$groups) + 1L
    made$fit$design$groups[[place]] <- list(name = unit$name, codes = unit$codes, levels = unit$labels)
  }
  made$cluster <- place
  made
}

# Clusters of the coarsest factor with all their rows, both models fitted to the same draw. Person means stay as they are in the fits.
# A loop over fits: each draw is of both models, and the standardised effect needs the modes and the outcome's SDs of its rows.
bootstrap_difference <- function(fits, cross, settings) {
  local_seed(settings$seed)
  fits <- Map(with_cluster, fits, lapply(fits, common_cluster, fits))
  group <- vapply(fits, `[[`, 1L, "cluster")
  labels <- Map(function(made, g) made$fit$design$groups[[g]]$levels, fits, group)
  known <- union(labels$xy, labels$yx)
  draws <- matrix(NA_real_, settings$nsim, 2L)
  step <- local_progress(settings$nsim, "Bootstrap")
  for (i in seq_len(settings$nsim)) {
    drawn <- sample(known, replace = TRUE)
    draws[i, ] <- tryCatch(vapply(c("xy", "yx"), function(way) {
      levels <- match(drawn, labels[[way]])
      fit <- with_groups(fits[[way]]$fit, group[[way]], levels[!is.na(levels)])
      # a unit without random effects has served
      fit$design$groups <- fit$design$groups[used_groups(fit$design)]
      fit$core <- engine_fit(fit$design, isTRUE(fit$REML), fit$control)
      cross_value(fit, fits[[way]]$roles$within)
    }, 0), hlm_error = function(e) c(NA_real_, NA_real_))
    step(i)
  }
  used <- stats::complete.cases(draws)
  if (sum(used) < 3L) abort_hlm("numerical", "No bootstrap sample identifies both models.")
  if (!all(used)) warn_hlm("bootstrap", "{sum(!used)} of {settings$nsim} draws did not identify both models and are left out.")
  covariance <- stats::cov(draws[used, ])
  list(
    table = difference_table(cross$std.estimate, covariance, min(lengths(labels)) - 1, settings$conf.level), correlation = stats::cov2cor(covariance)[1L, 2L],
    note = NULL
  )
}
