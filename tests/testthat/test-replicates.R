# Everything that is computed from the core's replicates against the loop one would write: refit() to the same outcomes, and the function of each refit.

# Nested levels, ML, weights with an offset and na.exclude, a dropped column, correlated residuals.
replicate_fits <- function() {
  d <- therapy_data()
  d$twice <- 2 * d$female
  list(
    nested = fit_therapy(), gaps = fit_gaps(), serial = fit_serial(),
    ml = hlm(distress ~ wb(alliance) + (1 + alliance + session | therapist / patient), d, REML = FALSE),
    dropped = suppressMessages(hlm(distress ~ female + twice + within(alliance) + (1 | patient), d))
  )
}

refits <- function(fit, n = 6L, seed = 4) lapply(simulate(fit, n, seed = seed), function(y) suppressWarnings(refit(fit, y)))

limits_of <- function(values, level = 0.9) {
  unname(t(apply(values, 1L, stats::quantile, probs = c(1 - level, 1 + level) / 2, na.rm = TRUE, names = FALSE)))
}

test_that("intervals of R squared are those of a loop over refits", {
  skip_if_not_installed("lme4")
  fits <- c(replicate_fits(), list(crossed = fit_penicillin()))
  for (name in names(fits)) {
    fit <- fits[[name]]
    again <- refits(fit)
    methods <- switch(name, crossed = c("nakagawa", "reduction"), serial = c("rights-sterba", "nakagawa", "reduction"), names(r2_methods()))
    for (method in methods) {
      found <- suppressWarnings(r2(fit, method, conf.int = TRUE, conf.level = 0.9, nsim = 6, seed = 4))
      key <- paste(found$measures$measure, found$measures$of)
      direct <- vapply(again, function(one) {
        own <- r2(one, method)$measures
        value <- own$estimate[match(key, paste(own$measure, own$of))]
        # a part that a replicate estimates as zero is not listed
        ifelse(key %in% paste(own$measure, own$of), value, 0)
      }, numeric(length(key)))
      direct <- matrix(direct, length(key))
      # shares are numbers about one: their own unit
      expect_lt(max(abs(as.matrix(found$measures[c("lower", "upper")]) - limits_of(direct))), 1e-6, label = paste(name, method))
    }
  }
})

test_that("a baseline with predictors and slopes of its own is fitted to the same outcomes", {
  fit <- fit_therapy()
  baseline <- hlm(distress ~ session + (1 + session || patient) + (1 | therapist), therapy_data())
  found <- r2(fit, "reduction", baseline = baseline, conf.int = TRUE, conf.level = 0.9, nsim = 6, seed = 4)$measures
  direct <- vapply(simulate(fit, 6, seed = 4), function(y) {
    suppressWarnings(r2(refit(fit, y), "reduction", baseline = refit(baseline, y))$measures$estimate)
  }, numeric(nrow(found)))
  expect_equal(unname(as.matrix(found[c("lower", "upper")])), limits_of(direct), tolerance = 1e-6)
})

test_that("intervals of intraclass correlations are those of a loop over refits, the correlation of residuals of each included", {
  skip_if_not_installed("lme4")
  for (fit in c(replicate_fits(), list(fit_penicillin()))) {
    again <- refits(fit)
    found <- icc(fit, conf.int = TRUE, method = "boot", level = 0.9, nsim = 6, seed = 4)
    direct <- lapply(c(icc = "icc", icc2 = "icc2"), function(column) vapply(again, function(one) icc(one)[[column]], numeric(nrow(found))))
    expect_equal(unname(as.matrix(as.data.frame(found)[c("icc_lower", "icc_upper")])), limits_of(direct$icc), tolerance = 1e-6)
    kept <- -nrow(found)
    expect_equal(unname(as.matrix(as.data.frame(found)[kept, c("icc2_lower", "icc2_upper")])), limits_of(direct$icc2[kept, , drop = FALSE]), tolerance = 1e-6)
  }
})

test_that("standard errors of standardised effects are those of a loop over refits", {
  skip_if_not_installed("lme4")
  for (fit in c(replicate_fits(), list(fit_hetero()))) {
    again <- refits(fit)
    for (method in c("within-person", "pooled", "total")) {
      found <- standardize(fit, method, se = "bootstrap", nsim = 6, seed = 4)
      direct <- vapply(again, function(one) standardize(one, method)$estimate, numeric(nrow(found)))
      expect_equal(found$std.error, apply(matrix(direct, nrow(found)), 1L, stats::sd), tolerance = 1e-6)
    }
  }
})

test_that("the number of threads changes nothing, and set.seed() makes results reproducible", {
  fit <- fit_therapy()
  answer <- function(threads) {
    withr::local_options(wbhlm.threads = threads)
    set.seed(8)
    list(
      r2(fit, conf.int = TRUE, nsim = 10), r2(fit, "snijders-bosker", conf.int = TRUE, nsim = 10), icc(fit, conf.int = TRUE, method = "boot", nsim = 10),
      standardize(fit, se = "bootstrap", nsim = 10)
    )
  }
  expect_identical(answer(1), answer(2))
})

# Outcomes so far from zero that residuals are a few units of the last digit: about half of the outcomes drawn are constant, or all.
fit_far_away <- function(sigma) {
  d <- withr::with_seed(1, data.frame(patient = rep(1:6, each = 3), x = rep(0:2, 6), y = stats::rnorm(6)[rep(1:6, each = 3)] + stats::rnorm(18)))
  fit <- hlm(y ~ x + (1 | patient), d)
  fit$core$beta[[1L]] <- 1e16
  fit$core$theta <- 0
  fit$core$sigma <- sigma
  fit
}

test_that("replicates without an answer are counted, said and shown", {
  fit <- fit_far_away(0.5)
  draws <- draw_replicates(fit, 30, 1)
  usable <- boot_usable(draws$status)
  lost <- sum(!usable)
  expect_true(lost > 5L && lost < 25L)
  said <- paste(lost, "of 30 replicates")
  shown <- paste0("(30 samples, ", lost, " of them without an answer)")
  expect_warning(found <- icc(fit, conf.int = TRUE, method = "boot", nsim = 30, seed = 1), said, class = "hlm_warning_bootstrap")
  expect_identical(attr(found, "interval")$status, draws$status)
  expect_output(print(found), shown, fixed = TRUE)
  direct <- icc_values(level_variances(fit, draws), mean_shares(fit))$icc[usable, 1L]
  expect_equal(c(found$icc_lower[[1L]], found$icc_upper[[1L]]), stats::quantile(direct, c(0.025, 0.975), names = FALSE))
  for (method in c("rights-sterba", "snijders-bosker")) {
    # another warning: of no variance between persons a share is undefined
    suppressWarnings(
      expect_warning(shares <- r2(fit, method, conf.int = TRUE, nsim = 30, seed = 1), said, class = "hlm_warning_bootstrap")
    )
    expect_identical(shares$status, draws$status)
    expect_equal(shares$failed, lost)
    expect_output(print(shares), shown, fixed = TRUE)
  }
  expect_warning(effects <- standardize(fit, "total", se = "bootstrap", nsim = 30, seed = 1), said, class = "hlm_warning_bootstrap")
  expect_identical(attr(effects, "status"), draws$status)
  expect_output(print(effects), shown, fixed = TRUE)
  by_hand <- mapply(function(y, beta) beta * stats::sd(fit$data$x) / stats::sd(y), simulate(fit, 30, seed = 1), draws$beta[, 2L])
  expect_equal(effects$std.error, stats::sd(by_hand[usable]), tolerance = 1e-10)
})

test_that("without any answer there is an error", {
  fit <- fit_far_away(0.05)
  expect_error(icc(fit, conf.int = TRUE, method = "boot", nsim = 5, seed = 1), "None of the 5", class = "hlm_error_numerical")
  expect_error(r2(fit, conf.int = TRUE, nsim = 5, seed = 1), "None of the 5", class = "hlm_error_numerical")
  expect_error(standardize(fit, "total", se = "bootstrap", nsim = 5, seed = 1), "None of the 5", class = "hlm_error_numerical")
})

test_that("a share of a variance that some replicates estimate as zero is said to be undefined", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  fit$core$theta <- 0.2
  expect_warning(r2(fit, "reduction", conf.int = TRUE, nsim = 20, seed = 1), "undefined in some replicates", class = "hlm_warning_bootstrap")
})

test_that("covariances of all replicates at once are those of each", {
  skip_if_not_installed("lme4")
  fit <- hlm(distress ~ 1 + (1 + alliance + session | patient) + (1 + session || therapist), therapy_data())
  draws <- draw_replicates(fit, 5, 1)
  map <- theta_map(fit$design)
  expected <- t(vapply(1:5, function(i) {
    draws$sigma[[i]]^2 * unlist(lapply(seq_along(fit$design$terms), function(t) {
      own <- map[map$term == t, ]
      tcrossprod(term_lambda(fit, t, draws$theta[i, ]))[cbind(own$row, own$col)]
    }))
  }, numeric(nrow(map))))
  expect_equal(effect_covariances(fit, draws), expected, tolerance = 1e-13)
})

test_that("the correlation of the rows of a mean is that of dense matrices, whatever the order of rows and phi", {
  d <- serial_data()
  d <- withr::with_seed(3, d[sample(nrow(d)), ])
  d$rater <- (match(d$person, unique(d$person)) - 1) %/% 3
  fit <- hlm(y ~ x + session + (1 | rater / person), d, time = session, weights = w, residual = "ar1")
  phi <- c(-0.4, 0.2, 0.7)
  found <- correlated_shares(fit, phi)
  for (i in seq_along(phi)) {
    r <- structured_r(fit, atanh(phi[[i]]))
    r <- r / mean(diag(r))
    expected <- vapply(fit$design$groups, function(group) {
      mean(vapply(split(seq_len(nrow(r)), group$codes), function(rows) sum(r[rows, rows]) / length(rows)^2, 0))
    }, 0)
    expect_equal(found[i, ], expected, tolerance = 1e-12)
  }
})
