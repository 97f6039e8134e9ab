test_that("a condition returned by the core is raised in the house classes", {
  cnd <- structure(
    list(message = "column 3 {is} bad", call = NULL),
    class = c("hlm_error_design", "hlm_error", "error", "condition")
  )
  expect_error(engine_call(cnd), "column 3 {is} bad", fixed = TRUE, class = "hlm_error_design")
  cnd$message <- "lost"
  class(cnd) <- c("error", "condition")
  expect_error(engine_call(cnd), "fault of the package", class = "hlm_error_internal")
  expect_equal(engine_call(list(1)), list(1))
})

test_that("the engine's wrappers return the shapes of the contract", {
  fit <- hlm(y ~ session + wb(x) + (1 + within(x) | patient), synthetic_sessions())
  design <- fit$design
  theta <- fit$core$theta
  expect_length(theta, 3)
  expect_equal(dim(fit$core$vcov), c(4, 4))
  expect_equal(lapply(fit$core$b, dim), list(c(12L, 2L)))
  evaluated <- engine_evaluate(design, TRUE, theta, 2L)
  expect_equal(evaluated$criterion, fit$core$criterion, tolerance = 1e-10)
  expect_length(evaluated$gradient, 3)
  expect_equal(dim(evaluated$hessian), c(3, 3))
  expect_equal(dim(engine_condvar(design, TRUE, theta)[[1]]), c(2, 2, 12))
  pieces <- engine_satterthwaite(design, TRUE, theta)
  expect_equal(dim(pieces$vcov_varpar), c(4, 4))
  expect_length(pieces$jacobian, 4)
})

test_that("predictors that cannot be estimated are named at once", {
  d <- synthetic_sessions()
  d$twice <- 2 * d$x + 1
  expect_message(fit <- hlm(y ~ x + twice + (1 | patient), d), "`twice`", class = "hlm_message_rank")
  expect_equal(fit$design$x_names[fit$core$dropped], "twice")
})

test_that("a fit without an optimum warns, and says what is likely wrong", {
  d <- synthetic_sessions()
  d$y <- 2 * d$x + d$patient
  expect_warning(fit <- hlm(y ~ x + (1 | patient), d), "reproduce the outcome", class = "hlm_warning_convergence")
  expect_equal(fit$core$status, "failed")
})

test_that("start must fit theta", {
  d <- synthetic_sessions()
  expect_error(hlm(y ~ x + (x | patient), d, start = 1), "3 elements of theta, not 1", class = "hlm_error_design")
  expect_error(hlm(y ~ x + (1 | patient), d, start = Inf), "finite", class = "hlm_error_design")
  from_near <- hlm(y ~ x + (1 | patient), d, start = list(theta = 0.3))
  expect_equal(from_near$core$theta, hlm(y ~ x + (1 | patient), d)$core$theta, tolerance = 1e-5)
})

test_that("peers: time in raw seconds raises no false alarm and changes nothing but units (lme4)", {
  d <- synthetic_sessions()
  plain <- hlm(y ~ session + wb(x) + (session | patient), d)
  d$session <- 1.6e9 + 604800 * d$session
  expect_no_warning(raw <- hlm(y ~ session + wb(x) + (session | patient), d))
  expect_equal(raw$core$status, plain$core$status)
  expect_lt(raw$core$decrement, 1e-8)
  expect_equal(fixef(raw)[["session"]] * 604800, fixef(plain)[["session"]], tolerance = 1e-6)
  expect_equal(sigma(raw), sigma(plain), tolerance = 1e-6)
})

test_that("of several optima the lowest is found", {
  # synthetic, 10 persons with 4 sessions and a random slope: one of 2,000 samples drawn, in which a single search ended at theta = 0, 0.0025 above
  # the optimum
  set.seed(2026)
  patient <- rep(1:10, each = 4)
  d <- data.frame(patient, x = stats::rnorm(10)[patient] + stats::rnorm(40), group = rep(0:1, length.out = 10)[patient], y = stats::rnorm(40))
  model <- hlm(y ~ wb(x) + group + within(x):between(x) + within(x):group + (1 + within(x) | patient), d)
  truth <- model
  truth$core[c("sigma", "theta")] <- list(1, c(0.8, 0.15, sqrt(1 - 0.3^2) * 0.5))
  truth$core$beta[] <- 0
  fit <- refit(model, simulate(truth, 251, seed = 1010)[[251L]])
  at_zero <- engine_evaluate(fit$design, TRUE, c(0, 0, 0))$criterion
  expect_lt(fit$core$criterion, at_zero - 0.002)
  expect_gt(max(abs(fit$core$theta)), 0.05)
})
