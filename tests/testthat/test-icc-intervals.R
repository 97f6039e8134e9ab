test_that("the exact interval is that of McGraw & Wong (psych)", {
  fixture <- jsonlite::fromJSON(test_path("fixtures", "icc-exact.json"), simplifyDataFrame = FALSE)
  for (reference in fixture$models) {
    data <- fixture_data(c(reference, list(preprocess = "")))
    if (is.null(data)) next
    fit <- hlm(stats::as.formula(reference$formula), data)
    ours <- icc(fit, conf.int = TRUE, method = "exact")
    # shares are not negative here; psych's moment estimates can be
    expect_equal(c(ours$icc[[1]], ours$icc2[[1]]), pmax(reference$icc, 0), tolerance = 1e-5)
    expect_equal(c(ours$icc_lower[[1]], ours$icc2_lower[[1]]), pmax(reference$lower, 0), tolerance = 1e-7)
    expect_equal(c(ours$icc_upper[[1]], ours$icc2_upper[[1]]), pmax(reference$upper, 0), tolerance = 1e-7)
    expect_equal(c(ours$icc_lower[[2]], ours$icc_upper[[2]]), 1 - c(ours$icc_upper[[1]], ours$icc_lower[[1]]))
  }
  expect_error(icc(fit_therapy(), conf.int = TRUE, method = "exact"), class = "hlm_error_design")
  skip_if_not_installed("lme4")
  expect_error(icc(hlm(Reaction ~ 1 + (1 | Subject), lme4::sleepstudy[-1, ]), conf.int = TRUE, method = "exact"), class = "hlm_error_design")
})

test_that("delta intervals: logit scale, gradient by finite differences of the shares", {
  skip_if_not_installed("lme4")
  for (fit in list(fit_pastes(), fit_penicillin(), fit_therapy(), fit_gaps())) {
    table <- icc(fit, conf.int = TRUE, level = 0.9)
    components <- varcomp(fit)
    covariance <- attr(components, "vcov")
    at <- c(fit$core$sigma^2 * unlist(lapply(seq_along(fit$design$terms), function(t) {
      psi <- tcrossprod(term_lambda(fit, t))
      psi[lower.tri(psi, diag = TRUE)]
    })), fit$core$sigma^2)
    shares <- mean_shares(fit)
    coefficients <- level_coefficients(fit)
    noise <- mean(1 / design_weights(fit$design))
    value <- function(x) {
      variance <- c(drop(coefficients %*% x[-length(x)]), noise * x[length(x)])
      stats::qlogis(unlist(icc_values(t(variance), shares), use.names = FALSE))
    }
    gradient <- vapply(seq_along(at), function(k) {
      step <- replace(numeric(length(at)), k, 1e-5 * max(abs(at[[k]]), 1e-3))
      (value(at + step) - value(at - step)) / (2 * sum(step))
    }, numeric(2 * nrow(shares) + 1))
    half <- stats::qnorm(0.95) * sqrt(diag(gradient %*% covariance %*% t(gradient)))
    expected <- stats::plogis(cbind(value(at) - half, value(at) + half))
    one <- seq_len(nrow(table))
    expect_equal(cbind(table$icc_lower, table$icc_upper), expected[one, ], tolerance = 1e-5)
    two <- nrow(table) + seq_len(nrow(shares))
    expect_equal(cbind(table$icc2_lower, table$icc2_upper)[-nrow(table), , drop = FALSE], expected[two, , drop = FALSE], tolerance = 1e-5)
  }
})

test_that("the bootstrap is reproducible, near the exact interval, and leaves the generator alone", {
  skip_if_not_installed("lme4")
  fit <- hlm(travel ~ 1 + (1 | Rail), as.data.frame(nlme::Rail))
  set.seed(4)
  before <- .Random.seed
  boot <- icc(fit, conf.int = TRUE, method = "boot", nsim = 200, seed = 1)
  expect_identical(.Random.seed, before)
  expect_identical(icc(fit, conf.int = TRUE, method = "boot", nsim = 200, seed = 1), boot)
  expect_lt(boot$icc_lower[[1]], icc(fit)$icc[[1]])
  expect_gt(boot$icc_upper[[1]], icc(fit)$icc[[1]])
  # percentiles of the refits themselves
  direct <- vapply(simulate(fit, 20, seed = 1), function(column) icc(refit(fit, column))$icc[[1]], 0)
  expect_equal(
    unlist(icc(fit, conf.int = TRUE, method = "boot", nsim = 20, seed = 1)[1, c("icc_lower", "icc_upper")], use.names = FALSE),
    stats::quantile(direct, c(0.025, 0.975), names = FALSE)
  )
  expect_error(icc(fit, conf.int = TRUE, method = "boot", nsim = 1), class = "hlm_error_data")
  # rows padded by na.exclude
  expect_false(anyNA(icc(fit_gaps(), conf.int = TRUE, method = "boot", nsim = 3, seed = 1)$icc_lower))
})

test_that("ICC(2): harmonic mean at two levels, asked sizes, three levels", {
  skip_if_not_installed("lme4")
  d <- lme4::sleepstudy[-c(1:5, 20, 33:40), ]
  fit <- hlm(Reaction ~ 1 + (1 | Subject), d)
  v <- as.data.frame(VarCorr(fit))$vcov
  n <- 1 / mean(1 / table(d$Subject))
  expect_equal(icc(fit)$icc2[[1]], v[1] / (v[1] + v[2] / n))
  # Spearman-Brown from ICC(1) (Bliese 2000)
  share <- v[1] / sum(v)
  expect_equal(icc(fit, size = 7)$icc2[[1]], 7 * share / (1 + 6 * share))
  v <- as.data.frame(VarCorr(fit_pastes()))$vcov
  expect_equal(icc(fit_pastes(), size = c(batch = 5, cask = 4))$icc2, c(v[1] / (v[1] + v[3] / 4), v[2] / (v[2] + v[1] / 5 + v[3] / 20), NA))
  expect_equal(icc(fit_pastes(), size = c(batch = 3, cask = 2))$icc2, icc(fit_pastes())$icc2, tolerance = 1e-10)
  expect_equal(icc(fit_pastes())$icc2[1:2], reliability(fit_pastes())$reliability, tolerance = 1e-7)
  expect_error(icc(fit_pastes(), size = 3), class = "hlm_error_data")
  expect_error(icc(fit_pastes(), size = c(batch = 3, cask = 0)), class = "hlm_error_data")
  expect_error(icc(fit_penicillin(), size = c(plate = 3, sample = 2)), class = "hlm_error_data")
})

test_that("ICC(2) with unbalanced nested and crossed factors: the variance of a group's mean by hand", {
  fit <- fit_therapy()
  v <- icc(fit)$variance
  codes <- lapply(fit$design$groups, `[[`, "codes")
  error <- mean(vapply(seq_along(fit$design$groups[[2]]$levels), function(j) {
    inside <- table(codes[[1]][codes[[2]] == j])
    v[1] * sum((inside / sum(inside))^2) + v[3] / sum(inside)
  }, 0))
  expect_equal(icc(fit)$icc2[[2]], v[2] / (v[2] + error))
  skip_if_not_installed("lme4")
  v <- icc(fit_penicillin())$variance
  # every plate has each of the 6 samples once
  expect_equal(icc(fit_penicillin())$icc2[1:2], c(v[1] / (v[1] + v[2] / 6 + v[3] / 6), v[2] / (v[2] + v[1] / 24 + v[3] / 24)))
})

test_that("a variance of zero has no delta limits, and the print says so", {
  skip_if_not_installed("lme4")
  table <- icc(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2), conf.int = TRUE)
  expect_true(is.na(table$icc_lower[[1]]))
  expect_output(print(table), "method = \"boot\"")
  expect_error(icc(fit_pastes(), conf.int = TRUE, level = 2), class = "hlm_error_data")
  expect_output(print(icc(fit_pastes(), conf.int = TRUE)), "[0-9.]+ % to [0-9.]+ %")
})
