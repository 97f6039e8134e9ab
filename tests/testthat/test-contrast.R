test_that("contest() agrees with lmerTest, joint and row by row", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- pair[[1L]]
    theirs <- pair[[2L]]
    p <- length(fixef(ours))
    l <- withr::with_seed(4, matrix(stats::rnorm(2 * p), 2, p))
    if (p == 1L) l <- l[1L, , drop = FALSE]
    a <- contest(ours, l)
    b <- lmerTest::contest(theirs, l)
    expect_equal(names(a), names(b))
    expect_equal(unlist(a), unlist(b), tolerance = 1e-3)
    a <- contest(ours, l, joint = FALSE, rhs = 1)
    b <- lmerTest::contest(theirs, l, joint = FALSE, rhs = 1)
    expect_equal(names(a), names(b))
    expect_equal(as.matrix(a), as.matrix(b), tolerance = 1e-3, ignore_attr = TRUE)
  }
})

test_that("contrasts may be named", {
  fit <- fit_therapy()
  p <- length(fixef(fit))
  l <- numeric(p)
  l[match(c("alliance_between", "alliance_within"), names(fixef(fit)))] <- c(1, -1)
  named <- contest(fit, c(alliance_between = 1, alliance_within = -1), joint = FALSE)
  expect_equal(named, contest(fit, l, joint = FALSE))
  expect_equal(named$Estimate, fixef(fit)[["alliance_between"]] - fixef(fit)[["alliance_within"]])
})

test_that("a redundant row does not change a joint test", {
  fit <- fit_therapy()
  l <- rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0))
  expect_equal(contest(fit, rbind(l, l[1, ] + l[2, ]))$`F value`, contest(fit, l)$`F value`)
  expect_equal(contest(fit, rbind(l, l[1, ] + l[2, ]))$NumDF, 2)
})

test_that("contrasts that do not fit are refused", {
  fit <- fit_therapy()
  expect_error(contest(fit, c(1, 0)), class = "hlm_error_data")
  expect_error(contest(fit, c(age = 1)), class = "hlm_error_data")
  expect_error(contest(fit, "session"), class = "hlm_error_data")
  expect_error(contest(fit, c(session = 1), rhs = 1:3), class = "hlm_error_data")
})

test_that("a list of contrasts is collected", {
  fit <- fit_therapy()
  out <- contest(fit, list(c(session = 1), c(female = 1)))
  expect_equal(nrow(out), 2L)
  expect_length(contest(fit, list(c(session = 1), c(female = 1)), collect = FALSE), 2L)
})

test_that("every method for the degrees of freedom is taken, joint and row by row", {
  fit <- fit_therapy()
  l <- rbind(a = c(0, 1, 0, 0, 0, 0), b = c(0, 0, 1, 0, 0, 0))
  for (name in ddf_names()) {
    inference <- prepare_inference(fit, name)
    rows <- contest(fit, l, joint = FALSE, ddf = name)
    expect_equal(rows$df, apply(l, 1L, inference$df), ignore_attr = TRUE)
    expect_equal(rows$`Std. Error`, sqrt(diag(l %*% inference$vcov %*% t(l))), ignore_attr = TRUE)
    expect_equal(contest(fit, l, ddf = name)$NumDF, 2)
  }
})

test_that("the mean squares of a scaled F test belong to the unscaled statistic, as in lmerTest", {
  fit <- fit_therapy()
  l <- rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 0, 1, 0, 0), c(0, 0, 0, 0, 1, 0))
  test <- contest(fit, l, ddf = "KR")
  distance <- drop(l %*% fixef(fit))
  unscaled <- sum(distance * solve(l %*% prepare_inference(fit, "KR")$vcov %*% t(l), distance)) / 3
  expect_equal(test$`Mean Sq`, unscaled * sigma(fit)^2)
  expect_equal(test$`Sum Sq`, 3 * test$`Mean Sq`)
  expect_lt(test$`F value`, unscaled)
})

test_that("a coefficient named twice is refused; clusters go by bare names", {
  fit <- fit_therapy()
  expect_error(contest(fit, c(session = 1, session = -1)), "more than once", class = "hlm_error_data")
  two <- hlm(distress ~ session + wb(alliance) + (1 | patient), therapy_data())
  expect_equal(summary(two, vcov = "CR2", cluster = patient)$coefficients, summary(two, vcov = "CR2", cluster = "patient")$coefficients)
  expect_error(summary(two, vcov = "CR2", cluster = clinic), class = "hlm_error_data")
})
