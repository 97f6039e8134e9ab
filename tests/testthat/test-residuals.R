test_that("residuals of every type are lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    for (type in c("response", "pearson", "working", "deviance")) {
      expect_equal(residuals(pair[[1L]], type), residuals(pair[[2L]], type), tolerance = 1e-4)
      expect_equal(residuals(pair[[1L]], type, scaled = TRUE), residuals(pair[[2L]], type, scaled = TRUE), tolerance = 1e-4)
    }
    expect_equal(residuals(pair[[1L]], "scaled"), residuals(pair[[1L]], "pearson", scaled = TRUE))
  }
})

test_that("residuals and fitted values add up to the outcome, rows left out are NA", {
  fit <- fit_gaps()
  expect_equal(unname(fitted(fit) + residuals(fit)), sleep_gaps()$Reaction)
  omitted <- update(fit, na.action = na.omit)
  expect_length(residuals(omitted), 177)
})
