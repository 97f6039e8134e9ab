# The full account of a fit, with tests.

#' Summarise a fitted model
#'
#' Fixed effects grouped by level (within persons, between persons, cross-level, other) with standard error, degrees of
#' freedom, t and p; random effects with variance, standard deviation and correlation; the share of variance at each level;
#' who was analysed and which rows were left out and why; and whether the estimates lie on the boundary of what is possible.
#'
#' The component `coefficients` is a matrix with the columns that 'lmerTest' gives: `Estimate`, `Std. Error`, `df`,
#' `t value`, `Pr(>|t|)`.
#'
#' @param object A fitted model of class `hlm`.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]: `"Satterthwaite"`, `"Kenward-Roger"`, `"between-within"`, `"residual"` or
#'   `"none"`; by default `getOption("wbhlm.ddf")`, else `"Satterthwaite"`.
#' @param vcov,cluster Another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`, cluster-robust
#'   by `cluster`; see [hlm-ddf].
#' @param x The result of `summary()`.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return An object of class `summary.hlm`: a list with `coefficients`, `sections` (the group each coefficient is printed
#'   in), `varcor`, `residual` (parameters of the residual structure: `structure`, `variable`, `level`, `reference`,
#'   `distance` (median distance in time of neighbours), `estimate`, `std.error`, `lower`, `upper`; `NULL` without one), `icc`
#'   (`NULL` when residual variances differ), `ngrps`, `nobs`, `rows`, `status`, `sigma`, `logLik`, `AICtab`, `vcov` (the one the standard errors
#'   come from), `ddf`, `inference` (the method's name in print), `contextual` (see [contextual()]; `NULL` when no variable is split),
#'   `nickell` (a sentence on the bias from a lagged outcome, see [nickell_bias()]; `NULL` without one), `formula`, `call`.
#' @source Satterthwaite (1946), *Biometrics Bulletin* 2, 110-114; Kuznetsova, Brockhoff and Christensen (2017), *Journal of
#'   Statistical Software* 82(13).
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' summary(fit)
#' summary(fit)$coefficients
#' @importFrom rlang %||%
#' @export
summary.hlm <- function(object, ddf = NULL, vcov = NULL, cluster = NULL, ...) {
  cluster <- cluster_argument(object, substitute(cluster), parent.frame())
  check_dots(...)
  inference <- resolve_inference(object, ddf, vcov, cluster)
  likelihood <- logLik.hlm(object)
  table <- c(AIC = stats::AIC(likelihood), BIC = stats::BIC(likelihood), logLik = as.double(likelihood))
  structure(
    list(
      call = object$call, formula = object$formula, REML = isTRUE(object$REML), ddf = inference$method, inference = inference$label,
      coefficients = as.matrix(coefficient_table(object, inference)), sections = coefficient_sections(object), vcov = name_vcov(object, inference$vcov),
      varcor = VarCorr.hlm(object), sigma = object$core$sigma, residual = residual_parameters(object),
      icc = if (!has_hetero_residuals(object)) icc.hlm(object), ngrps = ngrps.hlm(object),
      nobs = n_rows(object), rows = rows_account(object), status = fit_status(object), logLik = likelihood,
      AICtab = c(table, deviance = object$core$criterion, df.resid = df.residual.hlm(object)),
      contextual = contextual_table(object, inference), nickell = nickell_note(nickell_of(object)) %||% nickell_unknown(object)
    ),
    class = "summary.hlm"
  )
}

#' @rdname summary.hlm
#' @export
coef.summary.hlm <- function(object, ...) object$coefficients

#' @rdname summary.hlm
#' @export
vcov.summary.hlm <- function(object, ...) object$vcov

#' @rdname summary.hlm
#' @export
print.summary.hlm <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  print_title(x)
  print_rows(x$rows)
  cat("\nFixed effects\n")
  print_effects(x$coefficients, x$sections, digits)
  if (nrow(x$coefficients)) cat(" (t tests with ", x$inference, ")\n", sep = "")
  # with cx() the differences are coefficients, shown above already
  if (!is.null(x$contextual) && any(rowSums(x$contextual$L != 0) > 1L)) {
    cat("\n")
    print_contextual(x$contextual, digits)
  }
  print_nickell_note(x$nickell)
  cat("\nRandom effects\n")
  print_table(varcorr_table(x$varcor, c("Variance", "Std.Dev."), digits))
  print_residual(x$residual, x$sigma)
  if (!is.null(x$icc)) {
    cat("\nShare of the unexplained variance (intraclass correlation)\n")
    print_shares(x$icc)
  }
  print_status(x$status)
  criterion <- if (x$REML) "REML criterion" else "-2 log-likelihood"
  values <- formatC(c(x$AICtab[["deviance"]], x$AICtab[["AIC"]], x$AICtab[["BIC"]]), format = "f", digits = 1L)
  cat(criterion, " ", values[[1L]], ", AIC ", values[[2L]], ", BIC ", values[[3L]], "\n", sep = "")
  invisible(x)
}

print_shares <- function(icc) {
  last <- nrow(icc)
  where <- c(paste("between groups of", plain_group(icc$group[-last])), "within (from row to row)")
  print_table(cbind(Level = where, ` ` = paste0(formatC(100 * icc$icc, format = "f", digits = 1L), " %")))
}

# The status in words. Each boundary component is named, with what it means for the reader.
fit_status <- function(fit) {
  status <- fit$core$status %||% "converged"
  list(
    status = status, message = fit$core$message, words = c(vapply(fit$core$boundary, boundary_words, "", fit = fit), residual_limit_words(fit))
  )
}

boundary_words <- function(boundary, fit) {
  term <- fit$design$terms[[boundary$term]]
  group <- plain_group(fit$design$groups[[term$group]]$name, group_names(fit))
  what <- paste(as.character(boundary$component), collapse = "' and '")
  switch(boundary$kind,
    `zero variance` = paste0(
      "The variance of '", what, "' between groups of ", group, " is estimated as zero: the data show no differences there",
      " beyond chance."
    ),
    correlation = paste0(
      "The random effects '", what, "' of ", group, " are estimated as perfectly correlated: the data cannot tell them apart."
    ),
    paste0(
      "The random effects '", what, "' of ", group, " are not independent of each other: the data support fewer of them."
    )
  )
}

print_status <- function(status, quiet = FALSE) {
  if (status$status == "converged") {
    if (!quiet) cat("\nThe estimation converged.\n")
    return(invisible())
  }
  if (status$status == "boundary") {
    cat("\nThe estimation converged at the boundary of what is possible:\n")
    lines <- unlist(lapply(status$words, strwrap, width = max(40L, getOption("width") - 3L), initial = " - ", prefix = "   "))
    cat(lines, sep = "\n")
    return(invisible())
  }
  cat("\nThe estimation did NOT converge: do not interpret these results.\n")
  if (length(status$message) && nzchar(status$message)) cat(" ", status$message, "\n", sep = "")
}
