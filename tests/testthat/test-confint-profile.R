profile_fixture_data <- function(fixture) {
  found <- new.env()
  if (fixture$package == "nlme") return(as.data.frame(getExportedValue("nlme", fixture$data)))
  utils::data(list = fixture$data, package = fixture$package, envir = found)
  found[[fixture$data]]
}

for (path in fixture_files("^profile-.*[.]json$")) {
  fixture <- read_fixture(path)
  test_that(paste("profile limits:", fixture$name), {
    skip_if_not_installed(fixture$package)
    fit <- hlm(stats::as.formula(fixture$formula), profile_fixture_data(fixture))
    ours <- confint_profile(fit)
    expect_equal(rownames(ours), fixture$parameters)
    theirs <- cbind(as.double(fixture$lower), as.double(fixture$upper))
    # lme4 fails on sigma of a fit with a zero variance: see the test below
    usable <- stats::complete.cases(theirs)
    width <- ours[usable, 2L] - ours[usable, 1L]
    expect_lt(max(abs(ours[usable, ] - theirs[usable, ]) / width), 1e-3)
  })
}

test_that("peers: an interval exists also beside a variance of zero (lme4's profile of sigma fails there)", {
  skip_if_not_installed("lme4")
  fixture <- read_fixture(test_path("fixtures", "profile-dyestuff2.json"))
  expect_true(is.na(as.double(fixture$upper)[[2L]]))
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2, REML = FALSE)
  # with the SD at zero throughout, sigma's likelihood is that of a plain sample: n log s2 + SS / s2
  y <- lme4::Dyestuff2$Yield
  ss <- sum((y - mean(y))^2)
  n <- length(y)
  rise <- function(sigma) n * log(sigma^2) + ss / sigma^2 - n * log(ss / n) - n - stats::qchisq(0.95, 1)
  exact <- c(stats::uniroot(rise, c(2, 3.7), tol = 1e-10)$root, stats::uniroot(rise, c(3.7, 7), tol = 1e-10)$root)
  # below the lower limit the SD stays zero as well (the batches differ less than chance), so the plain limit holds on both sides
  expect_equal(unname(confint_profile(fit, "sigma")[1L, ]), exact, tolerance = 1e-3)
})

test_that("variances are squares of SDs, correlations stay", {
  fit <- fit_therapy()
  sds <- confint_profile(fit, "theta_")
  variances <- confint_profile(fit, "theta_", scale = "variance")
  squared <- !startsWith(rownames(sds), "cor_")
  expect_equal(unname(variances[squared, ]), unname(sds[squared, ]^2))
  expect_equal(variances[!squared, , drop = FALSE], sds[!squared, , drop = FALSE])
  expect_true("sigma^2" %in% rownames(variances))
})

test_that("REML profiles of variance parameters lie about the REML estimates", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff)
  ml <- confint_profile(fit, "theta_")
  reml <- confint_profile(fit, "theta_", reml = TRUE)
  expect_gt(reml[1L, 2L], ml[1L, 2L])
  # the restricted likelihood of a balanced one-way layout in closed form: mean squares between (5 df) and within (24 df)
  y <- lme4::Dyestuff$Yield
  g <- rep(1:6, each = 5)
  within <- sum((y - ave(y, g))^2)
  between <- 5 * sum((tapply(y, g, mean) - mean(y))^2)
  d <- function(s2, t2) 24 * log(s2) + within / s2 + 5 * log(s2 + 5 * t2) + between / (s2 + 5 * t2)
  best <- stats::optim(c(7.8, 7.5), function(p) d(exp(p[1L]), exp(p[2L])), control = list(reltol = 1e-14, maxit = 5000))$value
  for (sigma in reml["sigma", ]) {
    rise <- stats::optimize(function(t2) d(sigma^2, t2), c(0, 2e4), tol = 1e-8)$objective - best
    expect_equal(rise, stats::qchisq(0.95, 1), tolerance = 1e-5)
  }
})
