# Standard errors and intervals of variances, covariances, standard deviations and correlations.

#' Variance components with standard errors
#'
#' The estimated variances and covariances (or standard deviations and correlations) of the random effects and the residual,
#' each with its standard error and a confidence interval, at any number of levels.
#'
#' Standard errors come from the observed information (the curvature of the likelihood that was maximised, REML or ML) or
#' from the expected information (its average over data sets from the same model), by the delta method. Limits of variances and
#' standard deviations are computed on the scale of the logarithm, those of correlations on Fisher's z scale, so that they never leave
#' the possible range; those of covariances are symmetric. With few patients or therapists the sampling distribution of a
#' variance is skewed and a standard error says little: do not divide the estimate by it to test the variance; use
#' [ranova()] or [rlrt()].
#'
#' Where a variance is estimated as zero, or a correlation as +1 or -1, the likelihood has no quadratic peak and a standard error
#' does not exist: it is `NA`, and `note` says so. The other components then get standard errors that take the boundary as given.
#'
#' @param fit A fitted model of class `hlm`.
#' @param information `"observed"` (default) or `"expected"`.
#' @param scale `"variance"` for variances and covariances, `"sd"` for standard deviations and correlations.
#' @param level Confidence level.
#' @param x The result.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return A data frame of class `hlm_varcomp`, one row per component in the order of `as.data.frame(VarCorr(fit))`: `group`, `var1`,
#'   `var2` (`NA` for variances), `estimate`, `std.error`, `lower`, `upper`, `note` (`NA`, or why a standard error is missing or
#'   conditional). Attribute `vcov` is the covariance matrix of the variances, covariances and residual variance, in the
#'   order of the lower triangles of the terms.
#' @section Errors: `hlm_error_data` for an unknown level.
#' @source Harville (1977), *Journal of the American Statistical Association* 72, 320-338, section 4; Pinheiro and Bates (2000),
#'   *Mixed-Effects Models in S and S-PLUS*, section 2.4.
#' @seealso [ranova()] and [rlrt()] for tests, [VarCorr.hlm()] for the estimates alone.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' varcomp(fit)
#' varcomp(fit, scale = "sd", information = "expected")
#' @export
varcomp <- function(fit, ...) UseMethod("varcomp")

#' @export
varcomp.default <- function(fit, ...) abort_not_hlm("varcomp", fit)

#' @rdname varcomp
#' @export
varcomp.hlm <- function(fit, information = c("observed", "expected"), scale = c("variance", "sd"), level = 0.95, ...) {
  check_dots(...)
  information <- check_choice(information, c("observed", "expected"), "information")
  scale <- check_choice(scale, c("variance", "sd"), "scale")
  check_level(level)
  pieces <- sigma_covariance(fit, information)
  table <- varcomp_table(fit, pieces, scale, level)
  structure(
    table, information = information, scale = scale, level = level, REML = isTRUE(fit$REML), vcov = pieces$vcov,
    class = c("hlm_varcomp", "data.frame")
  )
}

# Entries of Sigma = sigma^2 Psi in the order of theta_map(), and sigma^2; their covariance matrix, given whatever lies on the
# boundary; `zero`: the variance of either effect is zero; `problem`: why there is no covariance matrix.
sigma_covariance <- function(fit, information = "observed") {
  if (information == "expected") check_independent_residuals(fit, "The expected information is", "Use {.code information = \"observed\"}.")
  design <- fit$design
  map <- theta_map(design)
  theta <- canonical_theta(map, fit$core$theta)
  s <- fit$core$sigma^2
  psi <- lapply(seq_along(design$terms), function(t) tcrossprod(term_lambda(fit, t)))
  entries <- vapply(seq_len(nrow(map)), function(k) psi[[map$term[[k]]]][map$row[[k]], map$col[[k]]], 0)
  scale <- effect_scale(design, map, theta)
  tangent <- theta_tangent(map, theta, scale)
  matrix <- switch(information,
    observed = observed_information(known_design(fit), isTRUE(fit$REML), theta, s, unname(fit$core$residual$at_limit)),
    expected = expected_information(design, isTRUE(fit$REML), theta, s, kept_x(fit))
  )
  m <- nrow(map)
  frame <- rbind(cbind(tangent$basis, 0), c(numeric(ncol(tangent$basis)), s))
  factor <- if (!identical(fit$core$status, "failed") && all(is.finite(matrix))) positive_root(crossprod(frame, matrix %*% frame))
  moves <- rbind(cbind(s * psi_jacobian(map, theta), entries), c(numeric(m), 1)) %*% frame
  list(
    map = map, estimate = c(s * entries, s), zero = c(tangent$zero | tangent$zero[entry_column(map)], FALSE),
    vcov = if (is.null(factor)) base::matrix(NA_real_, m + 1L, m + 1L) else tcrossprod(moves %*% backsolve(factor, diag(ncol(frame)))),
    problem = if (is.null(factor)) "no standard error: the estimation did not converge to a proper maximum" else NA_character_
  )
}

# NULL for a singular matrix too, whose last pivots are rounding dust of either sign.
positive_root <- function(matrix) {
  matrix <- (matrix + t(matrix)) / 2
  root <- tryCatch(chol(matrix), error = function(cnd) NULL)
  if (!is.null(root) && any(diag(root)^2 <= 1e-10 * diag(matrix))) NULL else root
}

varcomp_table <- function(fit, pieces, scale, level) {
  map <- pieces$map
  order <- order(map$term, map$row != map$col, seq_len(nrow(map)))
  variances <- variance_places(map)
  rows <- lapply(order, function(k) {
    term <- fit$design$terms[[map$term[[k]]]]
    value <- component_value(pieces, k, variances[k, ], scale)
    data.frame(
      group = term_labels_lme4(fit)[[map$term[[k]]]], var1 = term$names[[map$col[[k]]]],
      var2 = if (map$row[[k]] == map$col[[k]]) NA_character_ else term$names[[map$row[[k]]]], value
    )
  })
  last <- length(pieces$estimate)
  residual <- component_value(pieces, last, c(last, last), scale)
  table <- rbind(do.call(rbind, rows), data.frame(group = "Residual", var1 = NA_character_, var2 = NA_character_, residual))
  conditional <- table$group %in% term_labels_lme4(fit)[boundary_terms(fit)] & is.na(table$note) & !is.na(table$std.error)
  table$note[conditional] <- "given the boundary: holds the other estimates of this term there"
  limits <- component_limits(table, scale, level)
  cbind(table[c("group", "var1", "var2", "estimate", "std.error")], limits, table["note"])
}

boundary_terms <- function(fit) unique(vapply(fit$core$boundary, function(entry) as.integer(entry$term), 1L))

# For each entry the places of its two variances among the entries.
variance_places <- function(map) {
  key <- paste(map$term, map$row, map$col)
  cbind(match(paste(map$term, map$row, map$row), key), match(paste(map$term, map$col, map$col), key))
}

component_value <- function(pieces, k, places, scale) {
  estimate <- pieces$estimate[[k]]
  variance <- pieces$vcov[k, k]
  lone <- places[[1L]] == k
  note <- pieces$problem
  if (scale == "sd" && lone) {
    # d sqrt(v) = dv / (2 sqrt(v))
    variance <- variance / (4 * estimate)
    estimate <- sqrt(estimate)
  } else if (scale == "sd") {
    own <- pieces$estimate[places]
    estimate <- estimate / sqrt(prod(own))
    gradient <- c(1 / sqrt(prod(own)), -estimate / (2 * own))
    variance <- sum(gradient * (pieces$vcov[c(k, places), c(k, places)] %*% gradient))
  }
  if (pieces$zero[[k]]) {
    variance <- NA_real_
    note <- if (lone) "estimated as zero: no standard error at the boundary" else "a variance of zero leaves it undefined"
    if (!lone && scale == "sd") estimate <- NA_real_
  } else if (!lone && scale == "sd" && abs(estimate) > 1 - 1e-8) {
    variance <- NA_real_
    note <- "estimated at +1 or -1: no standard error at the boundary"
  }
  data.frame(estimate = estimate, std.error = sqrt(variance), lone = lone, note = note)
}

component_limits <- function(table, scale, level) {
  z <- stats::qnorm((1 + level) / 2)
  estimate <- table$estimate
  se <- table$std.error
  # The log scale for variances and standard deviations, Fisher's z for correlations.
  lower <- ifelse(table$lone, estimate * exp(-z * se / estimate), estimate - z * se)
  upper <- ifelse(table$lone, estimate * exp(z * se / estimate), estimate + z * se)
  if (scale == "sd") {
    inside <- pmin(pmax(estimate, -1), 1)
    half <- z * se / (1 - inside^2)
    lower <- ifelse(table$lone, lower, tanh(atanh(inside) - half))
    upper <- ifelse(table$lone, upper, tanh(atanh(inside) + half))
  }
  data.frame(lower = lower, upper = upper)
}

#' @rdname varcomp
#' @export
print.hlm_varcomp <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  sd <- identical(attr(x, "scale"), "sd")
  cat(if (sd) "Standard deviations and correlations" else "Variances and covariances", " of the random effects\n", sep = "")
  cat(
    "(standard errors from the ", attr(x, "information"), " information, ", if (isTRUE(attr(x, "REML"))) "REML" else "maximum likelihood",
    "; ", format(100 * attr(x, "level")), " % confidence limits)\n", sep = ""
  )
  residual <- x$group == "Residual" & is.na(x$var1)
  what <- ifelse(is.na(x$var2), ifelse(is.na(x$var1), "", x$var1), paste0(if (sd) "cor(" else "cov(", x$var1, ", ", x$var2, ")"))
  cells <- lapply(x[c("estimate", "std.error", "lower", "upper")], as.double)
  shown <- vapply(seq_len(nrow(x)), function(i) {
    values <- vapply(cells, `[[`, 0, i)
    text <- rep("", length(values))
    text[!is.na(values)] <- formatC(values[!is.na(values)], digits = digits, format = "fg", flag = "#")
    sub("[.]$", "", text)
  }, character(length(cells)))
  marks <- match(x$note, unique(stats::na.omit(x$note)))
  table <- cbind(
    Groups = ifelse(residual, "Residual", ifelse(duplicated(x$group), "", x$group)), Name = what, Estimate = shown[1L, ],
    SE = shown[2L, ], Lower = shown[3L, ], Upper = shown[4L, ], ` ` = ifelse(is.na(marks), "", paste0("[", marks, "]"))
  )
  print_table(table)
  notes <- unique(stats::na.omit(x$note))
  for (i in seq_along(notes)) cat(" [", i, "] ", notes[[i]], "\n", sep = "")
  invisible(x)
}
