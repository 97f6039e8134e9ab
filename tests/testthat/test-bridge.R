probe <- function(what, threads = 1L, amount = 1) bridge_probe(what, threads, amount)

test_that("errors of the core come back as conditions, format characters and all", {
  cnd <- probe("error")
  expect_s3_class(cnd, c("hlm_error_data", "hlm_error", "error", "condition"), exact = TRUE)
  expect_identical(conditionMessage(cnd), "100 %s of %n ")
  expect_error(engine_call(cnd), "100 %s of %n", fixed = TRUE, class = "hlm_error_data")
})

test_that("a panic is an internal error and the session lives on", {
  for (what in c("panic", "worker panic")) {
    cnd <- probe(what)
    expect_s3_class(cnd, "hlm_error_internal")
    expect_match(conditionMessage(cnd), "panic %s %n", fixed = TRUE)
  }
  expect_identical(probe("sum", 2L, 10), 55)
})

test_that("arguments of the wrong type are errors, not crashes", {
  expect_s3_class(bridge_probe(1, 1L, 1), "hlm_error_internal")
  expect_s3_class(bridge_probe("sum", "%s", 1), "hlm_error_internal")
  expect_s3_class(bridge_probe("sum", NA_integer_, 1), "hlm_error_internal")
})

test_that("pools of one and two threads give the same result, again and again", {
  for (threads in c(1L, 2L, 1L, 2L)) {
    expect_identical(probe("sum", threads, 1e5), 1e5 * (1e5 + 1) / 2)
  }
})

test_that("a forked child computes with its own threads", {
  skip_on_os("windows")
  expect_identical(probe("sum", 2L, 1000), 500500)
  in_children <- parallel::mclapply(1:2, function(i) probe("sum", 2L, 1000), mc.cores = 2)
  expect_identical(in_children, list(500500, 500500))
})

test_that("an interrupt stops a running computation and goes on where R sent it", {
  skip_on_os("windows")
  skip_on_cran()
  out <- run_child(c(
    "system(sprintf('(sleep 0.5; kill -INT %d) &', Sys.getpid()))",
    "start <- Sys.time()",
    "how <- tryCatch(wbhlm:::engine_call(wbhlm:::bridge_probe('spin', 2L, 60)), interrupt = function(cnd) class(cnd)[[1L]])",
    "cat(how, as.numeric(Sys.time() - start, units = 'secs') < 30, '\\n')"
  ))
  expect_match(paste(out, collapse = "\n"), "interrupt TRUE")
})
