# The influence measures made of what is left without each group, and their methods.

new_influence <- function(fit, unit, method, deleted) {
  p <- deleted$p
  names <- names(fixef.hlm(fit))
  named <- function(x, columns) `dimnames<-`(x, list(unit$labels, columns))
  change <- deleted$gamma %*% t(deleted$back)
  # covariance without the group, in units of the full one: (sigma_i / sigma)^2 M_i
  variance <- matrix(deleted$m, nrow(change)) %*% vapply(seq_len(p), function(r) as.double(tcrossprod(deleted$back[r, ])), double(p * p))
  se <- sqrt(deleted$sigma2 * matrix(variance, nrow(change)))
  sigma <- fit$core$sigma * sqrt(deleted$sigma2)
  groups <- data.frame(
    group = unit$labels, n = tabulate(unit$codes, length(unit$labels)), cooks.distance = rowSums(deleted$gamma^2) / p,
    covratio = exp(p * log(deleted$sigma2) + deleted$log_det_m), covtrace = abs(deleted$sigma2 * batch_trace(deleted$m, p) - p),
    leverage = deleted$leverage, estimable = deleted$estimable, row.names = NULL
  )
  structure(
    list(
      groups = groups, fixef = named(sweep(change, 2L, fixef.hlm(fit), "+"), names), se = named(se, names), dfbeta = named(-change, names),
      dfbetas = named(-change / se, names), theta = named(deleted$theta, theta_names(fit)), sigma = stats::setNames(sigma, unit$labels),
      varcomp = deleted_components(fit, deleted$theta, sigma, unit$labels),
      full = list(fixef = fixef.hlm(fit), se = stats::setNames(sqrt(diag(fit$core$vcov)), names), theta = fit$core$theta, sigma = fit$core$sigma,
                  varcomp = drop(deleted_components(fit, matrix(fit$core$theta, 1L), fit$core$sigma, NULL))),
      level = unit$name, method = method
    ),
    class = "hlm_influence"
  )
}

# Variances and covariances of the random effects and the residual variance, one row per theta.
deleted_components <- function(fit, theta, sigma, labels) {
  map <- theta_map(fit$design)
  pieces <- lapply(seq_along(fit$design$terms), function(t) {
    q <- length(fit$design$terms[[t]]$columns)
    lambda <- array(0, c(nrow(theta), q, q))
    mine <- which(map$term == t)
    for (k in mine) lambda[, map$row[[k]], map$col[[k]]] <- theta[, k]
    columns <- lapply(mine, function(k) {
      i <- map$row[[k]]
      j <- map$col[[k]]
      sigma^2 * rowSums(matrix(lambda[, i, ] * lambda[, j, ], nrow(theta)))
    })
    do.call(cbind, columns)
  })
  value <- cbind(do.call(cbind, pieces), sigma^2)
  dimnames(value) <- list(labels, c(theta_names(fit), "Residual"))
  value
}

#' @rdname influence.hlm
#' @export
as.data.frame.hlm_influence <- function(x, row.names = NULL, optional = FALSE, ...) {
  bands <- as.data.frame(x$dfbetas, optional = TRUE)
  names(bands) <- paste0("dfbetas.", names(bands))
  cbind(x$groups, bands, row.names = NULL)
}

#' @rdname influence.hlm
#' @export
cooks.distance.hlm_influence <- function(model, ...) stats::setNames(model$groups$cooks.distance, model$groups$group)

#' @rdname influence.hlm
#' @export
dfbeta.hlm_influence <- function(model, ...) model$dfbeta

#' @rdname influence.hlm
#' @export
dfbetas.hlm_influence <- function(model, ...) model$dfbetas

#' @rdname influence.hlm
#' @export
dfbeta.hlm <- function(model, level = NULL, method = "one-step", ...) {
  check_dots(...)
  influence_of(model, cluster_argument(model, substitute(level), parent.frame()), method)$dfbeta
}

#' @rdname influence.hlm
#' @export
dfbetas.hlm <- function(model, level = NULL, method = "one-step", ...) {
  check_dots(...)
  influence_of(model, cluster_argument(model, substitute(level), parent.frame()), method)$dfbetas
}

#' @rdname influence.hlm
#' @export
print.hlm_influence <- function(x, n = 6L, digits = 3L, ...) {
  groups <- x$groups
  kind <- plain_level(x$level)
  how <- switch(x$method,
    fixed = "variance components held fixed", `one-step` = "variance components moved by one step", exact = "each model fitted anew"
  )
  cat("Influence of each ", kind, " on the estimates (", how, ")\n", sep = "")
  cutoff <- 4 / nrow(groups)
  over <- sum(groups$cooks.distance > cutoff, na.rm = TRUE)
  cat(" ", count(nrow(groups), "group"), "; Cook's distance above 4/J = ", signif(cutoff, 2L), ": ", over, "\n\n", sep = "")
  worst <- utils::head(order(-groups$cooks.distance), n)
  most <- apply(abs(x$dfbetas[worst, , drop = FALSE]), 1L, function(a) if (anyNA(a)) NA_integer_ else which.max(a))
  moved <- ifelse(is.na(most), "", paste0(
    colnames(x$dfbetas)[most], " (", formatC(x$dfbetas[cbind(worst, most)], digits = 2L, format = "f", flag = "+"), ")"
  ))
  table <- cbind(
    groups$group[worst], groups$n[worst], format_column(groups$cooks.distance[worst], digits),
    format_column(groups$covratio[worst], digits), format_column(groups$leverage[worst], digits), moved
  )
  colnames(table) <- c(kind, "Rows", "Cook's D", "COVRATIO", "Leverage", "Most changed coefficient (DFBETAS)")
  print_table(table, right = 2:5)
  if (any(!groups$estimable)) {
    cat("\nWithout ", show_some(groups$group[!groups$estimable]), " some coefficients cannot be estimated.\n", sep = "")
  }
  invisible(x)
}

# By row, as lme4 ----------------------------------------------------------------------------------------------------------------------

#' Leverages, standardised residuals and Cook's distances by row
#'
#' The values that 'lme4' gives. `hatvalues()`: how much each row determines its own fitted value, random effects included (the diagonal of the matrix
#' that turns the outcome into fitted values, given the variance components). `rstandard()` and `rstudent()`: residuals divided by their standard
#' error given the random effects' shrinkage; for a linear mixed model 'lme4' calls these `rstudent()`, and both names give the same here.
#' `cooks.distance()`: without `level`, from residual and leverage; with `level`, the influence of whole groups, see [influence.hlm()].
#'
#' @param model A fitted model of class `hlm`.
#' @param level,method See [influence.hlm()].
#' @param fullHatMatrix Return the whole matrix? Only for small data.
#' @param ... Not used.
#' @return A numeric vector named by the rows of the data (`NA` for rows left out by `na.exclude`); with `level` by the groups.
#' @source Bates, Maechler, Bolker and Walker (2015), *Journal of Statistical Software* 67(1); Demidenko and Stukel (2005), *Statistics in
#'   Medicine* 24, 893-909.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' sum(hatvalues(fit))
#' head(cooks.distance(fit))
#' @name hlm-row-influence
NULL

#' @rdname hlm-row-influence
#' @export
hatvalues.hlm <- function(model, fullHatMatrix = FALSE, ...) {
  check_dots(...)
  check_independent_residuals(model, "Leverages and residuals standardised by them are", "Use {.code residuals(fit, \"normalized\")}.")
  check_flag(fullHatMatrix, "fullHatMatrix")
  half <- hat_halves(model)
  if (fullHatMatrix) return(as.matrix(Matrix::crossprod(half$random)) + crossprod(half$fixed))
  per_row(model, Matrix::colSums(half$random^2) + colSums(half$fixed^2))
}

# Two matrices whose cross-products add up to the hat matrix (of the weighted rows).
hat_halves <- function(fit) {
  root_w <- sqrt(design_weights(fit$design))
  factors <- getme_factors(fit)
  z <- Matrix::t(root_w * (design_matrix_z(fit) %*% getme_lambda(fit)))
  random <- Matrix::solve(factors$L, Matrix::solve(factors$L, z, system = "P"), system = "L")
  fixed <- solve_fixed(factors$RX, t(root_w * kept_x(fit)) - as.matrix(Matrix::crossprod(factors$RZX, random)))
  list(random = random, fixed = fixed)
}

#' @rdname hlm-row-influence
#' @export
rstandard.hlm <- function(model, ...) {
  check_dots(...)
  standardised <- residuals.hlm(model, "scaled") / sqrt(1 - hatvalues.hlm(model))
  standardised[is.infinite(standardised)] <- NaN
  standardised
}

#' @rdname hlm-row-influence
#' @export
rstudent.hlm <- function(model, ...) rstandard.hlm(model, ...)

#' @rdname hlm-row-influence
#' @export
cooks.distance.hlm <- function(model, level = NULL, method = "one-step", ...) {
  level <- cluster_argument(model, substitute(level), parent.frame())
  check_dots(...)
  if (!is.null(level)) return(cooks.distance.hlm_influence(influence_of(model, level, method)))
  hat <- hatvalues.hlm(model)
  distance <- (residuals.hlm(model, "scaled") / (1 - hat))^2 * hat / length(kept_columns(model))
  distance[is.infinite(distance)] <- NaN
  distance
}
