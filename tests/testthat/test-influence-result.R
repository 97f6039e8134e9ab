test_that("leverages, Cook's distances and standardised residuals by row are lme4's", {
  tested <- 0L
  for (case in robust_cases()) {
    rows <- case$fixture$rows
    if (is.null(rows)) next
    tested <- tested + 1L
    name <- case$fixture$name
    expect_within(hatvalues(case$fit), rows$hatvalues, 1e-6, paste(name, "hatvalues"))
    expect_within(cooks.distance(case$fit), rows$cooks, 1e-5 * max(rows$cooks), paste(name, "Cook's distance"))
    expect_within(rstudent(case$fit), rows$rstudent, 1e-5 * max(abs(rows$rstudent)), paste(name, "rstudent"))
  }
  expect_gt(tested, 8L)
})

test_that("crossed factors: leverages are the diagonal of the matrix that makes fitted values", {
  fit <- fit_penicillin()
  hat <- hatvalues(fit, fullHatMatrix = TRUE)
  expect_equal(unname(diag(hat)), unname(hatvalues(fit)))
  expect_equal(drop(hat %*% fit$design$y), unname(fitted(fit)), tolerance = 1e-8, ignore_attr = TRUE)
})

test_that("rows left out come back as NA under na.exclude", {
  fit <- fit_gaps()
  expect_identical(which(is.na(hatvalues(fit))), which(is.na(residuals(fit))))
  expect_length(cooks.distance(fit), 180L)
  expect_identical(names(rstandard(fit)), names(residuals(fit)))
  expect_identical(rstandard(fit), rstudent(fit))
})

test_that("the generics of stats take fits and results", {
  fit <- fit_sleep()
  found <- influence(fit)
  expect_identical(cooks.distance(fit, level = "Subject"), cooks.distance(found))
  expect_identical(cooks.distance(fit, level = Subject), cooks.distance(found))
  expect_identical(dfbeta(fit), dfbeta(found))
  expect_identical(dfbetas(fit, level = "Subject"), dfbetas(found))
  expect_equal(dfbetas(found), dfbeta(found) / found$se)
  expect_equal(dfbeta(found)["308", ], fixef(fit) - found$fixef["308", ])
  table <- as.data.frame(found)
  expect_identical(names(table)[8:9], c("dfbetas.(Intercept)", "dfbetas.Days"))
  expect_identical(nrow(table), 18L)
})

test_that("the full estimates come with it, in the shape of those without a group", {
  found <- influence(fit_clinic(), method = "fixed")
  components <- as.data.frame(VarCorr(fit_clinic()), order = "lower.tri")
  expect_equal(unname(found$full$varcomp), components$vcov, tolerance = 1e-10)
  expect_identical(names(found$full$varcomp), colnames(found$varcomp))
  ratio <- found$varcomp[1L, ] / found$full$varcomp
  expect_equal(unname(ratio), rep((found$sigma[[1L]] / sigma(fit_clinic()))^2, length(ratio)))
})

test_that("printed: the worst first, in words", {
  expect_snapshot(print(influence(fit_sleep(), method = "fixed"), n = 3L))
})

test_that("a variable named like an argument does no harm", {
  d <- clinic_data()
  d$level <- d$x
  d$cluster <- d$group
  fit <- hlm(y ~ level + cluster + (1 | patient), d)
  expect_identical(names(cooks.distance(fit, level = "patient")), influence(fit)$groups$group)
  expect_identical(rownames(dfbetas(fit, level = patient)), influence(fit)$groups$group)
  expect_identical(wbhlm:::robust_inference_of(fit, "CR1", "patient")$cluster$name, "patient")
})
