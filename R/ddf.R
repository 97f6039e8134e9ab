# Denominator degrees of freedom, one method an entry of the registry.
#
# A method is a function of the fit that returns an *inference*: list(vcov, df, joint, label).
# vcov    covariance matrix of the estimated fixed effects that its standard errors come from
# df      function(l): degrees of freedom of the one-dimensional contrast l'beta, l over the estimated coefficients
# joint   NULL, or function(l, rhs): list(f, num_df, den_df), the method's own test of several rows; with NULL the generic one is made
#         from vcov and df (test_joint())
# label   how the printed output names the method
# What is costly is done once, when the inference is prepared. Robust covariances are inferences, too.

ddf_registry <- function() {
  list(
    Satterthwaite = ddf_satterthwaite,
    residual = ddf_residual,
    asymptotic = ddf_asymptotic
  )
}

new_inference <- function(df, label, vcov, joint = NULL) {
  list(vcov = vcov, df = df, joint = joint, label = label)
}

ddf_names <- function() names(ddf_registry())

# Any case, and enough letters to be unique.
match_ddf <- function(ddf) {
  names <- ddf_names()
  found <- if (is.character(ddf) && length(ddf) >= 1L) pmatch(tolower(ddf[[1L]]), tolower(names)) else NA
  if (is.na(found)) {
    abort_hlm("data", c(
      "{.arg ddf} = {.val {ddf}} is not a known method for the degrees of freedom.",
      i = "Choose one of {.val {names}}."
    ))
  }
  names[[found]]
}

prepare_inference <- function(fit, ddf) ddf_registry()[[match_ddf(ddf)]](fit)

# Satterthwaite (1946), as Kuznetsova, Brockhoff & Christensen (2017) J Stat Softw 82(13), eq. 5:
# df = 2 (l'Vl)^2 / (g'Ag), g the gradient of l'V(theta, sigma)l, A the asymptotic covariance of (theta, sigma).
ddf_satterthwaite <- function(fit) {
  pieces <- engine_satterthwaite(fit$design, isTRUE(fit$REML), fit$core$theta)
  v <- fit$core$vcov
  df <- function(l) {
    gradient <- vapply(pieces$jacobian, function(j) sum(l * (j %*% l)), 0)
    variance <- sum(l * (v %*% l))
    2 * variance^2 / sum(gradient * (pieces$vcov_varpar %*% gradient))
  }
  new_inference(df, "Satterthwaite's method", v)
}

ddf_residual <- function(fit) {
  df <- n_rows(fit) - length(kept_columns(fit))
  new_inference(function(l) df, "residual degrees of freedom", fit$core$vcov)
}

ddf_asymptotic <- function(fit) {
  new_inference(function(l) Inf, "the normal distribution", fit$core$vcov)
}

# The denominator df of an F test from those of its independent one-dimensional parts (Fai & Cornelius 1996, J Stat
# Comput Simul 54:363; lmerTest's get_Fstat_ddf).
combine_ddf <- function(nu, tol = 1e-8) {
  if (length(nu) == 1L || all(!is.finite(nu)) || all(abs(diff(nu)) < tol)) return(mean(nu))
  if (any(nu <= 2)) return(2)
  expectation <- sum(ifelse(is.finite(nu), nu / (nu - 2), 1))
  2 * expectation / (expectation - length(nu))
}
