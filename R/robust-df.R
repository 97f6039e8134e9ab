# Tests with a robust covariance: degrees of freedom for one coefficient and Hotelling's T2 for several.
#
# The robust variance of l'beta is a quadratic form in normal variables under the working model. Its first two moments are those of
# the J x J matrix P = diag(g) - H H', g_j = l'E_jV_jE_j'l, row j of H = l'E_jX_j (basis with M = I): Bell & McCaffrey (2002); Pustejovsky & Tipton (2018, J Bus
# Econ Stat 36:672, eqs. 11-12 and 17-20). P enters only through tr P and sums of squares, so only J x p and p x p are formed.

#' Robust inference about the fixed effects
#'
#' Cluster-robust covariance of the fixed effects with the small-sample degrees of freedom that belong to it, in the form that
#' the package's tests take. Standard errors stay right when the model's random effects or residual structure are wrong, provided
#' that clusters are independent. `summary()`, `contest()` and the other functions with an argument `vcov` call it.
#'
#' @param fit A fitted model of class `hlm`.
#' @param type `"CR2"` (bias-reduced; default), `"CR0"`, `"CR1"`, `"CR1p"`, `"CR1S"` or `"CR3"`; see [vcov()][vcov.hlm].
#' @param cluster What is independent of each other: `NULL` for the coarsest grouping factor, the name of a variable of the model (bare
#'   or as a string), or a vector with one value per analysed row.
#' @param ddf `"Satterthwaite"`: Bell and McCaffrey's degrees of freedom and, for several coefficients together, the approximate
#'   Hotelling T2 test; `"clusters"`: number of clusters minus one; `"asymptotic"`: the normal distribution.
#' @return A list: `vcov`, the robust covariance matrix; `df`, a function of a contrast vector; `joint`, a function of a matrix of
#'   contrasts (rows) and their values under the null hypothesis that returns `f`, `num_df`, `den_df`; `label`; `type`; `cluster`, the name and number of
#'   the clusters.
#' @section Errors: `hlm_error_data` for an unknown type, cluster or method; `hlm_error_covariance` when clusters cut across random
#'   effects; `hlm_error_numerical` when CR3 does not exist.
#' @source Bell and McCaffrey (2002), *Survey Methodology* 28, 169-181; Pustejovsky and Tipton (2018), *Journal of Business and
#'   Economic Statistics* 36, 672-683.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' robust <- robust_inference(fit)
#' sqrt(diag(robust$vcov))
#' robust$df(c(0, 1))
#' @export
robust_inference <- function(fit, type = "CR2", cluster = NULL, ddf = "Satterthwaite") {
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  robust_inference_of(fit, type, cluster_argument(fit, substitute(cluster), parent.frame()), ddf)
}

# `cluster` as a value: other functions call this, since a variable of the data could have the name of their argument.
robust_inference_of <- function(fit, type = "CR2", cluster = NULL, ddf = "Satterthwaite") {
  type <- match_robust_type(type)
  ddf <- match_robust_ddf(ddf)
  unit <- resolve_cluster(fit, cluster)
  pieces <- robust_pieces(fit, type, unit)
  n_clusters <- length(unit$labels)
  df <- switch(ddf,
    Satterthwaite = function(l) robust_df(pieces, l), clusters = function(l) n_clusters - 1, asymptotic = function(l) Inf
  )
  joint <- if (ddf == "Satterthwaite") {
    v <- robust_matrix(fit, pieces)
    beta <- unname(fixef.hlm(fit))
    function(l, rhs = 0) robust_joint(pieces, l, drop(l %*% beta) - rhs, v)
  }
  words <- switch(ddf,
    Satterthwaite = "Satterthwaite's (Bell-McCaffrey) method", clusters = "clusters minus one degrees of freedom", asymptotic = "the normal distribution"
  )
  label <- paste0(words, ", ", type, " standard errors robust by ", unit$name, " (", n_clusters, " clusters)")
  c(
    new_inference(df, label, robust_matrix(fit, pieces), joint),
    list(type = type, cluster = list(name = unit$name, n = n_clusters))
  )
}

match_robust_ddf <- function(ddf) {
  known <- c("Satterthwaite", "clusters", "asymptotic", "none", "z")
  found <- if (is.character(ddf) && length(ddf) >= 1L) pmatch(tolower(ddf[[1L]]), tolower(known)) else NA
  if (is.na(found)) {
    abort_hlm("data", c(
      "{.arg ddf} = {.val {ddf}} cannot be combined with a robust covariance.",
      i = "Choose {.val Satterthwaite}, {.val clusters} (their number minus one) or {.val asymptotic}."
    ))
  }
  if (found > 3L) "asymptotic" else known[[found]]
}

# Rows of `l` in the basis of the pieces.
basis_contrasts <- function(pieces, l) matrix(l, ncol = nrow(pieces$back)) %*% pieces$back

# l'E_jX_j (J x p) and l'E_jV_jE_j'k (J) for contrasts of the basis.
contrast_leverage <- function(pieces, l) batch_apply(aperm(pieces$ex, c(1L, 3L, 2L)), matrix(l, nrow(pieces$score), length(l), byrow = TRUE))

contrast_variance <- function(pieces, l, k) drop(matrix(pieces$eve, nrow(pieces$score)) %*% as.double(outer(l, k)))

# 2 (tr P)^2 / (2 tr P^2).
robust_df <- function(pieces, l) {
  l <- drop(basis_contrasts(pieces, l))
  g <- contrast_variance(pieces, l, l)
  h <- contrast_leverage(pieces, l)
  square <- rowSums(h^2)
  sum(g - square)^2 / (sum(g^2) - 2 * sum(g * square) + sum(crossprod(h)^2))
}

# The AHT test with Zhang's (2012) degrees of freedom ("HTZ"): Q (eta - q + 1)/(eta q) against F(q, eta - q + 1).
robust_joint <- function(pieces, l, distance, v) {
  # independent rows by the model-based covariance, which is never singular; the robust one is when clusters are few
  half <- basis_contrasts(pieces, l)
  spectrum <- eigen(tcrossprod(half), symmetric = TRUE)
  rank <- sum(spectrum$values > max(sqrt(.Machine$double.eps) * spectrum$values[[1L]], 0))
  if (rank == 0L) return(list(f = NA_real_, num_df = NA_real_, den_df = NA_real_))
  turn <- t(spectrum$vectors[, seq_len(rank), drop = FALSE]) / sqrt(spectrum$values[seq_len(rank)])
  robust <- turn %*% l %*% v %*% t(turn %*% l)
  values <- eigen(robust, symmetric = TRUE, only.values = TRUE)$values
  possible <- values[[rank]] > 1e-10 * values[[1L]]
  eta <- if (possible) hotelling_df(pieces, turn %*% half) else NA_real_
  den_df <- eta - rank + 1
  if (!is.finite(den_df) || den_df <= 0) {
    warn_hlm("clusters", c(
      "There are too few clusters for a robust test of {rank} coefficients together.",
      i = "Test fewer coefficients at a time, or use {.code ddf = \"clusters\"}, knowing that it rejects too often."
    ))
    return(list(f = NA_real_, num_df = rank, den_df = NA_real_))
  }
  distance <- drop(turn %*% distance)
  list(f = sum(distance * solve(robust, distance)) * den_df / (eta * rank), num_df = rank, den_df = den_df)
}

# q (q + 1) over the summed variances of the entries of Omega^-1/2 V Omega^-1/2, Omega its expectation under the working model.
hotelling_df <- function(pieces, l) {
  q <- nrow(l)
  omega <- matrix(0, q, q)
  for (s in seq_len(q)) {
    for (t in seq_len(s)) {
      omega[s, t] <- omega[t, s] <- sum(contrast_variance(pieces, l[s, ], l[t, ])) -
        sum(contrast_leverage(pieces, l[s, ]) * contrast_leverage(pieces, l[t, ]))
    }
  }
  spectrum <- eigen(omega, symmetric = TRUE)
  if (min(spectrum$values) <= 1e-12 * spectrum$values[[1L]]) return(NA_real_)
  l <- spectrum$vectors %*% (crossprod(spectrum$vectors, l) / sqrt(spectrum$values))
  h <- lapply(seq_len(q), function(s) contrast_leverage(pieces, l[s, ]))
  squares <- lapply(h, function(a) rowSums(a^2))
  own <- lapply(seq_len(q), function(s) contrast_variance(pieces, l[s, ], l[s, ]))
  total <- 0
  for (s in seq_len(q)) {
    for (t in seq_len(q)) {
      g <- contrast_variance(pieces, l[s, ], l[t, ])
      cross <- crossprod(h[[t]], h[[s]])
      total <- total + sum(g^2) - 2 * sum(g * rowSums(h[[s]] * h[[t]])) + sum(cross * t(cross)) +
        sum(own[[s]] * own[[t]]) - sum(own[[s]] * squares[[t]]) - sum(own[[t]] * squares[[s]]) + sum(cross^2)
    }
  }
  q * (q + 1) / total
}
