# Tests of linear combinations of the fixed effects.

#' Test linear combinations of the fixed effects
#'
#' `contest()` tests hypotheses about combinations of coefficients, for instance whether the between-person effect
#' differs from the within-person effect. Degrees of freedom are Satterthwaite's unless asked otherwise.
#'
#' @param model A fitted model of class `hlm`.
#' @param L A numeric vector (one combination), a matrix with one combination per row, or a list of these. The columns are
#'   the estimated coefficients in the order of `fixef(model)`; named entries are matched by name, others count as zero.
#' @param rhs The value under the null hypothesis: one number, or one for each row of `L`.
#' @param joint `TRUE` for one F test of all rows together, `FALSE` for a t test of each row.
#' @param collect Bind the results of a list `L` into one data frame?
#' @param confint Add confidence limits to t tests?
#' @param level Confidence level.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]: `"Satterthwaite"`, `"Kenward-Roger"`, `"between-within"`, `"residual"` or
#'   `"none"`; by default `getOption("wbhlm.ddf")`, else `"Satterthwaite"`.
#' @param vcov,cluster Another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`, cluster-robust
#'   by `cluster`; see [hlm-ddf].
#' @param ... Passed to methods.
#' @return A data frame. F tests: `Sum Sq`, `Mean Sq`, `NumDF`, `DenDF`, `F value`, `Pr(>F)`. t tests: `Estimate`,
#'   `Std. Error`, `df`, `t value`, `lower`, `upper`, `Pr(>|t|)`.
#' @section Errors: `hlm_error_data` when `L` does not fit the coefficients.
#' @source Kuznetsova, Brockhoff and Christensen (2017), *Journal of Statistical Software* 82(13); Fai and Cornelius (1996),
#'   *Journal of Statistical Computation and Simulation* 54, 363-378.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' contest(fit, c(Days = 1), joint = FALSE)
#' @export
contest <- function(model, L, ...) UseMethod("contest")

#' @rdname contest
#' @export
contest.hlm <- function(model, L, rhs = 0, joint = TRUE, collect = TRUE, confint = TRUE, level = 0.95,
                        ddf = NULL, vcov = NULL, cluster = NULL, ...) {
  cluster <- cluster_argument(model, substitute(cluster), parent.frame())
  check_dots(...)
  check_flag(joint, "joint")
  check_flag(collect, "collect")
  check_flag(confint, "confint")
  check_level(level)
  inference <- resolve_inference(model, ddf, vcov, cluster)
  results <- lapply(if (is.list(L)) L else list(L), function(l) {
    l <- contrast_matrix(model, l)
    values <- contrast_rhs(rhs, nrow(l))
    if (joint) test_joint(model, l, values, inference) else test_rows(model, l, values, inference, if (confint) level)
  })
  if (collect) do.call(rbind, results) else results
}

contrast_matrix <- function(model, l) {
  coefficients <- names(fixef.hlm(model))
  if (!is.numeric(l)) abort_hlm("data", "{.arg L} must be numeric.")
  if (!is.matrix(l)) l <- matrix(l, 1L, dimnames = list(NULL, names(l)))
  if (!is.null(colnames(l)) && !identical(colnames(l), coefficients)) {
    twice <- unique(colnames(l)[duplicated(colnames(l))])
    if (length(twice)) abort_hlm("data", "{.arg L} names {.val {twice}} more than once.")
    unknown <- setdiff(colnames(l), coefficients)
    if (length(unknown)) {
      abort_hlm("data", c(
        "{.arg L} names coefficient{?s} that {?is/are} not in the model: {.val {unknown}}.",
        i = "Coefficients: {.val {coefficients}}."
      ))
    }
    full <- matrix(0, nrow(l), length(coefficients), dimnames = list(rownames(l), coefficients))
    full[, colnames(l)] <- l
    l <- full
  }
  if (ncol(l) != length(coefficients)) {
    abort_hlm("data", c(
      "{.arg L} has {ncol(l)} column{?s}, but the model has {length(coefficients)} estimated coefficient{?s}.",
      i = "Coefficients, in order: {.val {coefficients}}."
    ))
  }
  l
}

contrast_rhs <- function(rhs, rows) {
  if (!is.numeric(rhs) || !length(rhs) %in% c(1L, rows)) {
    abort_hlm("data", "{.arg rhs} must be one number, or one for each of the {rows} row{?s} of {.arg L}.")
  }
  rep_len(rhs, rows)
}

# What the tests are about: the estimates of the fit, unless the method has its own.
tested_estimates <- function(model, inference) inference$beta %||% fixef.hlm(model)

# One t test per row of l.
test_rows <- function(model, l, rhs, inference, level = NULL) {
  variance <- rowSums((l %*% inference$vcov) * l)
  table <- data.frame(
    Estimate = drop(l %*% tested_estimates(model, inference)), `Std. Error` = sqrt(variance),
    df = apply(l, 1L, inference$df), check.names = FALSE, row.names = rownames(l)
  )
  table$`t value` <- (table$Estimate - rhs) / table$`Std. Error`
  if (!is.null(level)) {
    half <- stats::qt(1 - (1 - level) / 2, table$df) * table$`Std. Error`
    table$lower <- table$Estimate - half
    table$upper <- table$Estimate + half
  }
  table$`Pr(>|t|)` <- 2 * stats::pt(abs(table$`t value`), table$df, lower.tail = FALSE)
  table
}

# One F test of all rows: split into independent directions by the eigenvectors of L V L'.
test_joint <- function(model, l, rhs, inference) {
  if (nrow(l) == 0L || anyNA(l)) return(f_row(model, NA_real_, NA_real_, NA_real_))
  if (nrow(l) == 1L) {
    t_test <- test_rows(model, l, rhs, inference)
    return(f_row(model, t_test$`t value`^2, 1L, t_test$df))
  }
  if (!is.null(inference$joint)) {
    test <- inference$joint(l, rhs)
    return(f_row(model, test$f, test$num_df, test$den_df, test$scaling))
  }
  spectrum <- eigen(l %*% inference$vcov %*% t(l), symmetric = TRUE)
  rank <- sum(spectrum$values > max(sqrt(.Machine$double.eps) * spectrum$values[[1L]], 0))
  if (rank == 0L) return(f_row(model, NA_real_, NA_real_, NA_real_))
  directions <- crossprod(spectrum$vectors[, seq_len(rank), drop = FALSE], l)
  distance <- drop(l %*% tested_estimates(model, inference)) - rhs
  squares <- drop(crossprod(spectrum$vectors[, seq_len(rank), drop = FALSE], distance))^2 / spectrum$values[seq_len(rank)]
  den_df <- if (is.null(inference$joint_df)) combine_ddf(apply(directions, 1L, inference$df)) else inference$joint_df(l)
  f_row(model, sum(squares) / rank, rank, den_df)
}

# The mean square belongs to the unscaled statistic, as in 'lmerTest'.
f_row <- function(model, f, num_df, den_df, scaling = 1) {
  mean_square <- f / (scaling %||% 1) * model$core$sigma^2
  data.frame(
    `Sum Sq` = mean_square * num_df, `Mean Sq` = mean_square, NumDF = num_df, DenDF = den_df, `F value` = f,
    `Pr(>F)` = stats::pf(f, num_df, den_df, lower.tail = FALSE), check.names = FALSE
  )
}

# The table of coefficients, with lmerTest's columns.
coefficient_table <- function(fit, inference, level = NULL) {
  test_rows(fit, coefficient_contrasts(fit), 0, inference, level)
}

# One row per estimated coefficient.
coefficient_contrasts <- function(fit) {
  l <- diag(length(kept_columns(fit)))
  rownames(l) <- names(fixef.hlm(fit))
  l
}
