# Replicates of a fit for whatever is computed from them. What follows from coefficients, variances and the design is a function of `draws`: list(beta, theta,
# sigma, free) with one row per replicate, as the core gives them; estimates_row() is the fit itself in that shape.

# Outcomes drawn from the model and the parameters fitted to each, as bootstrap(type = "parametric") does: list(fit, type, nsim, seed, beta, theta, ...).
draw_replicates <- function(fit, nsim, seed = NULL) {
  nsim <- check_nsim(nsim)
  local_seed(seed)
  boot <- list(fit = fit, type = "parametric", nsim = nsim, seed = check_boot_seed(NULL))
  boot <- c(boot, boot_draws(boot))
  if (!any(boot_usable(boot$status))) abort_hlm("numerical", "None of the {nsim} bootstrap samples could be fitted.")
  boot
}

boot_draws <- function(boot, threads = NULL) {
  options <- boot_options(boot, threads)
  call_progress(boot$nsim, "Bootstrap", function(progress) {
    engine_bootstrap(known_design(boot$fit), isTRUE(boot$fit$REML), boot$fit$core, c(options, list(progress = progress)))
  })
}

# The parameters of another model of the same rows, fitted to the same outcomes.
draw_beside <- function(boot, model) {
  control <- list(tests = "none", seed = 0, threads = hlm_threads(), max_iter = model$control$max_iter, tol = model$control$tol)
  pieces <- over_batches(boot, seq_len(boot$nsim), "Baseline", function(samples, part, done) {
    outcomes <- matrix(unlist(samples, use.names = FALSE), ncol = length(part))
    fitted <- engine_refit_many(known_design(model), isTRUE(model$REML), model$core, outcomes, c(control, nsim = length(part)))
    done(length(part))
    fitted
  })
  bind <- function(name) do.call(rbind, lapply(pieces, `[[`, name))
  list(
    beta = bind("beta"), theta = bind("theta"), free = bind("free"), sigma = unlist(lapply(pieces, `[[`, "sigma")),
    status = unlist(lapply(pieces, `[[`, "status"))
  )
}

# `use(samples, part, done)` for all replicates in `which`, a hundred samples at a time, fewer of big data: all outcomes at once would be nsim times the
# data. `done(k)` says that the k-th of the part is through.
over_batches <- function(boot, which, what, use) {
  step <- local_progress(length(which), what)
  size <- max(1, min(100, 1e7 %/% n_rows(boot$fit)))
  through <- 0L
  lapply(split(which, (seq_along(which) - 1L) %/% size), function(part) {
    samples <- engine_bootstrap_samples(known_design(boot$fit), isTRUE(boot$fit$REML), boot$fit$core, boot_options(boot), part)
    value <- use(samples, part, function(k) step(through + k))
    through <<- through + length(part)
    value
  })
}

# `value(sample, i)`, `size` numbers, of every replicate that can be used (rows; others are missing).
over_samples <- function(boot, size, what, value) {
  values <- matrix(NA_real_, boot$nsim, size)
  over_batches(boot, which(boot_usable(boot$status)), what, function(samples, part, done) {
    for (k in seq_along(part)) {
      values[part[[k]], ] <<- value(samples[[k]], part[[k]])
      done(k)
    }
  })
  values
}

# The fit at the parameters of a replicate, with the conditional modes of its sample.
replicate_fit <- function(boot, sample, i) {
  group <- boot_options(boot)$group
  sample_fit(boot$fit, sample, group, boot$theta[i, ], as.character(boot$status[[i]]), boot$free[i, ])
}

# Variances and covariances of the random effects, replicates x entries of theta_map().
effect_covariances <- function(fit, draws) {
  map <- theta_map(fit$design)
  values <- vapply(seq_len(nrow(map)), function(e) {
    row <- which(map$term == map$term[[e]] & map$row == map$row[[e]])
    col <- which(map$term == map$term[[e]] & map$row == map$col[[e]])
    row <- row[match(map$col[col], map$col[row])]
    draws$sigma^2 * rowSums(draws$theta[, row, drop = FALSE] * draws$theta[, col, drop = FALSE])
  }, draws$sigma)
  matrix(values, length(draws$sigma))
}

# Percentiles of named columns of values; replicates without an answer are counted, not used.
percentile_limits <- function(boot, values, level) {
  usable <- boot_usable(boot$status)
  report_replicates(boot, NULL)
  values <- values[usable, , drop = FALSE]
  report_undefined(colnames(values)[colSums(is.na(values)) %in% seq_len(nrow(values) - 1L)], "A share of a variance that is estimated as zero is undefined.")
  apply(values, 2L, stats::quantile, probs = c(1 - level, 1 + level) / 2, na.rm = TRUE, names = FALSE)
}

report_undefined <- function(names, hint) {
  if (!length(names)) return(invisible())
  warn_hlm("bootstrap", c(
    "{.val {names}} {?is/are} undefined in some replicates, which are left out: {?its interval describes/their intervals describe} the others only.",
    i = hint
  ))
}
