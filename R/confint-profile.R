# Profile intervals: the values of a parameter at which the deviance has risen by the chi-squared quantile, found exactly.

# Matrix of limits, one row per parameter chosen; rows of parameters without a profile are NA.
confint_profile <- function(object, parm = NULL, level = 0.95, scale = "sd", reml = FALSE) {
  check_independent_residuals(
    object, "Profile intervals are",
    "Use {.code confint(fit, method = \"Wald\")}; {.code summary(fit)} has the interval of the correlation."
  )
  cutoff <- stats::qnorm((1 + level) / 2)
  made <- profile_curves(object, parm, cutoff, cutoff * 1.02, reml)
  limits <- matrix(NA_real_, nrow(made$chosen), 2L, dimnames = list(made$chosen$name, interval_names(level)))
  for (i in seq_len(nrow(limits))) {
    curve <- made$curves[[rownames(limits)[[i]]]]
    if (!is.null(curve)) limits[i, ] <- c(curve$lower, curve$upper)
  }
  lost <- rownames(limits)[rowSums(is.nan(limits)) > 0L]
  if (length(lost)) {
    warn_hlm("profile", "A limit of {.val {lost}} was not found: the likelihood could not be followed that far from the estimates.")
  }
  if (length(made$missing)) {
    inform_hlm("profile", c(
      "No interval for {.val {made$missing}}: an SD is estimated as zero, so the correlation is not defined."
    ))
  }
  if (scale == "variance") to_variances(limits, made$chosen) else limits
}

to_variances <- function(limits, parameters) {
  squared <- parameters$kind %in% c("sd", "sigma")
  limits[squared, ] <- limits[squared, ]^2
  rownames(limits) <- sub("^sd_", "var_", sub("^sigma$", "sigma^2", rownames(limits)))
  limits
}
