small <- function(...) {
  design <- hlm_design(20, 4, within = 0.3, between = 0.3, slope_sd = 0.2, dropout = 0.2)
  power_hlm(design, nsim = 120, seed = 5, vary = list(n_patients = c(15, 25)), keep = TRUE, ...)
}

test_that("the same seed gives the same numbers, whatever the threads and the chunks", {
  one <- small(threads = 1)
  expect_identical(small(threads = 2), one)
  cells <- list(study_cell(hlm_design(20, 4, within = 0.3, between = 0.3), power_settings(100, 0.05, "satterthwaite", TRUE, 0.95, 5, NULL, TRUE)))
  whole <- run_chunk(cells[[1L]], list(first = 0L, n = 100L, seed = 5), list(ddf = "Satterthwaite"), 1L, NULL)
  parts <- lapply(list(c(0L, 30L), c(30L, 69L), c(99L, 1L)), function(part) {
    run_chunk(cells[[1L]], list(first = part[[1L]], n = part[[2L]], seed = 5), list(ddf = "Satterthwaite"), 1L, NULL)
  })
  joined <- join_replicates(parts)
  for (name in c("beta", "se", "df", "theta", "sigma", "criterion", "status", "rows")) expect_identical(joined[[name]], whole[[name]], info = name)
})

test_that("R's seed makes the result reproducible and is not disturbed by a seed given", {
  design <- hlm_design(20, 4, within = 0.3)
  first <- withr::with_seed(1, power_hlm(design, nsim = 30))
  again <- withr::with_seed(1, power_hlm(design, nsim = 30))
  expect_identical(first, again)
  withr::local_seed(1)
  before <- .Random.seed
  small()
  expect_identical(.Random.seed, before)
})

test_that("a plan of 'future' gives the same numbers", {
  skip_on_cran()
  skip_if_not_installed("future.apply")
  here <- small()
  withr::defer(future::plan("sequential"))
  future::plan("multisession", workers = 2)
  expect_identical(plan_workers(), 2)
  expect_identical(small(), here)
  future::plan("sequential")
  expect_null(plan_workers())
})

test_that("chunks are for workers", {
  expect_identical(chunk_size(1000L, 4L, NULL), 1000L)
  expect_identical(chunk_size(12000L, 4L, NULL), 5000L)
  expect_identical(chunk_size(1000L, 4L, 2), 500L)
  expect_identical(chunk_size(100L, 1L, 8), 50L)
})

test_that("progress is signalled", {
  skip_if_not_installed("progressr")
  withr::local_options(progressr.enable = TRUE)
  steps <- 0L
  handler <- function(cnd) if (identical(cnd$type, "update")) steps <<- steps + cnd$amount
  done <- withCallingHandlers(small(), progression = handler)
  # all replicates of all designs
  expect_identical(as.double(steps), as.double(sum(done$cells$nsim)))
})
