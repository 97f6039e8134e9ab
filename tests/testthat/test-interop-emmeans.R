skip_if_not_installed("emmeans")

numbers <- function(table) {
  table <- suppressMessages(as.data.frame(table))
  as.list(table[vapply(table, is.numeric, NA)])
}

test_that("means, trends, contrasts and joint tests are those of emmeans on lmer() fits with hand-made columns", {
  checked <- 0L
  for (model in ddf_models("emmeans")) {
    fit <- ddf_fit(model)
    if (is.null(fit)) next
    for (method in names(model$tables)) {
      withr::local_options(wbhlm.ddf = method)
      for (call in names(model$calls)) {
        ours <- numbers(eval(parse(text = model$calls[[call]])))
        expect_equal(ours, model$tables[[method]][[call]], tolerance = 1e-5, label = paste(model$name, method, call))
        checked <- checked + 1L
      }
    }
  }
  expect_gte(checked, 10L)
})

emm_fit <- function() ddf_fit(ddf_models("emmeans", "implement"))

test_that("trends of a within-person effect differ by treatment as the coefficients say", {
  fit <- emm_fit()
  trends <- numbers(emmeans::emtrends(fit, ~ arm, var = "wai_within"))$wai_within.trend
  beta <- fixef(fit)
  expect_equal(trends, unname(beta[["wai_within"]] + c(0, beta[["wai_within:armcontrol"]])), tolerance = 1e-6)
})

test_that("the methods for the degrees of freedom are taken by each of their names", {
  fit <- emm_fit()
  mean_df <- function(...) numbers(emmeans::emmeans(fit, ~ arm, ...))$df
  expect_equal(mean_df(ddf = "none"), c(Inf, Inf))
  expect_equal(mean_df(mode = "asymptotic"), c(Inf, Inf))
  expect_equal(mean_df(lmer.df = "residual"), rep(stats::nobs(fit) - 6, 2L))
  expect_equal(mean_df(df = 12), c(12, 12))
  expect_error(mean_df(ddf = "chance"), class = "hlm_error_data")
  shown <- suppressMessages(emmeans::emmeans(fit, ~ arm, ddf = "KR"))
  expect_output(print(shown), "Degrees-of-freedom method: kenward-roger")
})

test_that("between-within means have the persons' degrees of freedom, trends those of the rows", {
  fit <- emm_fit()
  df <- stats::setNames(between_within_df(fit), names(fixef(fit)))
  expect_equal(numbers(emmeans::emmeans(fit, ~ arm, ddf = "bw"))$df, rep(df[["armcontrol"]], 2L))
  expect_equal(numbers(emmeans::emtrends(fit, ~ arm, var = "wai_within", ddf = "bw"))$df, rep(df[["wai_within"]], 2L))
  # only the intercept has a weight: no more than persons - 1 (emmeans' rule for nlme's fits)
  skip_if_not_installed("lme4")
  sleep <- emmeans::emmeans(fit_sleep(), ~ 1, at = list(Days = 0), ddf = "bw")
  expect_equal(numbers(sleep)$df, 17)
})

test_that("a covariance matrix given is used", {
  fit <- emm_fit()
  own <- numbers(emmeans::emmeans(fit, ~ arm))
  given <- numbers(emmeans::emmeans(fit, ~ arm, vcov. = 4 * vcov(fit)))
  expect_equal(given$SE, 2 * own$SE)
  expect_equal(numbers(emmeans::emmeans(fit, ~ arm, vcov. = function(f) 4 * vcov(f)))$SE, given$SE)
})

test_that("the fit needs neither its data nor its call", {
  fit <- emm_fit()
  expected <- numbers(emmeans::emmeans(fit, ~ arm))
  fit$call <- quote(hlm(gone, missing_data))
  path <- withr::local_tempfile()
  saveRDS(fit, path)
  expect_equal(numbers(emmeans::emmeans(readRDS(path), ~ arm)), expected)
})

test_that("constants of the formula are not variables of the grid", {
  make <- function() {
    centre <- 8
    hlm(bai ~ I(session - centre) * sex + (1 | id), transform(implement, sex = factor(id %% 2)), id = id)
  }
  fit <- make()
  trends <- numbers(emmeans::emtrends(fit, ~ sex, var = "session"))$session.trend
  expect_equal(trends, unname(fixef(fit)[[2L]] + c(0, fixef(fit)[[4L]])), tolerance = 1e-6)
  means <- numbers(emmeans::emmeans(fit, ~ sex, at = list(session = 8)))$emmean
  expect_equal(means, unname(fixef(fit)[[1L]] + c(0, fixef(fit)[[3L]])), tolerance = 1e-6)
})

test_that("products of two within-person variables are centred as in the fit", {
  data <- synthetic_sessions()
  fit <- suppressWarnings(hlm(y ~ within(x) * within(w) + (1 | patient), data))
  grid <- emmeans::emmeans(fit, ~ x_within, at = list(x_within = c(-1, 1), w_within = 2))
  centre <- mean(fit$blueprint$products[["x_within:w_within"]]$mean)
  beta <- fixef(fit)
  by_hand <- beta[[1L]] + beta[["x_within"]] * c(-1, 1) + beta[["w_within"]] * 2 + beta[["x_within:w_within"]] * (c(-2, 2) - centre)
  expect_equal(numbers(grid)$emmean, by_hand)
})

test_that("combinations that the data cannot tell are not estimated", {
  d <- expand.grid(session = 1:4, a = factor(1:2), b = factor(1:3), person = 1:4)
  d <- d[!(d$a == 2 & d$b == 3), ]
  d$id <- interaction(d$a, d$b, d$person, drop = TRUE)
  d$y <- sin(seq_len(nrow(d))) + as.integer(d$b) + cos(as.integer(d$id))
  suppressMessages(fit <- hlm(y ~ a * b + session + (1 | id), d))
  table <- suppressMessages(as.data.frame(emmeans::emmeans(fit, ~ a * b)))
  empty <- table$a == 2 & table$b == 3
  expect_true(is.na(table$emmean[empty]))
  expect_false(anyNA(table$emmean[!empty]))
  expect_equal(table$emmean[1L], fixef(fit)[["(Intercept)"]] + mean(d$session) * fixef(fit)[["session"]])
})

test_that("dates and durations are averaged like other numbers", {
  d <- spaced_data()
  d$day <- as.Date("2024-01-01") + 7 * d$session
  d$since <- as.difftime(7 * d$session, units = "days")
  plain <- as.data.frame(emmeans::emmeans(hlm(y ~ session + (1 | patient), d), ~1))
  for (formula in list(y ~ day + (1 | patient), y ~ since + (1 | patient))) {
    expect_equal(as.data.frame(emmeans::emmeans(hlm(formula, d), ~1))$emmean, plain$emmean, tolerance = 1e-6)
  }
  at <- emmeans::emmeans(hlm(y ~ day + (1 | patient), d), ~day, at = list(day = as.Date("2024-01-22")))
  expect_equal(as.data.frame(at)$emmean, plain$emmean, tolerance = 1e-6)
})
