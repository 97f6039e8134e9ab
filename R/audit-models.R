# The small models behind audit(): each variable alone, fitted once and kept while the audit runs.

audit_cached <- function(a, key, make) {
  if (!exists(key, envir = a$cache, inherits = FALSE)) assign(key, make(), envir = a$cache)
  get(key, envir = a$cache)
}

# hlm() on one variable, or NULL where the data do not give the model.
audit_fit <- function(formula, data) {
  tryCatch(
    suppressMessages(suppressWarnings(hlm(formula, data, control = hlm_control()))), hlm_error = function(e) NULL
  )
}

# Random intercepts only: variance between and within, ICC(1), reliability of the person's mean.
audit_icc <- function(a, name) {
  audit_cached(a, paste("icc", name), function() {
    x <- a$columns[[name]]
    use <- !is.na(x)
    # constant within everyone or in all: no model, the shares are plain
    counts <- audit_counts(a, x)
    if (!any(counts > 1L)) return(NULL)
    spread <- sum(audit_centred(a, x)[use]^2)
    total <- sum((x[use] - mean(x[use]))^2)
    if (spread <= 1e-12 * total || total == 0) return(list(icc = 1, reliability = 1, within = 0, between = total / sum(use)))
    fit <- audit_fit(value ~ 1 + (1 | person), data.frame(value = x[use], person = a$person[use]))
    if (is.null(fit)) return(NULL)
    shares <- icc.hlm(fit)
    list(
      icc = shares$icc[[1L]], reliability = shares$icc2[[1L]], between = shares$variance[[1L]], within = shares$variance[[2L]]
    )
  })
}

# x ~ time + (time | person), time counted in ranges of the data: the average change over the whole range, the SD of persons' changes, its test
# against none (a variance and a covariance at the boundary: Stram & Lee 1994), and the reliability of a person's own slope.
audit_trend <- function(a, name) {
  audit_cached(a, paste("trend", name), function() {
    x <- a$columns[[name]]
    use <- !is.na(x)
    span <- diff(range(a$time[use]))
    icc <- audit_icc(a, name)
    if (span == 0 || is.null(icc) || icc$within == 0) return(NULL)
    data <- data.frame(value = x[use], person = a$person[use], time = (a$time[use] - mean(a$time[use])) / span)
    fit <- audit_fit(value ~ time + (time | person), data)
    flat <- audit_fit(value ~ time + (1 | person), data)
    if (is.null(flat)) return(NULL)
    best <- fit %||% flat
    estimate <- fixef.hlm(best)[["time"]]
    se <- sqrt(diag(best$core$vcov))[[2L]]
    out <- list(
      change = estimate, p = 2 * stats::pt(-abs(estimate / se), a$n_persons - 1), sd_within = sqrt(icc$within), span = span,
      sd_change = 0, p_slopes = 1, reliability = NA_real_
    )
    if (!is.null(fit)) {
      out$sd_change <- sqrt(effect_variances(fit, 1L)[["time"]])
      lrt <- max(0, flat$core$criterion - fit$core$criterion)
      out$p_slopes <- mean(stats::pchisq(lrt, 1:2, lower.tail = FALSE))
      rel <- reliability.hlm(fit)
      out$reliability <- rel$reliability[rel$term == "time"]
    }
    out
  })
}

# A trend that matters: over the whole time at least 0.3 within-person SDs on average, or as much between persons, and not by chance.
has_average_trend <- function(trend) !is.null(trend) && trend$p < 0.01 && abs(trend$change) > 0.3 * trend$sd_within

has_own_trends <- function(trend) !is.null(trend) && trend$p_slopes < 0.01 && trend$sd_change > 0.3 * trend$sd_within

# Values minus each person's own straight line over time, rows without a line missing.
audit_detrended <- function(a, x) {
  use <- !is.na(x)
  t <- ifelse(use, a$time, NA)
  t <- audit_centred(a, t)
  x <- audit_centred(a, x)
  sxx <- engine_group_sums(t^2, a$person, a$n_persons)
  sxy <- engine_group_sums(t * x, a$person, a$n_persons)$sum
  slope <- ifelse(sxx$sum > 0 & sxx$count > 2L, sxy / sxx$sum, NA)
  x - slope[a$person] * t
}

# Correlation over rows, of what both have.
audit_cor <- function(x, y) {
  use <- !is.na(x) & !is.na(y)
  if (sum(use) < 10L || stats::sd(x[use]) < 1e-10 || stats::sd(y[use]) < 1e-10) return(NA_real_)
  stats::cor(x[use], y[use])
}

# Autoregression of a variable within persons: the slope on the value one session before with person means taken out, and the same corrected
# for the means' own bias (Nickell 1981) at the average number of pairs per person.
audit_autoregression <- function(a, name) {
  audit_cached(a, paste("ar", name), function() {
    # the average course over time taken out
    x <- a$columns[[name]]
    time <- match(a$time, a$grid$times)
    at <- engine_group_sums(x, ifelse(is.na(time), 0L, time), length(a$grid$times))
    x <- x - ifelse(at$count > 1L, at$sum / at$count, NA)[time]
    before <- audit_lag(a, x)
    pair <- !is.na(x) & !is.na(before)
    n <- tabulate(a$person[pair], a$n_persons)
    pair <- pair & n[a$person] > 1L
    if (sum(pair) < 20L) return(NULL)
    y <- audit_centred(a, ifelse(pair, x, NA))[pair]
    z <- audit_centred(a, ifelse(pair, before, NA))[pair]
    if (sum(z^2) < 1e-12) return(NULL)
    rho <- sum(z * y) / sum(z^2)
    # pairs per person, weighted by what each person adds
    pairs <- sum(n[n > 1L]) / sum(n > 1L)
    corrected <- audit_solve_nickell(rho, pairs)
    list(estimate = rho, rho = corrected, pairs = pairs, z = (rho - nickell_formula(0, pairs)) * sqrt(length(y)))
  })
}

# The autoregression whose biased estimate this is; only for positive ones (a negative one is no reason for concern).
audit_solve_nickell <- function(estimate, pairs) {
  off <- function(rho) rho + nickell_formula(rho, pairs) - estimate
  if (off(0) >= 0) return(min(0, estimate - nickell_formula(0, pairs)))
  if (off(0.97) <= 0) return(0.97)
  stats::uniroot(off, c(0, 0.97))$root
}
