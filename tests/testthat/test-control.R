test_that("hlm_control() has the documented defaults", {
  control <- hlm_control()
  expect_s3_class(control, "hlm_control")
  expect_equal(control$means, "analysis")
  expect_equal(control$weighting, "persons")
})

test_that("hlm_control() rejects what it does not understand", {
  expect_error(hlm_control(means = "all"), class = "hlm_error_design")
  expect_error(hlm_control(weighting = "equal"), class = "hlm_error_design")
  expect_error(hlm_control(max_iter = 0), class = "hlm_error_design")
  expect_error(hlm_control(tol = -1), class = "hlm_error_design")
  expect_error(hlm_control(tol = NA), class = "hlm_error_design")
  expect_error(hlm_control(threads = 0), class = "hlm_error_design")
})

test_that("start and control are put together", {
  expect_equal(resolve_control(hlm_control(), list(theta = c(1, 0, 1)))$start, c(1, 0, 1))
  expect_equal(resolve_control(hlm_control(), 2L)$start, 2)
  expect_null(resolve_control(hlm_control(), NULL)$start)
  expect_error(resolve_control(hlm_control(), "a"), class = "hlm_error_design")
  expect_error(resolve_control(list(tol = 1), NULL), class = "hlm_error_design")
})

test_that("counts are whole and within limits", {
  for (value in list(1e12, 1.5, NA, "a", list(1), mean)) {
    expect_error(hlm_control(max_iter = value), "max_iter", class = "hlm_error_design")
    expect_error(hlm_control(threads = value), "threads", class = "hlm_error_design")
  }
  expect_error(hlm_control(tol = mean), class = "hlm_error_design")
})
