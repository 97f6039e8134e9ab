# Models with a residual structure, which lme4 cannot fit: nlme, glmmTMB (unequal variances), and the textbook's formula.
#
# The textbook's formula stands in for lme4's deviance function as the common scale: V = Z Lambda Lambda' Z' + R written out as matrices,
# independent blocks of rows apart, log|V|, generalised least squares (Pinheiro & Bates 2000, section 5.2), nothing else. Any tool's
# parameters can be put into it, and nlminb() minimises it from several starts, as a peer ("plain") of its own.

# Parameters: theta as lme4's, then `structure` = list(phi, ratios): the correlation at distance 1, SD ratios of the later strata.
plain_criterion <- function(model, parts, theta, structure, all = FALSE) {
  trms <- parts$reTrms
  lambda_t <- trms$Lambdat
  lambda_t@x <- theta[trms$Lind]
  half <- Matrix::crossprod(trms$Zt, Matrix::t(lambda_t))
  y <- parts$fr[[1]]
  deviation <- rep(1, length(y))
  if (!is.null(model$strata)) deviation <- c(1, structure$ratios)[as.integer(model$data[[model$strata]])]
  logdet <- 0
  whitened <- lapply(split(seq_along(y), model$data[[model$block]], drop = TRUE), function(rows) {
    correlation <- if (is.null(model$serial)) diag(length(rows)) else serial_correlation(model, rows, structure$phi)
    # the columns of Z that touch these rows: everything else is zero
    z <- as.matrix(half[rows, , drop = FALSE])
    z <- z[, colSums(z != 0) > 0, drop = FALSE]
    root <- chol(tcrossprod(z) + correlation * tcrossprod(deviation[rows]))
    logdet <<- logdet + 2 * sum(log(diag(root)))
    backsolve(root, cbind(parts$X[rows, , drop = FALSE], y[rows]), transpose = TRUE)
  })
  whitened <- do.call(rbind, whitened)
  p <- ncol(parts$X)
  decomposition <- qr(whitened[, seq_len(p), drop = FALSE])
  r2 <- sum(qr.resid(decomposition, whitened[, p + 1])^2)
  nu <- length(y) - if (model$REML) p else 0
  logdet_x <- 2 * sum(log(abs(diag(qr.R(decomposition)))))
  value <- logdet + nu * (1 + log(2 * pi * r2 / nu)) + if (model$REML) logdet_x else 0
  if (!all) return(value)
  list(criterion = value, fixef = qr.coef(decomposition, whitened[, p + 1]), sigma = sqrt(r2 / nu), vcov = r2 / nu * chol2inv(qr.R(decomposition)))
}

serial_correlation <- function(model, rows, phi) {
  time <- model$data[[model$serial]][rows]
  person <- as.integer(model$data$patient)[rows]
  distance <- abs(outer(time, time, "-"))
  sign(phi)^(distance %% 2) * abs(phi)^distance * outer(person, person, "==")
}

# The free form: theta, artanh(phi) (log rate in continuous time), log ratios.
plain_structure <- function(model, free) {
  phi <- if (!is.null(model$serial)) if (isTRUE(model$continuous)) exp(-exp(free[1])) else tanh(free[1])
  list(phi = phi, ratios = exp(free[seq_along(free) > !is.null(model$serial)]))
}

plain_free <- function(model, structure) {
  serial <- if (!is.null(model$serial)) {
    if (isTRUE(model$continuous)) log(-log(min(max(structure$phi, 1e-10), 1 - 1e-10))) else atanh(structure$phi)
  }
  unname(c(serial, log(structure$ratios)))
}

fit_plain <- function(model, parts, found) {
  lower <- parts$reTrms$lower
  m <- length(lower)
  objective <- function(v) tryCatch(plain_criterion(model, parts, v[seq_len(m)], plain_structure(model, v[-seq_len(m)])), error = function(e) 1e10)
  strata <- if (is.null(model$strata)) 0 else nlevels(model$data[[model$strata]]) - 1
  phis <- if (is.null(model$serial)) list(NULL) else list(0.05, 0.4, 0.8)
  starts <- lapply(phis, function(phi) c(ifelse(lower == 0, 0.7, 0), plain_free(model, list(phi = phi, ratios = rep(1, strata)))))
  for (one in found) starts <- c(starts, list(c(pmax(one$theta, lower), plain_free(model, one$structure))))
  bounds <- c(lower, rep(-12, length(starts[[1]]) - m))
  control <- list(rel.tol = 1e-14, x.tol = 1e-10, iter.max = 400, eval.max = 800)
  tries <- lapply(starts, function(start) stats::nlminb(start, objective, lower = bounds, control = control))
  best <- tries[[which.min(vapply(tries, `[[`, 0, "objective"))]]
  # numerical gradients stop early: once more from the best, and without gradients
  again <- stats::nlminb(best$par, objective, lower = bounds, control = control)
  last <- minqa::bobyqa(again$par, objective, lower = bounds, control = list(rhobeg = 1e-3, rhoend = 1e-9, maxfun = 2000))
  par <- if (last$fval < again$objective) last$par else again$par
  structure <- plain_structure(model, par[-seq_len(m)])
  c(list(theta = par[seq_len(m)], structure = structure), plain_criterion(model, parts, par[seq_len(m)], structure, all = TRUE))
}

fit_residual_peers <- function(model) {
  parts <- lme4_parts(model$formula, model$data, model$REML)
  others <- list(nlme = fit_guarded(fit_nlme(model, parts)))
  if (!is.null(model$dispersion)) others$glmmTMB <- fit_guarded(fit_glmmtmb(model, parts))
  others <- lapply(others, function(one) {
    if (is.null(one$error)) one$criterion <- plain_criterion(model, parts, one$theta, one$structure)
    one
  })
  plain <- fit_guarded(fit_plain(model, parts, Filter(function(one) is.null(one$error), others)))
  list(name = model$name, nobs = nrow(model$data), p = ncol(parts$X), theta_length = length(parts$reTrms$theta), plain = plain, nlme = others$nlme,
    glmmTMB = others$glmmTMB)
}

# nlme's SD of the first stratum, in its own unit (it may take another stratum as the reference).
nlme_ratios <- function(fit, model) {
  stats::coef(fit$modelStruct$varStruct, unconstrained = FALSE, allCoef = TRUE)[levels(model$data[[model$strata]])]
}

nlme_unit <- function(fit, model) if (is.null(model$strata)) 1 else nlme_ratios(fit, model)[[1]]

nlme_structure <- function(fit, model) {
  if (is.null(model$residual)) return(NULL)
  phi <- if (!is.null(model$serial)) unname(as.numeric(stats::coef(fit$modelStruct$corStruct, unconstrained = FALSE)))
  ratios <- if (!is.null(model$strata)) nlme_ratios(fit, model)
  list(structure = list(phi = phi, ratios = unname(ratios[-1] / ratios[[1]])))
}
