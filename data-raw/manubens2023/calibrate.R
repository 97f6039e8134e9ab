# Moves a simulated data set to the published figures by Gauss-Newton steps of minimal length: with J the Jacobian of the
# scaled statistics in all 662 values, the step J'(JJ' + mu I)^{-1} r changes the data as little as possible.

# Statistics that no figure fixes, kept away from degenerate fits: correlations of random intercept and slope.
soft_targets <- data.frame(
  id = c("time.cor", "detrended.cor", "interactive.cor"), goal = c(-0.15, 0.1, 0), scale = c(0.2, 0.2, 0.2)
)

scaled_residuals <- function(d, targets, starts) {
  s <- paper_statistics(d, starts)
  (targets$goal - s[targets$id]) / targets$scale
}

# Forward differences: the statistics are smooth, and each evaluation fits nine models.
jacobian <- function(d, targets, starts, h = 1e-3) {
  base <- scaled_residuals(d, targets, starts)
  column <- function(cell) {
    n <- nrow(d)
    name <- if (cell <= n) "ans" else "oq"
    i <- (cell - 1L) %% n + 1L
    d[[name]][i] <- d[[name]][i] + h
    (base - scaled_residuals(d, targets, starts)) / h
  }
  do.call(cbind, parallel::mclapply(seq_len(2L * nrow(d)), column, mc.cores = 2L))
}

calibrate <- function(d, targets, steps = 10L, verbose = TRUE) {
  starts <- new_starts()
  r <- scaled_residuals(d, targets, starts)
  for (k in seq_len(steps)) {
    j <- jacobian(d, targets, starts)
    best <- NULL
    for (length in c(1, 0.5, 0.25)) for (mu in c(1e-11, 1e-9, 1e-7, 1e-5, 1e-3) * max(diag(tcrossprod(j)))) {
      # Residuals far from target are approached in part, where the linearisation still holds.
      move <- crossprod(j, solve(tcrossprod(j) + diag(mu, nrow(j)), length * r))
      candidate <- d
      candidate$ans <- bound(d$ans + move[seq_len(nrow(d))], 1.25, 6.98)
      candidate$oq <- bound(d$oq + move[-seq_len(nrow(d))], 0.02, 3.8)
      value <- tryCatch(scaled_residuals(candidate, targets, starts), error = function(e) NULL)
      if (is.null(value) || anyNA(value)) next
      if (is.null(best) || sum(value^2) < sum(best$r^2)) best <- list(r = value, d = candidate, size = sqrt(mean(move^2)))
    }
    if (is.null(best) || sum(best$r^2) > 0.999 * sum(r^2)) break
    d <- best$d
    r <- best$r
    if (verbose) message(sprintf("step %d: misfit %.4g, largest %.2f, root mean square change %.3f", k, sum(r^2), max(abs(r)), best$size))
    if (max(abs(r)) < 1) break
  }
  d
}
