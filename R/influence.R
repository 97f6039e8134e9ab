# What the estimates owe to each person or group.
#
# With theta fixed, leaving a group out is exact generalised least squares on the rest: the moments of the rest come from those of
# all groups in one pass (tree-moments.R). theta then moves by one Newton step from the gradient of the remaining criterion and the Hessian of the
# full one (Demidenko & Stukel 2005, Stat Med 24:893; Loy & Hofmann 2014, J Stat Softw 56(5) for the measures), and beta to first order with it.
# Crossed factors have no tree: there each group costs one evaluation of the core.

#' Influence of each person or group
#'
#' How the estimates change when one person (or therapist, or any other unit) is left out: Cook's distance, DFBETAS, change in precision, leverage,
#' and the change in the variance components. For nested groups no model is refitted and 10,000 persons take about a second.
#'
#' * `method = "fixed"`: the variance components stay; leaving a group out is then exact.
#' * `method = "one-step"` (default): the variance components take one Newton step towards what they would be without the group, and the fixed
#'   effects follow to first order.
#' * `method = "exact"`: the model is fitted anew without each group; for small data, or to confirm the few groups that stand out.
#'
#' Cook's distance is the squared change of all coefficients in units of their covariance matrix, divided by their number; values above 4/J (J
#' groups) are worth a look. `covratio` below 1: without the group the estimates are more precise, so it is an outlier; above 1: the group adds
#' precision. `leverage` is the group's share in determining the fixed effects; the shares of independent groups add up to their number.
#'
#' @param model A fitted model of class `hlm`; for the methods of the result, that.
#' @param level What is left out in turn: the name of a grouping factor or of another variable of the model, nested in or containing the
#'   grouping factors (what crosses them costs one evaluation of the model for each group); `"row"` for single rows. By default the
#'   persons. For `cooks.distance()` of a fit, `NULL` gives the values by row that 'lme4' gives.
#' @param method `"one-step"`, `"fixed"` or `"exact"`, see above.
#' @param x An object of class `hlm_influence`.
#' @param n Number of groups to print.
#' @param digits Significant digits.
#' @param row.names,optional Not used.
#' @param ... Not used.
#' @return `influence()`: an object of class `hlm_influence`, a list with `groups` (data frame: `group`, `n` rows, `cooks.distance`, `covratio`,
#'   `covtrace`, `leverage`, `estimable`), the matrices (groups x coefficients) `fixef` and `se` without the group, `dfbeta` (estimate minus estimate
#'   without the group) and `dfbetas` (the same in standard errors), the matrices `theta` and `varcomp` (variances and covariances) and the
#'   vector `sigma` without the group, `full` (the estimates with all groups), `level` and `method`. `as.data.frame()` puts groups and
#'   DFBETAS side by side. `cooks.distance()`, `dfbeta()`, `dfbetas()`: vector or matrix, named by the groups. Where a coefficient cannot
#'   be estimated without a group, `estimable` is `FALSE` and the measures are `NA`.
#' @section Errors: `hlm_error_data` when `level` is unknown or has a single value; `hlm_error_design` for a model without fixed effects.
#' @source Demidenko and Stukel (2005), *Statistics in Medicine* 24, 893-909; Loy and Hofmann (2014), *Journal of Statistical Software* 56(5); van der
#'   Meer, te Grotenhuis and Pelzer (2010), *American Sociological Review* 75, 173-178.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' influence(fit)
#' head(cooks.distance(fit, level = "Subject"))
#' @importFrom stats influence cooks.distance dfbeta dfbetas hatvalues rstandard rstudent
#' @export
influence.hlm <- function(model, level = NULL, method = c("one-step", "fixed", "exact"), ...) {
  check_dots(...)
  influence_of(model, cluster_argument(model, substitute(level), parent.frame()), method)
}

# `level` as a value: other functions call this, since a variable of the data could have the name of their argument.
influence_of <- function(model, level, method = "one-step") {
  check_independent_residuals(
    model, "Influence diagnostics are",
    "Use {.code update(fit, residual = NULL)} for them, or fit without single persons."
  )
  method <- check_choice(method, c("one-step", "fixed", "exact"), "method")
  unit <- resolve_unit(model, level)
  if (length(unit$labels) < 2L) abort_hlm("data", "There is only one {.var {unit$name}}, so nothing is left when it is left out.")
  if (!length(kept_columns(model))) abort_hlm("design", "The model has no fixed effects whose change could be measured.")
  tree <- if (method != "exact") tree_of(model, unit)
  deleted <- if (is.null(tree)) {
    delete_by_engine(model, unit, method)
  } else {
    delete_by_tree(model, unit, tree, method == "one-step")
  }
  new_influence(model, unit, method, deleted)
}

resolve_unit <- function(fit, level) {
  if (is.null(level)) level <- group_names(fit)[[person_group(fit)]]
  if (identical(level, "row") && !"row" %in% c(group_names(fit), names(fit$data))) {
    return(as_unit("row", seq_len(n_rows(fit)), row_names(fit)))
  }
  if (!is.character(level) || length(level) != 1L) {
    abort_hlm("data", "{.arg level} must be the name of a grouping factor, of another variable of the model, or {.val row}.")
  }
  resolve_cluster(fit, level)
}

# Deletion from the moments -------------------------------------------------------------------------------------------------------

# A list over groups in the units of the basis (gamma: deviations; sigma relative); see new_influence() for what becomes of it.
delete_by_tree <- function(fit, unit, tree, one_step) {
  done <- local_progress(4L, paste("Influence of each", unit$name), n_rows(fit) >= progress_rows)
  pass <- tree_pass(fit, tree, derivatives = one_step)
  done(1L)
  change <- tree_without(tree, pass)
  done(2L)
  p <- dim(change$t)[[2L]] - 1L
  whiten <- model_basis(pass$total$t, p)
  rest <- rest_moments(pass$total$t, change$t, whiten)
  n_left <- n_rows(fit) - tabulate(unit$codes, length(unit$labels))
  nu <- n_left - if (isTRUE(fit$REML)) p else 0
  gls <- gls_without(rest, p, nu)
  theta <- matrix(fit$core$theta, length(nu), length(fit$core$theta), byrow = TRUE)
  gls$leverage <- p - batch_trace(rest, p)
  done(3L)
  if (one_step) {
    slopes <- Map(function(total, a) rest_moments(total, a, whiten), pass$total$dt, change$dt)
    log_det <- sweep(change$d_log_det, 2L, drop(pass$total$d_log_det), "+")
    moved <- newton_step(fit, gls, slopes, log_det, nu)
    gls[names(moved)] <- moved
    theta <- theta + moved$step
    theta <- bound_theta(fit, theta)
  }
  done(4L)
  back <- fit$core$sigma * backsolve(pass$basis$r, whiten[seq_len(p), seq_len(p), drop = FALSE])
  c(gls, list(theta = theta, back = back, p = p))
}

rest_moments <- function(total, change, whiten) {
  total <- batch_congruence(array(total, c(1L, dim(total)[-1L])), whiten, whiten)
  rest <- batch_congruence(change, whiten, whiten)
  for (j in seq_len(dim(rest)[[3L]])) for (i in seq_len(dim(rest)[[2L]])) rest[, i, j] <- rest[, i, j] + total[1L, i, j]
  rest
}

batch_trace <- function(a, p) {
  total <- numeric(dim(a)[[1L]])
  for (k in seq_len(p)) total <- total + a[, k, k]
  total
}

gls_without <- function(rest, p, nu) {
  x <- seq_len(p)
  inverse <- batch_inverse(rest[, x, x, drop = FALSE])
  xe <- matrix(rest[, x, p + 1L], ncol = p)
  gamma <- batch_apply(inverse$inverse, xe)
  r2 <- rest[, p + 1L, p + 1L] - rowSums(xe * gamma)
  list(gamma = gamma, m = inverse$inverse, log_det_m = -inverse$log_det, r2 = r2, sigma2 = r2 / nu, estimable = !inverse$singular)
}

# Gradient of the criterion of the rest (profiled over beta and sigma) and the step it asks for.
newton_step <- function(fit, gls, slopes, log_det, nu) {
  p <- ncol(gls$gamma)
  x <- seq_len(p)
  gradient <- log_det
  d_r2 <- matrix(0, nrow(log_det), ncol(log_det))
  d_gamma <- vector("list", length(slopes))
  for (k in seq_along(slopes)) {
    xx <- slopes[[k]][, x, x, drop = FALSE]
    xe <- matrix(slopes[[k]][, x, p + 1L], ncol = p)
    xxg <- batch_apply(xx, gls$gamma)
    d_r2[, k] <- slopes[[k]][, p + 1L, p + 1L] - 2 * rowSums(xe * gls$gamma) + rowSums(xxg * gls$gamma)
    d_gamma[[k]] <- batch_apply(gls$m, xe - xxg)
    gradient[, k] <- gradient[, k] + nu * d_r2[, k] / gls$r2
    if (isTRUE(fit$REML)) gradient[, k] <- gradient[, k] + rowSums(matrix(gls$m * xx, length(nu)))
  }
  step <- -gradient %*% theta_information(fit)
  gamma <- gls$gamma
  for (k in seq_along(slopes)) gamma <- gamma + d_gamma[[k]] * step[, k]
  c(
    list(step = step, gradient = gradient, gamma = gamma, sigma2 = pmax(gls$r2 + rowSums(d_r2 * step), 0) / nu),
    moved_precision(gls, slopes, step)
  )
}

# M = (X'V^-1X)^-1 to first order in theta: dM = -M dX'V^-1X M. Where a large step would leave it indefinite it stays.
moved_precision <- function(gls, slopes, step) {
  x <- seq_len(ncol(gls$gamma))
  change <- 0
  for (k in seq_along(slopes)) change <- change + slopes[[k]][, x, x, drop = FALSE] * step[, k]
  m <- gls$m - batch_product(batch_product(gls$m, change), gls$m)
  inverse <- batch_inverse(m)
  stay <- inverse$singular
  m[stay, , ] <- gls$m[stay, , ]
  list(m = m, log_det_m = ifelse(stay, gls$log_det_m, inverse$log_det))
}

# Inverse Hessian of the criterion over what can move: a Lambda at the boundary stays there, directions without curvature stay.
theta_information <- function(fit) {
  hessian <- engine_evaluate(fit$design, isTRUE(fit$REML), fit$core$theta, 2L)$hessian
  map <- theta_map(fit$design)
  free <- which(!(map$row == map$col & fit$core$theta == 0) & diag(hessian) > 0)
  inverse <- matrix(0, nrow(map), nrow(map))
  if (!length(free)) return(inverse)
  scale <- 1 / sqrt(diag(hessian)[free])
  spectrum <- eigen(hessian[free, free, drop = FALSE] * tcrossprod(scale), symmetric = TRUE)
  keep <- spectrum$values > 1e-6
  vectors <- scale * spectrum$vectors[, keep, drop = FALSE]
  inverse[free, free] <- vectors %*% (t(vectors) / spectrum$values[keep])
  inverse
}

# Standard deviations do not step below zero.
bound_theta <- function(fit, theta) {
  map <- theta_map(fit$design)
  for (k in which(map$row == map$col)) theta[, k] <- pmax(theta[, k], 0)
  theta
}

# Deletion by the core, one group after the other ---------------------------------------------------------------------------------

delete_by_engine <- function(fit, unit, method) {
  p <- length(kept_columns(fit))
  back <- t(chol(fit$core$vcov))
  rows_of <- split(seq_along(unit$codes), unit$codes)
  information <- if (method == "one-step") theta_information(fit)
  pieces <- lapply_progress(rows_of, function(rows) engine_without(fit, rows, method, information, back), paste("Influence of each", unit$name))
  bind <- function(name) do.call(rbind, lapply(pieces, `[[`, name))
  m <- array(bind("m"), c(length(pieces), p, p))
  list(
    gamma = bind("gamma"), m = m, log_det_m = drop(bind("log_det_m")), sigma2 = drop(bind("sigma2")), leverage = drop(bind("leverage")),
    estimable = drop(bind("estimable")), theta = bind("theta"), back = back, p = p
  )
}

engine_without <- function(fit, rows, method, information, back) {
  p <- nrow(back)
  reml <- isTRUE(fit$REML)
  lost <- list(
    gamma = rep(NA_real_, p), m = rep(NA_real_, p * p), log_det_m = NA_real_, sigma2 = NA_real_, leverage = NA_real_, estimable = FALSE,
    theta = rep(NA_real_, length(fit$core$theta))
  )
  design <- design_without(fit$design, rows)
  core <- tryCatch(engine_at(design, reml, fit$core$theta), hlm_error = function(cnd) NULL)
  if (is.null(core) || !identical(as.integer(core$dropped), as.integer(fit$core$dropped))) return(lost)
  basis_m <- function(core) {
    half <- forwardsolve(back / fit$core$sigma, core$vcov / core$sigma^2)
    forwardsolve(back / fit$core$sigma, t(half))
  }
  leverage <- p - sum(diag(solve(basis_m(core))))
  if (method == "one-step") {
    theta <- fit$core$theta - drop(information %*% engine_evaluate(design, reml, fit$core$theta, 1L)$gradient)
    core <- engine_at(design, reml, drop(bound_theta(fit, matrix(theta, 1L))))
  } else if (method == "exact") {
    control <- fit$control
    control$start <- NULL
    core <- engine_fit(design, reml, control)
  }
  m <- basis_m(core)
  kept <- kept_columns(fit)
  list(
    gamma = forwardsolve(back, core$beta[kept] - fit$core$beta[kept]), m = as.double(m),
    log_det_m = as.double(determinant(m)$modulus), sigma2 = (core$sigma / fit$core$sigma)^2, leverage = leverage, estimable = TRUE,
    theta = core$theta
  )
}

# The design without some rows; groups left without rows disappear.
design_without <- function(design, rows) {
  take <- function(x) if (is.null(x)) NULL else x[-rows]
  design$y <- design$y[-rows]
  design$offset <- take(design$offset)
  design$weights <- take(design$weights)
  design$columns <- lapply(design$columns, take)
  design$groups <- lapply(design$groups, function(group) {
    codes <- group$codes[-rows]
    left <- sort.int(unique(codes))
    group$codes <- match(codes, left)
    group$levels <- group$levels[left]
    group
  })
  design
}
