# A referee for designs on which lme4's deviance function is itself inexact.
#
# The matrix puts all tools on one scale: lme4's deviance function at each tool's parameters. With predictors of large mean (calendar years, 1e6 with SD
# 1) or near collinearity that function loses digits, up to 1e-2 deviance units (50-digit arithmetic on `large_means-02` says so), and what its
# optimisers then find "lower" is rounding. The criterion depends on X through its span only, but for a constant: with X = QR,
# log|X'V^-1 X| = log|Q'V^-1 Q| + 2 log|det R|, and y may be replaced by its residual from Q. The referee is lme4's function of (Q, y - QQ'y), plus the
# constant. It is called in only where the two disagree by more than the allowance.

make_referee <- function(parts) {
  n <- nrow(parts$X)
  decomposition <- qr(parts$X, LAPACK = TRUE)
  frame <- parts$fr
  offset <- stats::model.offset(frame) %||% numeric(n)
  y <- frame[[1]] - offset
  root <- qr.R(decomposition) / sqrt(n)
  changed <- parts
  changed$X[] <- qr.Q(decomposition) * sqrt(n)
  beta <- backsolve(root, crossprod(qr.Q(decomposition), y) / sqrt(n))
  changed$fr[[1]] <- y - drop(changed$X %*% (root %*% beta))
  changed$fr[["(offset)"]] <- NULL
  devfun <- do.call(lme4::mkLmerDevfun, changed)
  shift <- if (parts$REML > 0) 2 * sum(log(abs(diag(root)))) else 0
  list(parts = changed, devfun = devfun, shift = shift, root = root, beta = drop(beta), pivot = decomposition$pivot,
    nu = n - if (parts$REML > 0) ncol(parts$X) else 0, lower = parts$reTrms$lower)
}

referee_value <- function(referee, theta) as.numeric(referee$devfun(theta)) + referee$shift

# Estimates at theta, in the columns of the user's X.
referee_estimates <- function(referee, theta) {
  value <- referee_value(referee, theta)
  at <- environment(referee$devfun)
  sigma <- sqrt((at$resp$wrss() + at$pp$sqrL(1)) / referee$nu)
  inverse <- solve(referee$root)
  beta <- referee$beta + drop(inverse %*% at$pp$beta(1))
  vcov <- sigma^2 * inverse %*% at$pp$unsc() %*% t(inverse)
  back <- order(referee$pivot)
  list(theta = theta, criterion = value, fixef = beta[back], vcov = vcov[back, back, drop = FALSE], sigma = sigma)
}

# Peers as the referee sees them, or the peers unchanged where lme4's own function will do.
refereed_peers <- function(peers, parts, ours) {
  devfun <- do.call(lme4::mkLmerDevfun, parts)
  referee <- make_referee(parts)
  known <- c("lme4", "nlme", "glmmTMB")
  thetas <- c(list(ours = ours$theta), lapply(Filter(function(one) !is.null(one$theta), peers[known]), `[[`, "theta"))
  errors <- vapply(thetas, function(theta) abs(as.numeric(devfun(theta)) - referee_value(referee, theta)), 0)
  if (max(errors) <= allowance(peers$lme4$criterion)) return(list(peers = peers, value = function(theta) as.numeric(devfun(theta)), error = NA_real_))
  for (tool in intersect(known, names(thetas))) peers[[tool]]$criterion <- referee_value(referee, peers[[tool]]$theta)
  exact <- referee_estimates(referee, peers$lme4$theta)
  varcorr <- peers$lme4$varcorr
  varcorr[c("vcov", "sdcor")] <- list(varcorr$vcov * (exact$sigma / peers$lme4$sigma)^2, varcorr$sdcor)
  peers$lme4[names(exact)] <- exact
  peers$lme4$varcorr <- varcorr
  # the default optimiser minimised the inexact function: where did that leave it?
  start <- environment(do.call(lme4::mkLmerDevfun, parts))$pp$theta + 0
  default <- run_optimizer(devfun, referee$lower, start, "nloptwrap")
  peers$lme4$tries$value[peers$lme4$tries$optimizer == "nloptwrap"] <- referee_value(referee, default$theta)
  list(peers = peers, value = function(theta) referee_value(referee, theta), error = max(errors))
}
