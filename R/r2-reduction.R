# R squared from variances of random effects: Nakagawa's, Snijders and Bosker's, and the proportional reduction of each component.

# Nakagawa & Schielzeth (2013, Methods Ecol Evol 4:133), eqs. 26 and 30, the random variance being the average of z'Tz over the rows (Johnson
# 2014, Methods Ecol Evol 5:944, eq. 10). At a boundary the variance is zero and both are equal ('performance' then gives no value).
r2_nakagawa <- function(fit, baseline = NULL) {
  fixed <- stats::var(fixed_predictor(fit) - design_offset(fit$design))
  random <- sum(level_variances(fit))
  total <- fixed + random + fit$core$sigma^2 * mean(1 / design_weights(fit$design))
  list(
    source = "Nakagawa and Schielzeth (2013), random slopes after Johnson (2014)",
    measures = measure_rows(
      c("marginal", "conditional"), "total", c(fixed, fixed + random) / total, c("predictors", "predictors and random effects")
    )
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
  error <- prediction_error(fit, groups)
  reference <- prediction_error(null, groups)
  names <- plain_level(group_names(fit))
  list(
    source = "Snijders and Bosker (1994, 2012)",
    measures = measure_rows(
      paste0("level", seq_along(error)), c("a single outcome", paste("the mean per", names)), 1 - error / reference,
      "error of prediction, against a model without predictors"
    )
  )
}

prediction_error <- function(fit, groups) {
  rows <- list(codes = seq_len(n_rows(fit)), n = n_rows(fit))
  units <- c(list(rows), lapply(groups, function(group) list(codes = group$codes, n = length(group$levels))))
  vapply(units, function(unit) mean(unit_error(fit, unit)), 0)
}

unit_error <- function(fit, unit) {
  size <- tabulate(unit$codes, unit$n)
  variance <- fit$core$sigma^2 * engine_group_sums(1 / design_weights(fit$design), unit$codes, unit$n)$sum
  for (t in seq_along(fit$design$terms)) {
    term <- fit$design$terms[[t]]
    covariance <- fit$core$sigma^2 * tcrossprod(term_lambda(fit, t))
    shared <- unit_group_sums(fit, term, unit)
    quadratic <- rowSums((shared$sums %*% covariance) * shared$sums)
    variance <- variance + engine_group_sums(quadratic, shared$unit, unit$n)$sum
  }
  variance / size^2
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
  reference <- before$variance[place[both]]
  against <- if (given) "the model given" else "a model without predictors"
  words <- ifelse(is.na(components$group[both]), "residual, from row to row",
    paste0(components$name[both], ", between ", plain_group(components$group[both], group_names(fit))))
  list(
    source = "Raudenbush and Bryk (2002)", against = against,
    measures = measure_rows(
      components$key[both], paste("variance in", against), 1 - components$variance[both] / ifelse(reference > 0, reference, NA), words
    )
  )
}

variance_components <- function(fit) {
  pieces <- lapply(seq_along(fit$design$terms), function(t) {
    term <- fit$design$terms[[t]]
    data.frame(
      group = fit$design$groups[[term$group]]$name, name = term$names, stringsAsFactors = FALSE,
      variance = fit$core$sigma^2 * rowSums(term_lambda(fit, t)^2)
    )
  })
  table <- rbind(do.call(rbind, pieces), data.frame(group = NA, name = "Residual", variance = fit$core$sigma^2, stringsAsFactors = FALSE))
  table$key <- ifelse(is.na(table$group), "Residual", paste(table$group, table$name))
  table
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
