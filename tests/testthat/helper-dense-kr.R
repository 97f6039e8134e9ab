# A dense reference for the pieces of the Kenward-Roger method, independent of the compiled code: the return value of
# engine_kenward_roger(design, theta) (Kenward & Roger 1997, Biometrics 53:983). V = sum_i gamma_i V_i in absolute units; gamma are the
# free entries of sigma^2 Lambda Lambda' of each term, an off-diagonal one moving two positions, then sigma^2.

dense_kenward_roger <- function(design, theta, sigma = dense_at(design, TRUE, theta)$sigma) {
  setup <- dense_setup(design, TRUE)
  v_inv <- chol2inv(chol(sigma^2 * dense_v(setup, theta)))
  moves <- c(
    lapply(seq_len(nrow(setup$map)), function(k) {
      q <- length(design$terms[[setup$map$term[[k]]]]$columns)
      entry <- matrix(0, q, q)
      entry[setup$map$row[[k]], setup$map$col[[k]]] <- entry[setup$map$col[[k]], setup$map$row[[k]]] <- 1
      dense_expand(setup, setup$map$term[[k]], entry)
    }),
    list(diag(1 / setup$weights, setup$n))
  )
  r <- length(moves)
  xtv <- crossprod(setup$x, v_inv)
  phi <- chol2inv(chol(xtv %*% setup$x))
  p_mat <- v_inv - crossprod(xtv, phi %*% xtv)
  vx <- lapply(moves, function(m) m %*% t(xtv))
  q <- vector("list", r * r)
  for (i in seq_len(r)) {
    for (j in seq_len(r)) {
      one <- crossprod(vx[[i]], v_inv %*% vx[[j]])
      q[[(j - 1L) * r + i]] <- (one + t(one)) / 2
    }
  }
  pv <- lapply(moves, function(m) p_mat %*% m)
  info <- vapply(pv, function(a) vapply(pv, function(b) sum(a * t(b)) / 2, 0), double(r))
  list(phi = phi, P = lapply(vx, function(a) -xtv %*% a), Q = q, info = info)
}

# The inference of a REML fit from the dense pieces, at the estimates or at another theta.
dense_kr_inference <- function(fit, theta = fit$core$theta) {
  fit <- as_reml(fit)
  if (!identical(theta, fit$core$theta)) {
    at <- engine_at(fit$design, TRUE, theta)
    fit$core[names(at)] <- at
  }
  new_kenward_roger(fit, dense_kenward_roger(fit$design, fit$core$theta, fit$core$sigma))
}
