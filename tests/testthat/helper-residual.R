# Fits with residual structures, and the dense matrices of their definition.

residual_fixture_fit <- function(fixture, d = fixture_data(fixture)) {
  arguments <- list(formula = stats::as.formula(fixture$formula, env = globalenv()), data = quote(d), REML = fixture$REML, residual = fixture$residual)
  if (!is.null(fixture$weights)) arguments$weights <- as.name(fixture$weights)
  suppressWarnings(do.call(hlm, arguments), classes = "hlm_warning")
}

# synthetic: 20 persons with gaps in their sessions, rows mixed, a predictor, two phases, prior weights
serial_data <- function(seed = 1L) {
  keep_seed(seed, {
    d <- expand.grid(session = 1:8, person = 1:20)
    noise <- stats::ave(stats::rnorm(160), d$person, FUN = function(e) stats::filter(e, 0.5, "recursive"))
    d$phase <- ifelse(d$session <= 4, "early", "late")
    d$x <- stats::rnorm(160)
    d$w <- stats::runif(160, 0.5, 2)
    d$y <- 10 + stats::rnorm(20)[d$person] + 0.5 * d$x + ifelse(d$phase == "late", 1.8, 1) * noise
    d[sample(160, 130), ]
  })
}

fit_serial <- function() fit_once("serial", function() {
  hlm(y ~ wb(x) + session + (1 | person), serial_data(), time = session, weights = w, residual = "ar1")
})

fit_both <- function() fit_once("serial_both", function() {
  hlm(y ~ wb(x) + session + (1 + session | person), serial_data(), time = session, residual = ar1 + hetero(phase))
})

fit_hetero <- function() fit_once("serial_hetero", function() {
  hlm(y ~ wb(x) + session + (1 | person), serial_data(), time = session, residual = hetero(phase))
})

# R by its definition, the free parameters given (hetero first, as in the fit); weights included.
structured_r <- function(fit, free = fit$core$residual$free) {
  data <- fit$data[fit$rows, ]
  n <- nrow(data)
  sd <- rep(1, n)
  correlation <- diag(n)
  for (part in all.vars(fit$residual)) {
    if (part == "phase") {
      sd <- ifelse(data$phase == "early", 1, exp(free[[1L]]))
      free <- free[-1L]
    } else {
      correlation <- ifelse(outer(data$person, data$person, "=="), tanh(free[[1L]])^abs(outer(data$session, data$session, "-")), 0)
    }
  }
  correlation * tcrossprod(sd / sqrt(fit$design$weights %||% rep(1, n)))
}

# V relative to sigma^2, for theta of the fit's terms.
structured_v <- function(fit, theta = fit$core$theta, free = fit$core$residual$free) {
  fit$core$theta <- theta
  z <- as.matrix(getME(fit, "Z"))
  lambda <- as.matrix(getME(fit, "Lambda"))
  structured_r(fit, free) + tcrossprod(z %*% lambda)
}
