# Dense reference for predicted combinations l'beta + z'b, independent of the compiled code and of the sparse factor: with V the covariance of the outcome
# over sigma^2, Psi that of b, C11 = (X'V^-1X)^-1, C12 = -C11 X'V^-1 Z Psi, C22 = Psi - Psi Z'PZ Psi (Henderson 1975; Robinson 1991, Statistical Science
# 6:15), all times sigma^2. Works for singular Psi. l: one row per combination; z: over all columns of Z, the terms side by side.
dense_slopes <- function(fit, l, z) {
  setup <- dense_setup(fit$design, isTRUE(fit$REML))
  state <- dense_state(setup, fit$core$theta)
  big_z <- do.call(cbind, setup$z)
  psi <- as.matrix(Matrix::bdiag(lapply(seq_along(setup$z), function(t) {
    block <- tcrossprod(dense_lambda_term(fit$design, setup$map, fit$core$theta, t))
    kronecker(diag(length(fit$design$groups[[fit$design$terms[[t]]$group]]$levels)), block)
  })))
  sigma2 <- state$r2 / setup$nu
  c11 <- state$xvx_inv
  c12 <- -c11 %*% state$xtv %*% big_z %*% psi
  c22 <- psi - psi %*% crossprod(big_z, state$p_mat %*% big_z) %*% psi
  b <- drop(psi %*% crossprod(big_z, state$p_mat %*% setup$y))
  list(
    slope = drop(l %*% state$beta + z %*% b),
    variance = sigma2 * (rowSums((l %*% c11) * l) + 2 * rowSums((l %*% c12) * z) + rowSums((z %*% c22) * z))
  )
}

# z of dense_slopes() with a 1 for effect `name` of unit j in each term named by `levels` (a list: for each term the level of every unit, or NULL).
dense_slope_z <- function(fit, name, levels) {
  blocks <- lapply(seq_along(fit$design$terms), function(t) {
    term <- fit$design$terms[[t]]
    q <- length(term$columns)
    z <- matrix(0, max(lengths(levels)), q * length(fit$design$groups[[term$group]]$levels))
    place <- match(name, term$names)
    if (!is.null(levels[[t]]) && !is.na(place)) z[cbind(seq_along(levels[[t]]), (levels[[t]] - 1L) * q + place)] <- 1
    z
  })
  do.call(cbind, blocks)
}

# Synthetic: 12 therapists, 4 to 6 patients each, up to 7 sessions, effects at three levels; ids used again by each therapist.
three_levels <- function() {
  fit_once("three_levels", function() {
    withr::with_seed(41, {
      d <- expand.grid(session = 1:7, patient = 1:6, therapist = LETTERS[1:12], stringsAsFactors = FALSE)
      d <- d[!(d$patient > 4 & match(d$therapist, LETTERS) %% 3 == 0), ]
      therapist <- match(d$therapist, LETTERS)
      person <- as.integer(factor(paste(d$therapist, d$patient)))
      d$arm <- c("usual", "priming")[1 + person %% 2]
      d$severity <- round(stats::rnorm(max(person)), 2)[person]
      d$x <- stats::rnorm(12, 0, 0.6)[therapist] + stats::rnorm(max(person), 0, 0.8)[person] + 0.1 * d$session + stats::rnorm(nrow(d))
      slope <- -0.5 + stats::rnorm(12, 0, 0.4)[therapist] + stats::rnorm(max(person), 0, 0.4)[person] - 0.3 * (d$arm == "priming")
      d$y <- 10 + stats::rnorm(12, 0, 0.9)[therapist] + stats::rnorm(max(person))[person] + slope * d$x - 0.2 * d$session + stats::rnorm(nrow(d), 0, 0.9)
      d <- d[-sample(nrow(d), 40), ]
      d[sample(nrow(d)), ]
    })
  })
}
fit_three_levels <- function() {
  fit_once("three_levels_fit", function() {
    hlm(
      y ~ session + wb(x, level = "therapist") + within(x):arm + arm + (1 + within(x) | therapist / patient), three_levels(),
      time = session
    )
  })
}
fit_therapists <- function() {
  fit_once("fit_therapists", function() {
    hlm(bai ~ session + wb(wai, level = "therapist") + (1 | therapist / id), implement, time = session)
  })
}
