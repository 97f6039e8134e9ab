test_that("VarCorr() and its data frame are lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- VarCorr(pair[[1L]])
    theirs <- lme4::VarCorr(pair[[2L]])
    expect_equal(names(ours), names(theirs))
    for (t in seq_along(ours)) {
      expect_equal(ours[[t]], theirs[[t]], tolerance = 1e-4, ignore_attr = c("class", "diagonal"))
      expect_equal(attr(ours[[t]], "stddev"), attr(theirs[[t]], "stddev"), tolerance = 1e-4)
    }
    expect_equal(attr(ours, "sc"), attr(theirs, "sc"), tolerance = 1e-5)
    for (order in c("cov.last", "lower.tri")) {
      expect_equal(as.data.frame(ours, order = order), as.data.frame(theirs, order = order), tolerance = 1e-4)
    }
  }
})

test_that("a diagonal structure reports no covariances", {
  fit <- fit_therapy()
  fit$design$terms[[1L]]$structure <- "diagonal"
  fit$core$theta <- c(0.8, 0.3, 0.5)
  table <- as.data.frame(VarCorr(fit))
  expect_true(all(is.na(table$var2)))
  expect_equal(table$sdcor[[2L]], 0.3 * sigma(fit))
})

test_that("VarCorr() prints standard deviations and correlations aligned", {
  lines <- utils::capture.output(print(VarCorr(fit_therapy())))
  expect_match(lines[[1L]], "Groups +Name +Std.Dev. +Corr")
  expect_match(lines[[length(lines)]], "^ Residual")
  expect_match(paste(utils::capture.output(print(VarCorr(fit_therapy()), comp = "Variance")), collapse = " "), "Variance")
})

test_that("a variance of zero prints a dash for the correlation it leaves undefined", {
  # synthetic: the slopes of x do not differ between persons, by construction
  d <- data.frame(person = rep(1:10, each = 4), x = rep(c(-1, 0, 0, 1), 10))
  d$y <- rep(1:10, each = 4) + 0.1 * rep(c(1, -1, -1, 1), 10)
  fit <- hlm(y ~ x + (x | person), d)
  expect_equal(attr(VarCorr(fit)$person, "stddev")[["x"]], 0)
  lines <- utils::capture.output(print(VarCorr(fit)))
  expect_no_match(lines, "NaN")
  expect_match(lines[[3L]], "x +0(\\.0+)? +-$")
  expect_identical(as.data.frame(VarCorr(fit))$sdcor[[3L]], NaN)
})
