# Test of one variance component by its exact null distribution, simulated.

#' Exact test of one variance component
#'
#' Tests whether a variance is zero by the restricted likelihood ratio. Its distribution under the null hypothesis is simulated from the
#' spectral decomposition of Crainiceanu and Ruppert (2004), not approximated by a mixture of chi-square distributions, so that it is
#' right for few patients or therapists, too.
#'
#' In a model with one variance component the test is exact (up to the number of draws). With further random effects their
#' variances are nuisance parameters, and the distribution is that of the model without them (Greven et al. 2008), a good
#' approximation unless the other effects are nearly confounded with the tested one. A random effect can be tested when it is
#' uncorrelated with the others of its group: write `(1 + x || g)` or `(1 | g) + (0 + x | g)`.
#'
#' The test uses the restricted likelihood. A model fitted by maximum likelihood is fitted again by REML for it, and the result says so.
#'
#' @param fit A fitted model of class `hlm`.
#' @param term The random effect to test: its number, or its text as in the formula (`"1 | patient"`). Not needed when there is one.
#' @param nsim Number of draws from the null distribution.
#' @param seed A seed; the state of the session's generator is put back afterwards. Without a seed the session's own stream is used, so that [set.seed()]
#'   before the call reproduces the result.
#' @param ... Not used.
#' @return An object of class `htest` with `statistic` (RLRT), `p.value` (from the share of draws above the statistic, the observed
#'   value counted as one of them, so that it is never zero; Davison and Hinkley 1997, section 4.2), `p.se` (its Monte Carlo standard error),
#'   `mass.at.zero` (probability of a statistic of zero under the null hypothesis), `chibar.p` (the p value of the 50:50 mixture for
#'   comparison), `sample` (the draws), `nsim`, `method`, `data.name`.
#' @section Errors: `hlm_error_data` for an unknown term; `hlm_error_design` when the term holds several correlated effects, or its
#'   groups are too many for an exact distribution (more than 2,000 different group designs).
#' @source Crainiceanu and Ruppert (2004), *Journal of the Royal Statistical Society B* 66, 165-185, theorem 1; Greven, Crainiceanu, Kuechenhoff and Peters
#'   (2008), *Journal of Computational and Graphical Statistics* 17, 870-891; Scheipl, Greven and Kuechenhoff (2008), *Computational Statistics
#'   and Data Analysis* 52, 3283-3299 (package 'RLRsim').
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
#' rlrt(fit, nsim = 1000, seed = 1)
#' @export
rlrt <- function(fit, term = NULL, nsim = 10000, seed = NULL, ...) {
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_independent_residuals(fit, "The exact test of one variance is", "Compare two fits: {.code anova(smaller, larger, refit = FALSE)}.")
  if (!is.numeric(nsim) || length(nsim) != 1L || !isTRUE(nsim >= 1) || nsim != round(nsim)) {
    abort_hlm("data", "{.arg nsim} must be a whole number of at least 1.")
  }
  check_session_seed(seed)
  t <- rlrt_term(fit, term)
  refitted <- !isTRUE(fit$REML)
  fit <- as_reml(fit)
  null <- fit_reduced(fit, without_columns(fit$design, t, 1L))
  statistic <- max(0, null$core$criterion - fit$core$criterion)
  n <- n_rows(fit)
  p <- length(kept_columns(fit))
  mu <- rlrt_spectrum(fit, t)
  sample <- keep_seed(seed, rlrt_sample(mu, n - p, nsim))
  # A statistic of zero but for rounding is zero.
  above <- if (statistic <= 1e-7) 1 else (1 + sum(sample > statistic)) / (1 + nsim)
  label <- fit$design$terms[[t]]$label
  method <- c(
    "Restricted likelihood ratio test of one variance component",
    paste0("(null distribution simulated, ", format(nsim, big.mark = ","), " draws", if (refitted) "; model fitted again by REML", ")"),
    if (length(fit$design$terms) > 1L) "(further random effects: approximation of Greven et al. 2008)"
  )
  structure(
    list(
      statistic = c(RLRT = statistic), p.value = above, p.se = sqrt(above * (1 - above) / nsim), mass.at.zero = mean(sample == 0),
      chibar.p = chibar_p(statistic, 0, c(0.5, 0.5)), sample = sample, nsim = nsim, method = paste(method, collapse = "\n"),
      alternative = paste0("the variance of (", label, ") is greater than 0"), data.name = paste0("variance of (", label, ")")
    ),
    class = "htest"
  )
}

rlrt_term <- function(fit, term) {
  terms <- fit$design$terms
  labels <- vapply(terms, `[[`, "", "label")
  if (is.null(term) && length(terms) == 1L) term <- 1L
  if (is.null(term)) {
    abort_hlm("data", c(
      "The model has {length(terms)} random-effect terms; {.arg term} must say which one to test.",
      i = "Terms, in order: {.val {labels}}."
    ))
  }
  plain <- function(text) gsub("[() ]", "", text)
  found <- if (is.character(term)) match(plain(term), plain(labels)) else match(term, seq_along(labels))
  if (length(found) != 1L || is.na(found)) {
    abort_hlm("data", c("{.arg term} must be one of the random-effect terms, not {.val {term}}.", i = "Terms, in order: {.val {labels}}."))
  }
  if (length(terms[[found]]$columns) > 1L) {
    abort_hlm("design", c(
      "({labels[[found]]}) holds {length(terms[[found]]$columns)} correlated effects; this test is for one variance.",
      i = "Fit the effects uncorrelated, with {.code ||}, or use {.fn ranova}."
    ))
  }
  found
}

# Eigenvalues of Z'(I - X (X'X)^-1 X')Z over those that are zero by construction, with their multiplicities. Z'Z is diagonal (one
# effect per group): groups with the same z'z share all eigenvalues but as many as X has columns in their space, which keeps the problem
# small whenever the groups are alike.
rlrt_spectrum <- function(fit, t) {
  term <- fit$design$terms[[t]]
  group <- fit$design$groups[[term$group]]
  root <- sqrt(design_weights(fit$design))
  z <- as.double(root * design_column(fit$design, term$columns[[1L]]))
  x <- qr.Q(qr(kept_x(fit) * root))
  size <- length(group$levels)
  square <- rowsum(z^2, group$codes)[, 1L]
  cross <- matrix(rowsum(z * x, group$codes), size)
  class <- match(signif(square, 12), unique(signif(square, 12)))
  members <- split(seq_len(size), class)
  value <- numeric()
  times <- integer()
  kept <- list()
  for (rows in members) {
    part <- qr(cross[rows, , drop = FALSE], tol = 1e-10)
    rank <- part$rank
    if (length(rows) > rank) {
      value <- c(value, square[[rows[[1L]]]])
      times <- c(times, length(rows) - rank)
    }
    if (!rank) next
    basis <- qr.Q(part)[, seq_len(rank), drop = FALSE]
    kept[[length(kept) + 1L]] <- list(square = square[[rows[[1L]]]], cross = crossprod(basis, cross[rows, , drop = FALSE]))
  }
  left <- sum(vapply(kept, function(piece) nrow(piece$cross), 1L))
  if (left > 2000L) {
    abort_hlm("design", c(
      "The exact distribution needs the eigenvalues of {left} different groups; the limit is 2,000.",
      i = "With that many groups the mixture of {.fn ranova} is accurate."
    ))
  }
  if (left) {
    block <- do.call(rbind, lapply(kept, `[[`, "cross"))
    diagonal <- unlist(lapply(kept, function(piece) rep(piece$square, nrow(piece$cross))))
    own <- eigen(diag(diagonal, left) - tcrossprod(block), symmetric = TRUE, only.values = TRUE)$values
    value <- c(value, own)
    times <- c(times, rep(1L, left))
  }
  positive <- value > 1e-10 * max(value)
  list(value = value[positive], times = times[positive], size = sum(times[positive]))
}

# Draws of sup over lambda of (n - p) log(1 + N(lambda) / D(lambda)) - sum log(1 + lambda mu_k): theorem 1 and section 3 of Crainiceanu & Ruppert
# (2004) with lambda_0 = 0, on the grid of package 'RLRsim'. mu is scaled to a largest value of 1.
rlrt_sample <- function(mu, nu, nsim, grid = c(0, exp(seq(-10, 8, length.out = 199L)))) {
  value <- mu$value / max(mu$value)
  shrink <- 1 / (1 + outer(value, grid))
  penalty <- colSums(mu$times * log1p(outer(value, grid)))
  out <- numeric(nsim)
  step <- local_progress(nsim, "Null distribution")
  for (rows in split(seq_len(nsim), (seq_len(nsim) - 1L) %/% 1000L)) {
    count <- length(rows)
    w <- matrix(stats::rchisq(count * length(value), rep(mu$times, each = count)), count)
    rest <- if (nu > mu$size) stats::rchisq(count, nu - mu$size) else numeric(count)
    total <- rest + rowSums(w)
    likelihood <- nu * (log(total) - log(rest + w %*% shrink)) - rep(penalty, each = count)
    out[rows] <- pmax(likelihood[cbind(seq_len(count), max.col(likelihood, ties.method = "first"))], 0)
    step(max(rows))
  }
  out
}
