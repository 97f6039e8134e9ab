without_limits <- function(code) {
  withr::local_options(wbhlm.threads = NULL)
  withr::local_envvar(OMP_NUM_THREADS = NA, OMP_THREAD_LIMIT = NA, `_R_CHECK_LIMIT_CORES_` = NA)
  force(code)
}

test_that("the option wins, as a whole number", {
  withr::local_envvar(OMP_NUM_THREADS = "5", OMP_THREAD_LIMIT = NA, `_R_CHECK_LIMIT_CORES_` = NA)
  withr::local_options(wbhlm.threads = 3)
  expect_identical(hlm_threads(), 3L)
  expect_identical(hlm_threads(1), 1L)
  expect_identical(hlm_threads(7), 7L)
})

test_that("without limits, every core that this process may use", {
  cores <- without_limits(hlm_threads())
  expect_identical(cores, available_cores())
  expect_gte(cores, 1L)
  detected <- parallel::detectCores()
  skip_if(is.na(detected))
  expect_lte(cores, detected)
})

test_that("package checks get at most two, OMP_THREAD_LIMIT is obeyed", {
  withr::local_options(wbhlm.threads = NULL)
  withr::local_envvar(OMP_THREAD_LIMIT = NA, `_R_CHECK_LIMIT_CORES_` = "TRUE")
  expect_lte(hlm_threads(), 2L)
  withr::local_envvar(OMP_THREAD_LIMIT = "1", `_R_CHECK_LIMIT_CORES_` = NA)
  expect_identical(hlm_threads(), 1L)
})

test_that("limits hold whoever asks for more", {
  withr::local_options(wbhlm.threads = 8)
  withr::local_envvar(OMP_NUM_THREADS = NA, OMP_THREAD_LIMIT = NA, `_R_CHECK_LIMIT_CORES_` = "TRUE")
  expect_identical(hlm_threads(), 2L)
  expect_identical(hlm_threads(5), 2L)
  withr::local_envvar(OMP_THREAD_LIMIT = "1")
  expect_identical(hlm_threads(5), 1L)
})

test_that("OMP_NUM_THREADS is a wish, below the cores", {
  threads <- function(number) {
    withr::local_envvar(OMP_NUM_THREADS = number, OMP_THREAD_LIMIT = NA, `_R_CHECK_LIMIT_CORES_` = NA)
    withr::with_options(list(wbhlm.threads = NULL), hlm_threads())
  }
  expect_identical(threads("1"), 1L)
  expect_identical(threads("1,4"), 1L)
  expect_identical(threads("100000"), available_cores())
  expect_identical(threads("many"), available_cores())
})

test_that("limits are read as R reads them", {
  limit <- function(omp, check) withr::with_envvar(c(OMP_THREAD_LIMIT = omp, `_R_CHECK_LIMIT_CORES_` = check), thread_limit())
  expect_identical(limit(NA, NA), Inf)
  expect_identical(limit("many", "false"), Inf)
  expect_identical(limit("0", ""), Inf)
  expect_identical(limit("8", "warn"), 2)
  expect_identical(limit("1", "true"), 1)
})

test_that("anything but a whole number from 1 on is a classed error", {
  for (bad in list(0, -1, 1.5, NA, "2", c(1, 2), Inf)) {
    expect_error(hlm_threads(bad), class = "hlm_error_data")
  }
  withr::local_options(wbhlm.threads = "all")
  expect_error(hlm_threads(), "wbhlm.threads", class = "hlm_error_data")
})
