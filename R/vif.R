# Collinearity of the predictors, overall and within each level.

#' Variance inflation factors, by level
#'
#' How much the variance of a coefficient is inflated because its predictor can be told from the others. For terms with several
#' coefficients (factors, splines) the generalised factor of Fox and Monette (1992). Within and between predictors of a variable are
#' orthogonal by construction, so collinearity is mostly a matter of one level: `gvif_level` counts only the predictors of the same level,
#' as if the others were not in the model.
#'
#' The overall values are those of `car::vif()` for the same 'lme4' fit: they come from the correlations of the estimated coefficients, so they take
#' the random effects into account. Values of a product and of its factors are high when the factors are not centred, and then mean little.
#'
#' @param mod A fitted model of class `hlm`.
#' @param x The result.
#' @param digits Significant digits.
#' @param ... Passed to methods. For other models the call is handed over to the function of the same name in 'car'.
#' @return A data frame of class `hlm_vif`, one row per term: `term`, `level` (1 or the group at which it varies), `type`, `df`, `gvif`,
#'   `gvif_scaled` (`gvif`^(1/(2 df)); compare its square with the usual limits of 5 and 10), `gvif_level`, `gvif_level_scaled`. Attribute
#'   `condition`: the condition number of each level's predictors (root of the ratio of the largest to the smallest eigenvalue of the
#'   correlation matrix of their coefficients; above 30 is a warning).
#' @section Errors: `hlm_error_data` when the model has no predictors.
#' @source Fox and Monette (1992), *Journal of the American Statistical Association* 87, 178-183; Belsley, Kuh and Welsch (1980),
#'   *Regression Diagnostics*, chapter 3.
#' @examples
#' # synthetic: 40 persons, 6 sessions
#' set.seed(1)
#' d <- data.frame(patient = rep(1:40, each = 6), alliance = rnorm(240), motivation = rnorm(240))
#' d$distress <- 20 - d$alliance + rnorm(40)[d$patient] + rnorm(240)
#' vif(hlm(distress ~ wb(alliance) + wb(motivation) + (1 | patient), d))
#' @export
vif <- function(mod, ...) UseMethod("vif")

#' @export
vif.default <- function(mod, ...) pass_on_model("car", "vif", mod, ...)

#' @rdname vif
#' @export
vif.hlm <- function(mod, ...) {
  check_dots(...)
  coefs <- mod$spec$coefs[kept_columns(mod), , drop = FALSE]
  constant <- which(mod$design$x[kept_columns(mod)] == 0L)
  slopes <- setdiff(seq_len(nrow(coefs)), constant)
  if (!length(slopes)) abort_hlm("data", "The model has no predictors, so there is nothing that could be collinear.")
  terms <- unique(coefs$term[slopes])
  first <- match(terms, coefs$term)
  members <- lapply(terms, function(term) slopes[coefs$term[slopes] == term])
  level <- coefs$level[first]
  information <- solve_spd(mod$core$vcov)
  overall <- inflation(information, constant, members)
  by_level <- numeric(length(terms))
  levels <- unique(level)
  condition <- stats::setNames(numeric(length(levels)), levels)
  for (one in levels) {
    mine <- which(level == one)
    found <- inflation(information, constant, members[mine])
    by_level[mine] <- found$gvif
    condition[[one]] <- found$condition
  }
  df <- lengths(members)
  structure(
    data.frame(
      term = terms, level = level, type = coefs$type[first], df = df, gvif = overall$gvif, gvif_scaled = overall$gvif^(1 / (2 * df)),
      gvif_level = by_level, gvif_level_scaled = by_level^(1 / (2 * df))
    ),
    condition = condition, class = c("hlm_vif", "data.frame")
  )
}

# After scaling, so that the units of the predictors do not matter.
solve_spd <- function(v) {
  scale <- sqrt(diag(v))
  chol2inv(chol(v / tcrossprod(scale))) / tcrossprod(scale)
}

# Generalised inflation factors of the terms, in the model that holds these and the constant: det R11 det R22 / det R (Fox & Monette 1992, eq. 10).
inflation <- function(information, constant, members) {
  used <- c(constant, unlist(members))
  v <- solve_spd(information[used, used, drop = FALSE])
  keep <- seq_along(used)[-seq_along(constant)]
  if (!length(constant)) keep <- seq_along(used)
  r <- stats::cov2cor(v[keep, keep, drop = FALSE])
  log_det <- function(index) if (length(index)) as.double(determinant(r[index, index, drop = FALSE])$modulus) else 0
  place <- split(seq_along(keep), rep(seq_along(members), lengths(members)))
  gvif <- vapply(place, function(mine) exp(log_det(mine) + log_det(setdiff(seq_along(keep), mine)) - log_det(seq_along(keep))), 0)
  values <- eigen(r, symmetric = TRUE, only.values = TRUE)$values
  list(gvif = unname(gvif), condition = sqrt(max(values) / min(values)))
}

#' @rdname vif
#' @export
print.hlm_vif <- function(x, digits = 3L, ...) {
  cat("Variance inflation of the fixed effects (1: none; above 5: look; above 10: strong)\n")
  condition <- attr(x, "condition")
  for (one in unique(x$level)) {
    mine <- x$level == one
    place <- if (one == "1") "Level 1 (from row to row)" else paste("Between groups of", plain_level(one))
    cat("\n", place, ", condition number ", formatC(condition[[one]], format = "f", digits = 1L), "\n", sep = "")
    table <- cbind(
      Name = x$term[mine], df = x$df[mine], `among its level` = formatC(x$gvif_level_scaled[mine]^2, format = "f", digits = 2L),
      `among all` = formatC(x$gvif_scaled[mine]^2, format = "f", digits = 2L)
    )
    colnames(table)[[1L]] <- "Term"
    print_table(table, right = 2:4)
  }
  invisible(x)
}
