test_that("every kind of fit can be checked", {
  none <- hlm(y ~ 0 + (1 | patient), clinic_data())
  for (fit in c(every_fit(), list(fit_clinic(), fit_clinic_ml(), none))) {
    found <- check_fit(fit)
    expect_s3_class(found, "hlm_check")
    expect_false(is.unsorted(as.integer(found$verdict)))
    expect_true(all(nzchar(found$finding)))
    expect_true(all(nzchar(found$advice[found$verdict %in% c("problem", "look")])))
    expect_false(anyNA(found$verdict))
  }
})

test_that("printed: problems first, in words", {
  fit <- fit_sleep()
  expect_snapshot(print(check_fit(fit)))
  shown <- capture.output(print(check_fit(fit), all = FALSE))
  expect_false(any(grepl("^OK", shown)))
  expect_error(check_fit(1), class = "hlm_error_data")
})

test_that("check() of a fit is the list, and nothing of the kind for others", {
  expect_equal(check(fit_therapy()), check_fit(fit_therapy()))
  skip_if(nzchar(system.file(package = "devtools")))
  expect_error(check("some folder"), "devtools", class = "hlm_error_data")
})
