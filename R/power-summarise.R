# What replicates say about each effect, with Monte-Carlo intervals (Morris, White & Crowther 2019, Stat Med 38:2074, table 6).

# One row per effect; see the documentation of power_hlm().
summarise_cell <- function(cell, draws, settings) {
  if (settings$ddf %in% c("between-within", "residual", "asymptotic")) draws$df <- replicate_df(cell, draws, settings$ddf)
  effects <- cell$effects
  coefficients <- which(effects$kind != "variance")
  rows <- lapply(seq_along(coefficients), function(j) {
    summarise_coefficient(draws$beta[, j], draws$se[, j], draws$df[, j], boot_usable(draws$status), effects$truth[[coefficients[[j]]]], settings)
  })
  variances <- which(effects$kind == "variance")
  rows <- c(rows, lapply(seq_along(variances), function(j) summarise_variance(cell, draws, j, effects$truth[[variances[[j]]]], settings)))
  table <- do.call(rbind, rows)
  quantity <- ifelse(is.na(effects$truth), NA_character_, ifelse(effects$truth == 0, "type-I error", "power"))
  cbind(effects[c("effect", "term", "label", "kind", "truth")], quantity = quantity, table, stringsAsFactors = FALSE)
}

summarise_coefficient <- function(estimate, se, df, usable, truth, settings) {
  ok <- usable & is.finite(estimate) & is.finite(se) & se > 0 & !is.na(df) & df > 0
  critical <- stats::qt(1 - settings$alpha / 2, df[ok])
  distance <- abs(estimate[ok] - truth)
  measures(
    estimate[ok], se[ok], significant = abs(estimate[ok] / se[ok]) > critical, covered = distance <= critical * se[ok], truth = truth,
    settings = settings, df = if (any(ok)) stats::median(df[ok]) else NA_real_
  )
}

# A likelihood ratio test of one variance and its covariances: half chi-square with as many df as covariances, half with one more (Self & Liang 1987,
# case 6; Stram & Lee 1994), as ranova() has it.
summarise_variance <- function(cell, draws, j, truth, settings) {
  place <- cell$variances[[j]]
  smaller <- draws$reduced[[j]]
  sd <- column_sd(draws, cell$shapes, place$t, place$k)
  lrt <- pmax(0, smaller$criterion - draws$criterion)
  ok <- boot_usable(draws$status) & boot_usable(smaller$status) & is.finite(lrt) & is.finite(sd)
  significant <- vapply(lrt[ok], chibar_p, 0, base = place$base, weights = c(0.5, 0.5)) < settings$alpha
  measures(sd[ok], NULL, significant, NULL, truth, settings)
}

# SD of a random effect's column from theta (lme4's order) and sigma.
column_sd <- function(draws, shapes, t, k) {
  size <- vapply(shapes, function(shape) if (shape$structure == "diagonal") shape$q else as.integer(shape$q * (shape$q + 1L) / 2L), 0L)
  start <- sum(size[seq_len(t - 1L)])
  if (shapes[[t]]$structure == "diagonal") return(draws$sigma * abs(draws$theta[, start + k]))
  place <- which(lower.tri(diag(shapes[[t]]$q), diag = TRUE), arr.ind = TRUE)
  columns <- start + which(place[, 1L] == k)
  draws$sigma * sqrt(rowSums(draws$theta[, columns, drop = FALSE]^2))
}

# The figures of one effect. Replicates that are not usable count as not significant in `power`.
measures <- function(estimate, se, significant, covered, truth, settings, df = NA_real_) {
  level <- settings$conf.level
  n <- settings$nsim
  usable <- length(estimate)
  sure <- estimate[significant]
  nonzero <- !is.na(truth) && truth != 0 && !is.null(se)
  figure <- function(name, value) stats::setNames(as.list(value), paste0(name, c("", "_lower", "_upper")))
  none <- rep(NA_real_, 3L)
  as.data.frame(c(
    list(nsim = n, usable = usable, significant = sum(significant)),
    figure("power", share_interval(sum(significant), n, level)),
    figure("power_usable", share_interval(sum(significant), usable, level)),
    figure("estimate", mean_interval(estimate, level)),
    figure("bias", if (is.na(truth)) none else mean_interval(estimate - truth, level)),
    figure("se_empirical", sd_interval(estimate, level)),
    figure("se_model", if (is.null(se)) none else mean_interval(se, level)),
    figure("coverage", if (is.null(covered) || is.na(truth)) none else share_interval(sum(covered), usable, level)),
    figure("type_s", if (nonzero) share_interval(sum(sign(sure) != sign(truth)), length(sure), level) else none),
    figure("type_m", if (nonzero) mean_interval(abs(sure) / abs(truth), level) else none),
    list(df = df)
  ))
}

# Wilson (1927), J Am Stat Assoc 22:209.
share_interval <- function(count, n, level) {
  if (n == 0L) return(rep(NA_real_, 3L))
  z <- stats::qnorm(1 - (1 - level) / 2)
  p <- count / n
  centre <- (p + z^2 / (2 * n)) / (1 + z^2 / n)
  half <- z / (1 + z^2 / n) * sqrt(p * (1 - p) / n + z^2 / (4 * n^2))
  # exact at the ends, where rounding may miss 0 and 1
  c(p, if (count == 0L) 0 else centre - half, if (count == n) 1 else centre + half)
}

mean_interval <- function(x, level) {
  n <- length(x)
  if (n < 2L) return(c(if (n == 1L) x else NA_real_, NA_real_, NA_real_))
  half <- stats::qt(1 - (1 - level) / 2, n - 1) * stats::sd(x) / sqrt(n)
  mean(x) + c(0, -half, half)
}

sd_interval <- function(x, level) {
  n <- length(x)
  if (n < 2L) return(rep(NA_real_, 3L))
  tail <- (1 - level) / 2
  stats::sd(x) * c(1, sqrt((n - 1) / stats::qchisq(c(1 - tail, tail), n - 1)))
}

# Degrees of freedom that need no computation in the core: of every replicate and coefficient (and contrast).
replicate_df <- function(cell, draws, ddf) {
  p <- ncol(draws$beta)
  n <- nrow(draws$beta)
  if (ddf == "asymptotic") return(matrix(Inf, n, p))
  k <- p - NROW(cell$contrasts %||% matrix(0, 0L, 0L))
  if (ddf == "residual") return(matrix(draws$rows - k, n, p))
  if (!is.null(cell$bw_df)) return(matrix(cell$bw_df, n, p, byrow = TRUE))
  bw <- replicate_bw_df(cell$levels, draws)
  if (k == p) return(bw)
  contrast <- apply(cell$contrasts, 1L, function(l) do.call(pmin, lapply(which(l != 0), function(j) bw[, j])))
  cbind(bw, contrast)
}

# The rule of ddf = "between-within" (see hlm-ddf) for the numbers of rows, patients and therapists of each replicate.
replicate_bw_df <- function(levels, draws) {
  level <- levels$level
  used <- function(k) sum(level == k)
  therapists <- if (levels$therapist) draws$therapists - 1 - used(3L)
  above <- if (levels$therapist) draws$therapists else 1
  df <- list(draws$rows - draws$persons - used(1L), draws$persons - above - used(2L), therapists)
  largest <- do.call(pmax, df[!vapply(df, is.null, NA)])
  value <- vapply(level, function(l) as.double(if (l == 0L) largest else df[[l]]), numeric(nrow(draws$beta)))
  value[value <= 0] <- NA_real_
  matrix(value, nrow(draws$beta))
}
