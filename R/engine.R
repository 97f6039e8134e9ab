# The only file that calls the compiled code. Everything that crosses the boundary is described in
# design/0001-contract.md. Compiled functions never throw: they return a condition, raised here, so that no longjmp
# crosses a Rust frame.

engine_call <- function(value) {
  if (inherits(value, "condition")) {
    raise_condition(value)
  }
  value
}

raise_condition <- function(cnd) {
  if (inherits(cnd, "hlm_error_interrupt")) {
    rlang::interrupt()
  }
  known <- c("formula", "data", "design", "covariance", "numerical", "internal")
  kind <- intersect(sub("^hlm_error_", "", class(cnd)), known)
  kind <- if (length(kind)) kind[1L] else "internal"
  text <- conditionMessage(cnd)
  abort_hlm(kind, c(
    "{text}",
    i = if (kind == "internal") "This is a fault of the package, not of your data. Please report it."
  ))
}

# Fit by optimisation, from `control$start` when given.
engine_fit <- function(design, reml, control) {
  control <- list(
    max_iter = control$max_iter, tol = control$tol, start = control$start,
    threads = engine_threads(design, control$threads)
  )
  result <- engine_call(core_fit(design, reml, control))
  fit <- shape_estimates(result$estimates, design, reml)
  fit <- c(fit, result$how)
  fit$message <- status_message(fit)
  fit
}

# Two threads pay only when the rows are many: a small fit would wait longer for its threads than for its answer.
engine_threads <- function(design, threads = NULL) {
  if (is.null(threads) && length(design$y) < 50000L) 1L else hlm_threads(threads)
}

# The core's flat vectors as the contract's matrices.
shape_estimates <- function(e, design, reml) {
  p <- length(e$beta)
  beta <- rep(NA_real_, length(design$x))
  if (length(e$dropped) > 0L) beta[-e$dropped] <- e$beta else beta[] <- e$beta
  list(
    beta = beta, dropped = e$dropped, vcov = matrix(e$vcov, p, p), sigma = e$sigma, theta = e$theta,
    criterion = e$criterion,
    parts = list(
      logdet_v = e$logdet_v, logdet_x = e$logdet_x, r2 = e$r2, n = length(design$y), p = p, nu = e$nu
    ),
    b = shape_modes(e, design), gradient = e$gradient,
    boundary = lapply(e$boundary, shape_boundary, design = design)
  )
}

shape_modes <- function(e, design) {
  used <- used_groups(design)
  b <- vector("list", length(design$groups))
  for (k in seq_along(used)) {
    b[[used[k]]] <- matrix(e$b[[k]], ncol = e$q[k])
  }
  b
}

# Factors without a term have no block in the core.
used_groups <- function(design) {
  used <- integer()
  for (term in design$terms) used <- c(used, as.integer(term$group))
  sort.int(unique(used))
}

shape_boundary <- function(entry, design) {
  term <- design$terms[[entry$term]]
  zero <- entry$column > 0L
  list(
    term = entry$term,
    kind = if (zero) "zero variance" else if (length(term$columns) == 2L) "correlation" else "rank",
    component = if (zero) term$names[entry$column] else term$names,
    group = design$groups[[term$group]]$name,
    one_sided_gradient = entry$one_sided_gradient
  )
}

status_message <- function(fit) {
  switch(fit$status,
    converged = "converged",
    boundary = "converged at the boundary: a variance is zero or a correlation is +1 or -1",
    failed = "no optimum was found"
  )
}

# Estimates at a given theta, without optimisation.
engine_at <- function(design, reml, theta) {
  shape_estimates(engine_call(core_at(design, reml, as.double(theta), engine_threads(design))), design, reml)
}

# Criterion (order 0), gradient (1), Hessian (2) at any theta.
engine_evaluate <- function(design, reml, theta, order = 0L) {
  result <- engine_call(core_evaluate(design, reml, as.double(theta), as.integer(order), engine_threads(design)))
  if (length(result$hessian)) {
    dim(result$hessian) <- rep(length(theta), 2L)
  }
  result
}

# Conditional variances of the random effects: per group an array q x q x J.
engine_condvar <- function(design, reml, theta) {
  result <- engine_call(core_condvar(design, reml, as.double(theta), engine_threads(design)))
  used <- used_groups(design)
  condvar <- vector("list", length(design$groups))
  for (k in seq_along(used)) {
    q <- result$q[k]
    condvar[[used[k]]] <- array(result$condvar[[k]], c(q, q, length(result$condvar[[k]]) %/% (q * q)))
  }
  condvar
}

# Covariance of (theta, sigma) and the derivatives of vcov(beta), for Satterthwaite's df.
engine_satterthwaite <- function(design, reml, theta) {
  result <- engine_call(core_satterthwaite(design, reml, as.double(theta), engine_threads(design)))
  m <- length(theta) + 1L
  p <- as.integer(round(sqrt(length(result$jacobian[[1L]]))))
  list(
    vcov_varpar = matrix(result$vcov_varpar, m, m),
    jacobian = lapply(result$jacobian, matrix, nrow = p, ncol = p),
    hessian = matrix(result$hessian, m, m)
  )
}

engine_group_codes <- function(x) {
  engine_call(group_codes(x))
}

engine_group_sums <- function(x, codes, n_groups) {
  engine_call(group_sums(x, codes, n_groups))
}
