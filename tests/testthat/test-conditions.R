test_that("errors, warnings and messages carry the kind and the house class", {
  cnd <- tryCatch(abort_hlm("data", "bad {.var x}"), error = identity)
  expect_s3_class(cnd, c("hlm_error_data", "hlm_error", "rlang_error"), exact = FALSE)
  expect_match(conditionMessage(cnd), "bad")
  expect_warning(warn_hlm("data", "look"), class = "hlm_warning_data")
  expect_warning(warn_hlm("data", "look"), class = "hlm_warning")
  expect_message(inform_hlm("formula", "note"), class = "hlm_message_formula")
})

test_that("braces in the user's values are not taken for code", {
  name <- "{stop('no')}"
  expect_error(abort_hlm("data", "column {.var {name}}"), "stop", class = "hlm_error_data")
})

test_that("long lists are shortened and counted", {
  expect_equal(show_some(1:3), "1, 2, 3")
  expect_equal(show_some(1:8, max = 2), "1, 2, ... (8 in all)")
})
