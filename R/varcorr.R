# Variances, standard deviations and correlations of the random effects.

#' Variance components
#'
#' The estimated variances, standard deviations and correlations of the random effects, in the shape 'lme4' gives them: one
#' covariance matrix per random-effect term, named by its grouping factor (`patient`, `patient.1`, ... when a factor carries
#' several terms), with attributes `stddev` and `correlation`; attribute `sc` is the residual standard deviation. With a residual structure
#' (argument `residual` of [hlm()]) attribute `residual` holds its parameters; with `hetero()` `sc` is the standard deviation of the first group of
#' rows.
#'
#' @param x A fitted model of class `hlm`, or the `VarCorr.hlm` object.
#' @param sigma Multiplies the standard deviations; leave it out for the estimates themselves.
#' @param comp What to print: `"Std.Dev."`, `"Variance"` or both.
#' @param digits Significant digits to print.
#' @param row.names,optional Not used.
#' @param order `"cov.last"` lists variances before covariances, `"lower.tri"` goes column by column.
#' @param ... Not used.
#' @return `VarCorr()`: a list of matrices, class `VarCorr.hlm`. `as.data.frame()`: columns `grp`, `var1`, `var2`, `vcov`,
#'   `sdcor`, one row per variance and covariance and a last row `Residual`.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' VarCorr(fit)
#' as.data.frame(VarCorr(fit))
#' @importFrom nlme VarCorr
#' @method VarCorr hlm
#' @export
VarCorr.hlm <- function(x, sigma = 1, ...) {
  scale <- if (missing(sigma)) x$core$sigma else sigma
  components <- lapply(seq_along(x$design$terms), function(t) {
    names <- x$design$terms[[t]]$names
    covariance <- scale^2 * tcrossprod(term_lambda(x, t))
    dimnames(covariance) <- list(names, names)
    stddev <- sqrt(diag(covariance))
    names(stddev) <- names
    correlation <- covariance / tcrossprod(stddev)
    diag(correlation) <- 1
    structure(
      covariance, stddev = stddev, correlation = correlation, diagonal = identical(x$design$terms[[t]]$structure, "diagonal")
    )
  })
  names(components) <- term_labels_lme4(x)
  structure(
    components, sc = scale, useSc = TRUE, residual = residual_estimates(x),
    residual_label = if (has_residual_structure(x)) residual_label(x),
    class = "VarCorr.hlm"
  )
}

#' @rdname VarCorr.hlm
#' @export
as.data.frame.VarCorr.hlm <- function(x, row.names = NULL, optional = FALSE, order = c("cov.last", "lower.tri"), ...) {
  order <- check_choice(order, c("cov.last", "lower.tri"), "order")
  pieces <- lapply(seq_along(x), function(t) varcorr_rows(x[[t]], names(x)[[t]], order))
  scale <- attr(x, "sc")
  residual <- data.frame(grp = "Residual", var1 = NA_character_, var2 = NA_character_, vcov = scale^2, sdcor = scale)
  table <- do.call(rbind, c(pieces, list(residual)))
  row.names(table) <- NULL
  table
}

varcorr_rows <- function(component, group, order) {
  names <- rownames(component)
  q <- length(names)
  # A diagonal structure has no covariances to report, as against covariances estimated at zero.
  place <- if (isTRUE(attr(component, "diagonal"))) {
    cbind(row = seq_len(q), col = seq_len(q))
  } else {
    which(lower.tri(component, diag = TRUE), arr.ind = TRUE)
  }
  on_diagonal <- place[, "row"] == place[, "col"]
  if (order == "cov.last") {
    place <- place[base::order(!on_diagonal), , drop = FALSE]
    on_diagonal <- place[, "row"] == place[, "col"]
  }
  correlation <- attr(component, "correlation")
  data.frame(
    grp = group, var1 = names[place[, "col"]], var2 = ifelse(on_diagonal, NA_character_, names[place[, "row"]]),
    vcov = component[place],
    sdcor = ifelse(on_diagonal, attr(component, "stddev")[place[, "row"]], correlation[place]), row.names = NULL
  )
}

#' @rdname VarCorr.hlm
#' @export
print.VarCorr.hlm <- function(x, digits = max(3L, getOption("digits") - 2L), comp = "Std.Dev.", ...) {
  print_table(varcorr_table(x, comp, digits))
  print_residual(attr(x, "residual"), attr(x, "sc"))
  invisible(x)
}

# A character matrix: group, effect, variance and/or SD, correlations with the effects above.
varcorr_table <- function(x, comp = c("Variance", "Std.Dev."), digits = 4L, residual = attr(x, "residual_label") %||% "Residual") {
  comp <- vapply(as.list(comp), check_choice, "", c("Variance", "Std.Dev."), "comp")
  rows <- do.call(rbind, lapply(seq_along(x), function(t) {
    names <- rownames(x[[t]])
    data.frame(
      group = c(names(x)[[t]], rep("", length(names) - 1L)), name = names, variance = diag(x[[t]]), sd = attr(x[[t]], "stddev")
    )
  }))
  rows <- rbind(rows, data.frame(group = residual, name = "", variance = attr(x, "sc")^2, sd = attr(x, "sc")))
  table <- cbind(Groups = rows$group, Name = rows$name)
  if ("Variance" %in% comp) table <- cbind(table, Variance = format_column(rows$variance, digits))
  if ("Std.Dev." %in% comp) table <- cbind(table, Std.Dev. = format_column(rows$sd, digits))
  correlations <- varcorr_correlations(x)
  if (ncol(correlations)) table <- cbind(table, rbind(correlations, ""))
  table
}

varcorr_correlations <- function(x) {
  width <- max(vapply(x, function(component) if (isTRUE(attr(component, "diagonal"))) 1L else nrow(component), 1L)) - 1L
  blocks <- lapply(x, function(component) {
    q <- nrow(component)
    block <- matrix("", q, width)
    if (q > 1L && !isTRUE(attr(component, "diagonal"))) {
      shown <- formatC(attr(component, "correlation"), format = "f", digits = 2L)
      # a variance of zero leaves the correlation undefined
      shown[is.nan(attr(component, "correlation"))] <- "-"
      shown[!lower.tri(shown)] <- ""
      block[, seq_len(q - 1L)] <- shown[, -q, drop = FALSE]
    }
    block
  })
  blocks <- do.call(rbind, blocks)
  if (width) colnames(blocks) <- c("Corr", rep("", width - 1L))
  blocks
}
