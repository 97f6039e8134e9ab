rlrt_data <- function(reference) fixture_data(c(reference, list(preprocess = "")))

test_that("statistic, p value and distribution are RLRsim's within Monte Carlo error", {
  fixture <- jsonlite::fromJSON(test_path("fixtures", "rlrt.json"), simplifyDataFrame = FALSE)
  for (reference in fixture$models) {
    data <- rlrt_data(reference)
    if (is.null(data)) next
    fit <- hlm(stats::as.formula(reference$formula), data)
    term <- if (!is.null(reference$tested)) "1 | batch"
    test <- rlrt(fit, term, seed = 3)
    expect_within(test$statistic, reference$statistic, 1e-5 * max(1, reference$statistic), reference$name)
    error <- function(p) 4 * sqrt(p * (1 - p) * (1 / 10000 + 1 / reference$draws)) + 2 / 10000
    expect_within(test$p.value, reference$p, error(reference$p), paste(reference$name, "p"))
    expect_within(test$mass.at.zero, reference$mass_at_zero, error(reference$mass_at_zero), paste(reference$name, "mass at zero"))
    share <- vapply(reference$quantiles, function(q) mean(test$sample <= q), 0)
    expect_within(share, reference$probs, error(reference$probs), paste(reference$name, "quantiles"))
  }
})

test_that("eigenvalues are those of Z'(I - H)Z, weights included", {
  d <- withr::with_seed(5, data.frame(g = sample(9, 70, TRUE), x = stats::rnorm(70), w = stats::runif(70, 0.5, 2), y = stats::rnorm(70)))
  for (formula in list(y ~ x + (1 | g), y ~ x + (0 + x | g))) {
    fit <- hlm(formula, d, weights = w)
    z <- as.matrix(design_matrix_z(fit)) * sqrt(d$w)
    expected <- eigen(crossprod(qr.resid(qr(kept_x(fit) * sqrt(d$w)), z)), symmetric = TRUE)$values
    expected <- expected[expected > 1e-9 * expected[[1]]]
    found <- rlrt_spectrum(fit, 1L)
    expect_equal(sort(rep(found$value, found$times)), sort(expected), tolerance = 1e-8)
  }
})

test_that("balanced groups share their eigenvalues, so that many persons are no problem", {
  d <- withr::with_seed(5, data.frame(g = rep(1:3000, each = 4), t = rep(1:4, 3000), y = stats::rnorm(12000)))
  fit <- hlm(y ~ t + (1 | g), d)
  found <- rlrt_spectrum(fit, 1L)
  expect_equal(found$size, 2999)
  expect_equal(rep(found$value, found$times), rep(4, 2999))
  uneven <- withr::with_seed(6, transform(d, z = stats::rnorm(12000)))
  expect_error(rlrt(hlm(y ~ t + (0 + z | g), uneven), nsim = 10), "2,000", class = "hlm_error_design")
})

test_that("results are reproducible from seed and from set.seed(), and the generator is put back", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff)
  set.seed(9)
  before <- .Random.seed
  a <- rlrt(fit, nsim = 500, seed = 1)
  expect_identical(.Random.seed, before)
  expect_identical(rlrt(fit, nsim = 500, seed = 1)$sample, a$sample)
  set.seed(10)
  b <- rlrt(fit, nsim = 500)
  set.seed(10)
  expect_identical(rlrt(fit, nsim = 500)$sample, b$sample)
})

test_that("a model fitted by ML is tested by REML, and the result says so", {
  skip_if_not_installed("lme4")
  ml <- rlrt(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff, REML = FALSE), nsim = 100, seed = 1)
  reml <- rlrt(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff), nsim = 100, seed = 1)
  expect_equal(ml$statistic, reml$statistic, tolerance = 1e-6)
  expect_match(ml$method, "fitted again by REML")
  expect_false(grepl("again", reml$method))
})

test_that("a variance estimated as zero has p = 1", {
  skip_if_not_installed("lme4")
  test <- rlrt(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2), nsim = 100)
  expect_equal(unname(test$statistic), 0)
  expect_equal(test$p.value, 1)
})

test_that("terms are found by text or number; others are refused with the reason", {
  skip_if_not_installed("lme4")
  expect_equal(rlrt(fit_pastes(), "(1|batch)", nsim = 50, seed = 1)$sample, rlrt(fit_pastes(), 2, nsim = 50, seed = 1)$sample)
  expect_match(rlrt(fit_pastes(), 2, nsim = 50)$method, "Greven")
  expect_error(rlrt(fit_pastes()), "which one", class = "hlm_error_data")
  expect_error(rlrt(fit_pastes(), "1 | school"), class = "hlm_error_data")
  expect_error(rlrt(fit_sleep()), "correlated", class = "hlm_error_design")
  expect_error(rlrt(fit_pastes(), 1, nsim = 0), class = "hlm_error_data")
  expect_error(rlrt(stats::lm(dist ~ speed, cars)), class = "hlm_error_data")
  expect_output(print(rlrt(fit_pastes(), 2, nsim = 50)), "RLRT = 0[.]65")
})
