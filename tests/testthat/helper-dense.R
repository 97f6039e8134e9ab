# A dense, slow reference for the core, in plain R and independent of the compiled code.
#
# It forms V = W^-1 + Z Lambda Lambda' Z' as an n x n matrix and never uses cross-products, so an error in the core cannot
# repeat itself here. Notation: V is relative to sigma^2; P = V^-1 - V^-1 X (X'V^-1 X)^-1 X'V^-1.
# Derivatives: Harville (1977) J Am Stat Assoc 72:320, eqs. 4.1-4.3, written for -2 log-likelihood.
# Meant for n up to about a thousand rows.

# The pieces of a design as matrices --------------------------------------------------------------------------------------

dense_column <- function(design, index) {
  if (index == 0L) rep(1, length(design$y)) else as.double(design$columns[[index]])
}

dense_x <- function(design) {
  x <- vapply(design$x, function(i) dense_column(design, i), double(length(design$y)))
  matrix(x, length(design$y), length(design$x), dimnames = list(NULL, design$x_names))
}

dense_y <- function(design) {
  if (is.null(design$offset)) design$y else design$y - design$offset
}

# The aliased columns of X, found as lme4's chkRank does (Linpack QR with limited pivoting).
dense_dropped <- function(x) {
  decomposition <- qr(x, tol = 1e-7)
  if (decomposition$rank == ncol(x)) integer() else sort(decomposition$pivot[-seq_len(decomposition$rank)])
}

# Z of one term: n x (q J), the columns of one group next to each other.
dense_z_term <- function(design, term) {
  group <- design$groups[[term$group]]
  q <- length(term$columns)
  z <- matrix(0, length(design$y), q * length(group$levels))
  for (j in seq_len(q)) {
    z[cbind(seq_along(design$y), (group$codes - 1L) * q + j)] <- dense_column(design, term$columns[[j]])
  }
  z
}

# One row per element of theta: its term and its place in that term's Lambda.
dense_theta_map <- function(design) {
  pieces <- lapply(seq_along(design$terms), function(t) {
    q <- length(design$terms[[t]]$columns)
    place <- if (design$terms[[t]]$structure == "diagonal") {
      cbind(seq_len(q), seq_len(q))
    } else {
      which(lower.tri(diag(q), diag = TRUE), arr.ind = TRUE)
    }
    data.frame(term = t, row = unname(place[, 1L]), col = unname(place[, 2L]))
  })
  do.call(rbind, pieces)
}

# Lambda of one term (q x q, lower triangular) at theta.
dense_lambda_term <- function(design, map, theta, term) {
  q <- length(design$terms[[term]]$columns)
  lambda <- matrix(0, q, q)
  mine <- map$term == term
  lambda[cbind(map$row[mine], map$col[mine])] <- theta[mine]
  lambda
}

dense_setup <- function(design, reml) {
  x <- dense_x(design)
  dropped <- dense_dropped(x)
  kept <- setdiff(seq_len(ncol(x)), dropped)
  n <- length(design$y)
  weights <- if (is.null(design$weights)) rep(1, n) else design$weights
  list(
    design = design, reml = reml, n = n, p = length(kept), nu = if (reml) n - length(kept) else n,
    x = x[, kept, drop = FALSE], kept = kept, dropped = dropped, y = dense_y(design), weights = weights,
    z = lapply(design$terms, function(term) dense_z_term(design, term)),
    map = dense_theta_map(design)
  )
}

# Z (I x block) Z' of one term: rows of different groups share nothing.
dense_expand <- function(setup, term, block) {
  columns <- vapply(
    setup$design$terms[[term]]$columns, function(i) dense_column(setup$design, i), double(setup$n)
  )
  codes <- setup$design$groups[[setup$design$terms[[term]]$group]]$codes
  outer(codes, codes, "==") * (columns %*% block %*% t(columns))
}

dense_v <- function(setup, theta) {
  v <- diag(1 / setup$weights, setup$n)
  for (t in seq_along(setup$z)) {
    lambda <- dense_lambda_term(setup$design, setup$map, theta, t)
    v <- v + dense_expand(setup, t, tcrossprod(lambda))
  }
  v
}

# The criterion and its derivatives -----------------------------------------------------------------------------------------

dense_state <- function(setup, theta) {
  v <- dense_v(setup, theta)
  root <- chol(v)
  v_inv <- chol2inv(root)
  xtv <- crossprod(setup$x, v_inv)
  xvx <- xtv %*% setup$x
  xvx_inv <- chol2inv(chol(xvx))
  p_mat <- v_inv - crossprod(xtv, xvx_inv %*% xtv)
  list(
    v_inv = v_inv, xtv = xtv, xvx_inv = xvx_inv, p_mat = p_mat,
    beta = drop(xvx_inv %*% (xtv %*% setup$y)),
    r2 = drop(crossprod(setup$y, p_mat %*% setup$y)),
    logdet_v = 2 * sum(log(diag(root))), logdet_x = as.double(determinant(xvx)$modulus)
  )
}

dense_value <- function(setup, state) {
  state$logdet_v + (if (setup$reml) state$logdet_x else 0) + setup$nu * (1 + log(2 * pi * state$r2 / setup$nu))
}

# dV/dtheta_k and d2V/dtheta_k dtheta_l.
dense_dv <- function(setup, theta) {
  map <- setup$map
  unit <- function(k) {
    q <- length(setup$design$terms[[map$term[k]]]$columns)
    e <- matrix(0, q, q)
    e[map$row[k], map$col[k]] <- 1
    e
  }
  first <- lapply(seq_len(nrow(map)), function(k) {
    half <- tcrossprod(unit(k), dense_lambda_term(setup$design, map, theta, map$term[k]))
    dense_expand(setup, map$term[k], half + t(half))
  })
  second <- function(k, l) {
    if (map$term[k] != map$term[l]) return(NULL)
    half <- tcrossprod(unit(k), unit(l))
    dense_expand(setup, map$term[k], half + t(half))
  }
  list(first = first, second = second)
}

# Gradients and Hessians of log|V| (+ log|X'V^-1X|) and of r2, kept apart: the profiled criterion and the one in
# (theta, sigma) combine them differently.
dense_derivatives <- function(setup, theta, state = dense_state(setup, theta)) {
  dv <- dense_dv(setup, theta)
  m <- length(dv$first)
  q_mat <- if (setup$reml) state$p_mat else state$v_inv
  py <- drop(state$p_mat %*% setup$y)
  qd <- lapply(dv$first, function(d) q_mat %*% d)
  dpy <- lapply(dv$first, function(d) drop(d %*% py))
  out <- list(
    g_det = vapply(qd, function(a) sum(diag(a)), 0), g_r2 = vapply(dpy, function(a) -sum(py * a), 0),
    h_det = matrix(0, m, m), h_r2 = matrix(0, m, m), first = dv$first
  )
  for (k in seq_len(m)) {
    for (l in seq_len(k)) {
      d2 <- dv$second(k, l)
      det <- -sum(qd[[k]] * t(qd[[l]]))
      r2 <- 2 * sum(dpy[[k]] * (state$p_mat %*% dpy[[l]]))
      if (!is.null(d2)) {
        det <- det + sum(q_mat * d2)
        r2 <- r2 - sum(py * (d2 %*% py))
      }
      out$h_det[k, l] <- out$h_det[l, k] <- det
      out$h_r2[k, l] <- out$h_r2[l, k] <- r2
    }
  }
  out
}

dense_criterion <- function(design, reml, theta) {
  setup <- dense_setup(design, reml)
  dense_value(setup, dense_state(setup, theta))
}

# The contract's core_evaluate().
dense_evaluate <- function(design, reml, theta, order = 2L) {
  setup <- dense_setup(design, reml)
  state <- dense_state(setup, theta)
  d <- dense_derivatives(setup, theta, state)
  list(
    criterion = dense_value(setup, state),
    gradient = d$g_det + setup$nu * d$g_r2 / state$r2,
    hessian = d$h_det + setup$nu * (d$h_r2 / state$r2 - tcrossprod(d$g_r2) / state$r2^2)
  )
}

# The contract's core_satterthwaite(): the criterion as a function of (theta, sigma), beta profiled out
# (Kuznetsova, Brockhoff & Christensen 2017, J Stat Softw 82(13), section 4).
dense_satterthwaite <- function(design, reml, theta) {
  setup <- dense_setup(design, reml)
  state <- dense_state(setup, theta)
  d <- dense_derivatives(setup, theta, state)
  sigma <- sqrt(state$r2 / setup$nu)
  m <- length(theta)
  hessian <- matrix(0, m + 1L, m + 1L)
  hessian[seq_len(m), seq_len(m)] <- d$h_det + d$h_r2 / sigma^2
  hessian[m + 1L, seq_len(m)] <- hessian[seq_len(m), m + 1L] <- -2 * d$g_r2 / sigma^3
  hessian[m + 1L, m + 1L] <- -2 * setup$nu / sigma^2 + 6 * state$r2 / sigma^4
  # As lmerTest: directions without curvature (the boundary) carry no variance.
  e <- eigen(hessian, symmetric = TRUE)
  keep <- e$values > 1e-8
  inverse <- e$vectors[, keep, drop = FALSE] %*% (t(e$vectors[, keep, drop = FALSE]) / e$values[keep])
  left <- state$xvx_inv %*% state$xtv
  jacobian <- lapply(d$first, function(dv) sigma^2 * left %*% dv %*% t(left))
  list(vcov_varpar = 2 * inverse, jacobian = c(jacobian, list(2 * sigma * state$xvx_inv)))
}

# Estimates at a given theta ---------------------------------------------------------------------------------------------------

# Columns of b in the order of the terms of a group, as the contract has it.
dense_modes <- function(setup, theta, state) {
  py <- state$p_mat %*% setup$y
  by_term <- lapply(seq_along(setup$z), function(t) {
    q <- length(setup$design$terms[[t]]$columns)
    psi <- tcrossprod(dense_lambda_term(setup$design, setup$map, theta, t))
    scores <- matrix(crossprod(setup$z[[t]], py), ncol = q, byrow = TRUE)
    matrix(scores %*% psi, ncol = q, dimnames = list(NULL, setup$design$terms[[t]]$names))
  })
  group_of <- vapply(setup$design$terms, function(term) as.integer(term$group), 1L)
  lapply(seq_along(setup$design$groups), function(g) {
    modes <- do.call(cbind, by_term[group_of == g])
    rownames(modes) <- setup$design$groups[[g]]$levels
    modes
  })
}

# The contract's core_at().
dense_at <- function(design, reml, theta, setup = dense_setup(design, reml)) {
  state <- dense_state(setup, theta)
  sigma <- sqrt(state$r2 / setup$nu)
  names <- design$x_names[setup$kept]
  beta <- stats::setNames(rep(NA_real_, length(design$x)), design$x_names)
  beta[setup$kept] <- state$beta
  list(
    beta = beta, dropped = setup$dropped, vcov = structure(sigma^2 * state$xvx_inv, dimnames = list(names, names)),
    sigma = sigma, theta = theta, criterion = dense_value(setup, state),
    parts = list(
      logdet_v = state$logdet_v, logdet_x = state$logdet_x, r2 = state$r2, n = setup$n, p = setup$p, nu = setup$nu
    ),
    b = dense_modes(setup, theta, state)
  )
}

# The contract's core_condvar(): sigma^2 Lambda (Lambda'Z'WZ Lambda + I)^-1 Lambda', the blocks on its diagonal.
dense_condvar <- function(design, reml, theta) {
  setup <- dense_setup(design, reml)
  lambda_z <- lapply(seq_along(setup$z), function(t) {
    lambda <- dense_lambda_term(design, setup$map, theta, t)
    n_levels <- length(design$groups[[design$terms[[t]]$group]]$levels)
    list(lambda = kronecker(diag(n_levels), lambda), zl = setup$z[[t]] %*% kronecker(diag(n_levels), lambda))
  })
  zl <- do.call(cbind, lapply(lambda_z, `[[`, "zl"))
  inner <- chol2inv(chol(crossprod(zl, zl * setup$weights) + diag(ncol(zl))))
  sizes <- vapply(lambda_z, function(a) ncol(a$zl), 1L)
  start <- cumsum(c(0L, sizes))
  full <- matrix(0, ncol(zl), ncol(zl))
  for (s in seq_along(sizes)) full[start[s] + seq_len(sizes[s]), start[s] + seq_len(sizes[s])] <- lambda_z[[s]]$lambda
  sigma2 <- dense_at(design, reml, theta, setup)$sigma^2
  variance <- sigma2 * full %*% inner %*% t(full)
  lapply(seq_along(design$groups), function(g) dense_condvar_group(design, variance, start, g))
}

dense_condvar_group <- function(design, variance, start, g) {
  mine <- which(vapply(design$terms, function(term) as.integer(term$group), 1L) == g)
  n_levels <- length(design$groups[[g]]$levels)
  place <- function(level) {
    unlist(lapply(mine, function(t) {
      q <- length(design$terms[[t]]$columns)
      start[t] + (level - 1L) * q + seq_len(q)
    }))
  }
  names <- unlist(lapply(design$terms[mine], `[[`, "names"))
  blocks <- vapply(seq_len(n_levels), function(j) variance[place(j), place(j)], double(length(names)^2))
  array(blocks, c(length(names), length(names), n_levels), list(names, names, design$groups[[g]]$levels))
}

# The optimum --------------------------------------------------------------------------------------------------------------------

# The contract's core_fit(): nlminb from several starts with exact derivatives, the best one kept.
dense_fit <- function(design, reml = TRUE, control = list()) {
  setup <- dense_setup(design, reml)
  diagonal <- setup$map$row == setup$map$col
  lower <- ifelse(diagonal, 0, -Inf)
  evaluations <- 0L
  value <- function(theta) {
    evaluations <<- evaluations + 1L
    dense_value(setup, dense_state(setup, theta))
  }
  # nlminb asks for the gradient and the Hessian apart; both come from one evaluation.
  last <- list(theta = NULL)
  at <- function(theta) {
    if (!identical(theta, last$theta)) last <<- c(list(theta = theta), dense_evaluate(design, reml, theta))
    last
  }
  starts <- lapply(c(1, 0.1), function(s) ifelse(diagonal, s, 0))
  if (!is.null(control$start)) starts <- c(list(control$start), starts)
  tries <- lapply(starts, function(start) {
    stats::nlminb(
      start, value, function(theta) at(theta)$gradient, function(theta) at(theta)$hessian, lower = lower,
      control = list(abs.tol = 0, rel.tol = 1e-14, x.tol = 1e-10, iter.max = 500)
    )
  })
  best <- tries[[which.min(vapply(tries, `[[`, 0, "objective"))]]
  theta <- ifelse(diagonal & best$par < 1e-6, 0, best$par)
  dense_result(design, reml, theta, setup, best, evaluations)
}

dense_result <- function(design, reml, theta, setup, optimum, evaluations) {
  at_zero <- setup$map$row == setup$map$col & theta == 0
  e <- dense_evaluate(design, reml, theta)
  free <- which(!at_zero)
  step <- if (length(free)) solve(e$hessian[free, free, drop = FALSE], e$gradient[free]) else double()
  boundary <- lapply(which(at_zero), function(k) {
    term <- setup$map$term[k]
    names <- design$terms[[term]]$names
    lambda <- dense_lambda_term(design, setup$map, theta, term)
    zero <- all(lambda[setup$map$row[k], ] == 0)
    list(
      term = term, kind = if (zero) "zero variance" else "correlation", value = 0,
      component = names[if (zero) setup$map$row[k] else seq_len(setup$map$row[k])], one_sided_gradient = e$gradient[k]
    )
  })
  c(dense_at(design, reml, theta, setup), list(
    status = if (any(at_zero)) "boundary" else "converged", message = optimum$message, iterations = optimum$iterations,
    evaluations = evaluations, gradient = e$gradient, decrement = sum(e$gradient[free] * step), boundary = boundary
  ))
}
