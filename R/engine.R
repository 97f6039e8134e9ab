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
  engine_call(core_fit(design, reml, control))
}

# Estimates at a given theta, without optimisation.
engine_at <- function(design, reml, theta) {
  engine_call(core_at(design, reml, as.double(theta)))
}

# Criterion (order 0), gradient (1), Hessian (2) at any theta.
engine_evaluate <- function(design, reml, theta, order = 0L) {
  engine_call(core_evaluate(design, reml, as.double(theta), as.integer(order)))
}

# Conditional variances of the random effects: per group an array q x q x J.
engine_condvar <- function(design, reml, theta) {
  engine_call(core_condvar(design, reml, as.double(theta)))
}

# Covariance of (theta, sigma) and the derivatives of vcov(beta), for Satterthwaite's df.
engine_satterthwaite <- function(design, reml, theta) {
  engine_call(core_satterthwaite(design, reml, as.double(theta)))
}

engine_group_codes <- function(x) {
  engine_call(group_codes(x))
}

engine_group_sums <- function(x, codes, n_groups) {
  engine_call(group_sums(x, codes, n_groups))
}
