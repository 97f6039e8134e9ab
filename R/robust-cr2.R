# The bias-reduced linearisation (CR2) of each cluster.
#
# A_j is the symmetric solution of A_j (V_j - X_j M X_j') A_j = V_j: A_j = C'(C (V_j - X_j M X_j') C')^(-1/2) C with V_j = C'C, the power a
# Moore-Penrose one (Pustejovsky & Tipton 2018, eqs. 6-8). With y = G^(-1/2) C^-T X_j: E_j = X_j'V_j^-1A_j = y'C.
# Rows with the same prior weight on which [Z X] takes few independent values are first turned (an orthogonal transformation leaves A_j
# what it is): outside the span of [Z X], V_j and A_j are multiples of the identity. So the cost of a cluster is cubic in the smaller of its rows and its
# random effects plus coefficients, not in its rows.

cr2_pieces <- function(fit, cluster, basis, whiten) {
  x <- basis$x %*% whiten
  parts <- lapply(seq_along(fit$design$terms), function(t) {
    list(z = basis$terms[[t]]$z %*% (basis$terms[[t]]$r %*% term_lambda(fit, t)), codes = fit$design$groups[[fit$design$terms[[t]]$group]]$codes)
  })
  inverse_weights <- if (is.null(fit$design$weights)) NULL else 1 / fit$design$weights
  p <- ncol(x)
  n_clusters <- length(cluster$labels)
  score <- matrix(0, n_clusters, p)
  ex <- eve <- array(0, c(n_clusters, p, p))
  rows_of <- split(seq_along(cluster$codes), cluster$codes)
  step <- local_progress(n_clusters, "Robust covariance (CR2)")
  for (j in seq_len(n_clusters)) {
    step(j)
    rows <- rows_of[[j]]
    block <- cluster_block(parts, rows, x[rows, , drop = FALSE], basis$e[rows], inverse_weights[rows])
    pieces <- cr2_block(block)
    score[j, ] <- pieces$score
    ex[j, , ] <- pieces$ex
    eve[j, , ] <- pieces$eve
  }
  list(score = score, ex = ex, eve = eve)
}

# list(x, e, v) of one cluster, turned into fewer rows where that pays.
cluster_block <- function(parts, rows, x, e, inverse_weights) {
  n <- length(rows)
  effects <- lapply(parts, function(part) list(z = part$z[rows, , drop = FALSE], codes = part$codes[rows]))
  size <- ncol(x) + sum(vapply(effects, function(part) ncol(part$z) * length(unique(part$codes)), 1L))
  if (n <= 1.5 * size) {
    v <- diag(inverse_weights %||% rep(1, n), n)
    for (part in effects) v <- v + same_group(tcrossprod(part$z), part$codes)
    return(list(x = x, e = e, v = v))
  }
  z <- do.call(cbind, lapply(effects, spread_effects))
  turned <- lapply(split(seq_len(n), inverse_weights %||% rep(1, n)), turn_rows, both = cbind(z, x), e = e)
  both <- do.call(rbind, lapply(turned, `[[`, "both"))
  sizes <- vapply(turned, function(part) nrow(part$both), 1L)
  noise <- rep(if (is.null(inverse_weights)) 1 else sort(unique(inverse_weights)), sizes)
  list(
    x = both[, ncol(z) + seq_len(ncol(x)), drop = FALSE], e = unlist(lapply(turned, `[[`, "e"), use.names = FALSE),
    v = diag(noise, length(noise)) + tcrossprod(both[, seq_len(ncol(z)), drop = FALSE])
  )
}

same_group <- function(v, codes) {
  if (all(codes == codes[[1L]])) v else v * outer(codes, codes, `==`)
}

# One column per group and effect.
spread_effects <- function(part) {
  if (all(part$codes == part$codes[[1L]])) return(part$z)
  codes <- match(part$codes, unique(part$codes))
  q <- ncol(part$z)
  out <- matrix(0, length(codes), q * max(codes))
  for (k in seq_len(q)) out[cbind(seq_along(codes), (codes - 1L) * q + k)] <- part$z[, k]
  out
}

# Coordinates of the rows in an orthonormal basis of the columns of [Z X]; what lies outside plays no part.
turn_rows <- function(rows, both, e) {
  both <- both[rows, , drop = FALSE]
  if (length(rows) <= ncol(both)) return(list(both = both, e = e[rows]))
  decomposition <- qr(both, tol = 1e-11)
  keep <- seq_len(ncol(both))
  list(both = qr.qty(decomposition, both)[keep, , drop = FALSE], e = qr.qty(decomposition, e[rows])[keep])
}

cr2_block <- function(block) {
  root <- chol(block$v)
  cx <- root %*% block$x
  half <- backsolve(root, block$x, transpose = TRUE)
  k <- tcrossprod(root)
  spectrum <- eigen(k %*% k - tcrossprod(cx), symmetric = TRUE)
  # A direction without variance once the cluster's own coefficients are fitted contributes nothing.
  keep <- spectrum$values > 1e-12 * max(1, spectrum$values[[1L]])
  vectors <- spectrum$vectors[, keep, drop = FALSE]
  y <- vectors %*% (crossprod(vectors, half) / sqrt(spectrum$values[keep]))
  list(
    score = drop(crossprod(y, root %*% block$e)), ex = crossprod(y, cx), eve = tcrossprod(crossprod(y, k))
  )
}
