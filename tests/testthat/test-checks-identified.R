# The fit itself may end anywhere on a flat criterion, and says so.
quiet <- function(...) suppressWarnings(suppressMessages(hlm(...)), classes = "hlm_warning_convergence")

test_that("a random intercept of groups that the fixed effects tell apart is warned of", {
  set.seed(1)
  d <- data.frame(therapist = rep(1:6, each = 10), y = rnorm(60))
  d$clinic <- factor(d$therapist %% 2)
  d$school <- factor((d$therapist + 1) %/% 2)
  d$experience <- c(3, 9, 4, 1, 7, 2)[d$therapist]
  warned <- expect_warning(quiet(y ~ clinic * school + (1 | therapist), d), class = "hlm_warning_design")
  expect_match(conditionMessage(warned), "6 groups")
  expect_warning(quiet(y ~ factor(therapist) + (1 | therapist), d), class = "hlm_warning_design")
  expect_warning(quiet(y ~ poly(experience, 5) + (1 | therapist), d), class = "hlm_warning_design")
  # combinations of two factors
  d$session <- rep(1:2, 30)
  expect_warning(quiet(y ~ clinic * school + (1 | clinic:school), d), class = "hlm_warning_design")
  # one difference between therapists is left
  expect_silent(fit <- hlm(y ~ clinic + school + session + experience + (1 | therapist), d))
  expect_true(fit$core$status %in% c("converged", "boundary"))
  # the slope of a predictor that varies within therapists is another matter
  d$x <- rnorm(60)
  expect_no_warning(suppressMessages(hlm(y ~ clinic * school + x + (0 + x | therapist), d)), class = "hlm_warning_design")
})

test_that("units of a predictor do not decide", {
  set.seed(2)
  d <- data.frame(g = rep(1:3, each = 8), y = rnorm(24))
  d$a <- 1e9 * (d$g == 2)
  d$b <- 1e-9 * (d$g == 3)
  expect_warning(quiet(y ~ a + b + (1 | g), d), class = "hlm_warning_design")
  d$b <- 1e-9 * rnorm(24)
  expect_no_warning(suppressMessages(hlm(y ~ a + b + (1 | g), d)), class = "hlm_warning_design")
})
