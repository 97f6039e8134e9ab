# How the variance is shared between the levels.

#' Intraclass correlation at each level
#'
#' The share of the variance that lies between patients, between therapists, and so on. For a model with random intercepts
#' only, this is the intercept variance divided by the total; with random slopes the variance of a level is its average over
#' the analysed rows (Johnson 2014).
#'
#' `icc` sets the variance of a level against the random and residual variance (the "adjusted" ICC: what is left once the
#' predictors are accounted for); `icc_unadjusted` sets it against the total variance including that of the predictors. For
#' nested levels, `icc_cumulative` is the correlation expected between two outcomes of the same group: two sessions of one
#' patient share the patient and the therapist.
#'
#' @param fit A fitted model of class `hlm`.
#' @param x The result.
#' @param digits Number of decimals of the printed percentages.
#' @param ... Not used.
#' @return A data frame of class `hlm_icc` with one row per grouping factor, from the finest to the coarsest, and a last row
#'   `Residual`: `group`, `variance`, `icc`, `icc_unadjusted`, `icc_cumulative`.
#' @source Johnson (2014), *Methods in Ecology and Evolution* 5, 944-946; Nakagawa, Johnson and Schielzeth (2017), *Journal of
#'   the Royal Society Interface* 14, 20170213; Hox, Moerbeek and van de Schoot (2018), *Multilevel Analysis*, section 2.4.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(strength ~ 1 + (1 | batch/cask), lme4::Pastes)
#' icc(fit)
#' @export
icc <- function(fit, ...) UseMethod("icc")

#' @rdname icc
#' @export
icc.hlm <- function(fit, ...) {
  by_group <- level_variances(fit)
  residual <- fit$core$sigma^2 * mean(1 / design_weights(fit$design))
  variance <- c(by_group, residual)
  random <- sum(variance)
  fixed <- stats::var(fixed_predictor(fit) - design_offset(fit$design))
  cumulative <- rep(NA_real_, length(by_group))
  if (levels_are_nested(fit)) cumulative <- rev(cumsum(rev(by_group))) / random
  structure(
    data.frame(
      group = c(group_names(fit), "Residual"), variance = variance, icc = variance / random,
      icc_unadjusted = variance / (random + fixed), icc_cumulative = c(cumulative, NA_real_), row.names = NULL
    ),
    class = c("hlm_icc", "data.frame")
  )
}

# Average of z' Sigma z over the rows, per grouping factor.
level_variances <- function(fit) {
  by_term <- vapply(seq_along(fit$design$terms), function(t) {
    term <- fit$design$terms[[t]]
    covariance <- fit$core$sigma^2 * tcrossprod(term_lambda(fit, t))
    total <- 0
    for (j in seq_along(term$columns)) {
      for (k in seq_len(j)) {
        moment <- mean(design_column(fit$design, term$columns[[j]]) * design_column(fit$design, term$columns[[k]]))
        total <- total + (if (j == k) 1 else 2) * moment * covariance[j, k]
      }
    }
    total
  }, 0)
  vapply(seq_along(fit$design$groups), function(g) sum(by_term[term_group(fit) == g]), 0)
}

# Is each grouping factor nested in the next one?
levels_are_nested <- function(fit) {
  groups <- fit$design$groups
  all(vapply(seq_along(groups)[-1L], function(g) {
    fine <- groups[[g - 1L]]$codes
    first <- match(seq_along(groups[[g - 1L]]$levels), fine)
    all(groups[[g]]$codes == groups[[g]]$codes[first][fine])
  }, TRUE))
}

#' @rdname icc
#' @export
print.hlm_icc <- function(x, digits = 1L, ...) {
  percent <- function(value) ifelse(is.na(value), "", paste0(formatC(100 * value, format = "f", digits = digits), " %"))
  levels <- x[x$group != "Residual", , drop = FALSE]
  cat("Share of the variance at each level (intraclass correlation):\n")
  where <- c(paste("between groups of", plain_group(levels$group)), "within (from row to row)")
  print_table(cbind(Level = where, Share = percent(x$icc), `of total` = percent(x$icc_unadjusted)), right = 2:3)
  cat("\"of total\" also counts the variance explained by the predictors.\n")
  if (nrow(levels) > 1L && !anyNA(levels$icc_cumulative)) {
    for (i in seq_len(nrow(levels))) {
      cat("Expected correlation of two rows of the same ", plain_level(levels$group[[i]]), ": ",
          formatC(levels$icc_cumulative[[i]], format = "f", digits = 2L), "\n", sep = "")
    }
  }
  invisible(x)
}
