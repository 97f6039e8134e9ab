# R squared from variances of random effects: Nakagawa's, Snijders and Bosker's, and the proportional reduction of each component.

# Nakagawa & Schielzeth (2013, Methods Ecol Evol 4:133), eqs. 26 and 30, the random variance being the average of z'Tz over the rows (Johnson
# 2014, Methods Ecol Evol 5:944, eq. 10). At a boundary the variance is zero and both are equal ('performance' then gives no value).
r2_nakagawa <- function(fit, baseline = NULL) {
  varies <- fit$design$x[kept_columns(fit)] > 0L
  root <- column_root(kept_x(fit)[, varies, drop = FALSE])
  coefficients <- level_coefficients(fit)
  list(
    source = "Nakagawa and Schielzeth (2013), random slopes after Johnson (2014)",
    measures = measure_rows(c("marginal", "conditional"), "total", c("predictors", "predictors and random effects")),
    value = function(draws, beside) {
      fixed <- fixed_variance(root, draws$beta[, varies, drop = FALSE])
      variances <- level_variances(fit, draws, coefficients)
      total <- fixed + rowSums(variances)
      cbind(fixed, total - variances[, ncol(variances)]) / total
    }
  )
}

# The model with random intercepts only, for the same rows and by the same likelihood.
null_fit <- function(fit) {
  null <- fit
  null$design$columns <- list()
  null$design$x <- 0L
  null$design$x_names <- "(Intercept)"
  null$design$x_assign <- 0L
  null$design$terms <- lapply(seq_along(fit$design$groups), function(g) {
    list(group = g, columns = 0L, names = "(Intercept)", structure = "unstructured", label = paste("1 |", fit$design$groups[[g]]$name))
  })
  null$control["start"] <- list(NULL)
  null$core <- engine_fit(null$design, isTRUE(fit$REML), null$control)
  null
}

# Snijders & Bosker (1994, Sociol Methods Res 22:342), levels as in their section on three levels: the proportional reduction of the mean
# squared error of prediction of a single outcome, and of the mean of a unit of each level. The error of the mean of a unit's rows has variance
# (1/n^2)(sum over the groups within it of s' T s + sum of sigma^2 / w), s the sum of z over the rows they share; averaged over the units. With
# random intercepts this is tau^2 + sigma^2 / n, n the harmonic mean of the numbers of rows (Snijders & Bosker 2012, p. 112).
r2_snijders_bosker <- function(fit, baseline = NULL) {
  check_uncorrelated_residuals(
    fit, "The R squared of Snijders and Bosker is",
    "Use {.code method = \"rights-sterba\"} or {.code \"nakagawa\"}."
  )
  groups <- nested_groups(
    fit, "The R squared of Snijders and Bosker", "For crossed groups: r2(fit, method = \"nakagawa\")."
  )
  null <- null_fit(fit)
  error <- error_moments(fit, groups)
  reference <- error_moments(null, groups)
  names <- plain_level(group_names(fit))
  list(
    source = "Snijders and Bosker (1994, 2012)", reference = null,
    measures = measure_rows(
      paste0("level", seq_len(nrow(error))), c("a single outcome", paste("the mean per", names)), "error of prediction, against a model without predictors"
    ),
    value = function(draws, beside) 1 - prediction_error(fit, error, draws) / prediction_error(null, reference, beside)
  )
}

# Replicates x kinds of unit.
prediction_error <- function(fit, moments, draws) cbind(effect_covariances(fit, draws), draws$sigma^2) %*% t(moments)

# What each variance and covariance (in the order of theta_map()) and sigma^2 add to the error, for single rows and the units of every level (rows).
error_moments <- function(fit, groups) {
  rows <- list(codes = seq_len(n_rows(fit)), n = n_rows(fit))
  units <- c(list(rows), lapply(groups, function(group) list(codes = group$codes, n = length(group$levels))))
  do.call(rbind, lapply(units, unit_moments, fit = fit))
}

unit_moments <- function(fit, unit) {
  map <- theta_map(fit$design)
  share <- 1 / (unit$n * tabulate(unit$codes, unit$n)^2)
  moments <- lapply(seq_along(fit$design$terms), function(t) {
    shared <- unit_group_sums(fit, fit$design$terms[[t]], unit)
    products <- crossprod(shared$sums, shared$sums * share[shared$unit])
    own <- map[map$term == t, ]
    (2 - (own$row == own$col)) * products[cbind(own$row, own$col)]
  })
  c(unlist(moments), sum(share[unit$codes] / design_weights(fit$design)))
}

# Sums of the term's columns over the rows that a unit and a group of the term share.
unit_group_sums <- function(fit, term, unit) {
  group <- fit$design$groups[[term$group]]
  cells <- engine_group_codes((group$codes - 1) * unit$n + unit$codes)
  z <- term_matrix(fit, term)
  sums <- vapply(seq_len(ncol(z)), function(j) engine_group_sums(z[, j], cells$codes, length(cells$first))$sum, numeric(length(cells$first)))
  list(sums = matrix(sums, length(cells$first)), unit = unit$codes[cells$first])
}

# Raudenbush & Bryk (2002, Hierarchical Linear Models, 2nd ed., eqs. 4.20 and 4.24): (tau_baseline - tau_fit) / tau_baseline for each
# variance component that both models have.
r2_reduction <- function(fit, baseline = NULL) {
  given <- !is.null(baseline)
  if (given) check_baseline(fit, baseline) else baseline <- null_fit(fit)
  components <- variance_components(fit)
  before <- variance_components(baseline)
  place <- match(components$key, before$key)
  both <- which(!is.na(place))
  if (length(both) < 2L) {
    abort_hlm("design", c(
      "The two models share no variance component but the residual.",
      i = "Compare models with random effects of the same groups."
    ))
  }
  against <- if (given) "the model given" else "a model without predictors"
  words <- ifelse(is.na(components$group[both]), "residual, from row to row",
    paste0(components$name[both], ", between ", plain_group(components$group[both], group_names(fit))))
  variances <- function(model, table, draws) cbind(effect_covariances(model, draws), draws$sigma^2)[, table$entry, drop = FALSE]
  list(
    source = "Raudenbush and Bryk (2002)", against = against, reference = baseline,
    measures = measure_rows(components$key[both], paste("variance in", against), words),
    value = function(draws, beside) {
      reference <- variances(baseline, before[place[both], ], beside)
      1 - variances(fit, components[both, ], draws) / ifelse(reference > 0, reference, NA)
    }
  )
}

# One row per variance: group, name, key, entry (its place in theta_map(); after the last one sigma^2).
variance_components <- function(fit) {
  map <- theta_map(fit$design)
  entry <- which(map$row == map$col)
  name <- unlist(lapply(fit$design$terms, `[[`, "names"))
  group <- group_names(fit)[term_group(fit)[map$term[entry]]]
  data.frame(
    group = c(group, NA), name = c(name, "Residual"), key = c(paste(group, name), "Residual"), entry = c(entry, nrow(map) + 1L), stringsAsFactors = FALSE
  )
}

check_baseline <- function(fit, baseline) {
  if (!inherits(baseline, "hlm")) abort_hlm("data", "{.arg baseline} must be a model fitted with {.fn hlm}.")
  check_comparable(list(fit, baseline))
  if (isTRUE(fit$REML) != isTRUE(baseline$REML)) {
    abort_hlm("data", c(
      "One of the two models was fitted by REML, the other by ML: their variances are not comparable.",
      i = "Fit both with the same {.arg REML}."
    ))
  }
}
