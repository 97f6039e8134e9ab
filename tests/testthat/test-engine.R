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
