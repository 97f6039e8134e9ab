three_level_fit <- function() {
  front(y ~ session + wb(x, level = "therapist") + (1 | therapist / patient), synthetic_sessions())
}

test_that("the rows of the fit get the columns of the fit", {
  d <- synthetic_sessions()
  for (formula in list(
    y ~ wb(x) * treatment + (1 + within(x) | patient), y ~ cx(x) + (1 | patient),
    y ~ wb(x, level = "therapist") + (1 | therapist / patient), y ~ within(x) * within(w) + (1 | patient),
    y ~ wb(x, detrend = TRUE, at = 1) + (within(x, detrend = TRUE) || patient), y ~ wb(lagged(x)) + (1 | patient)
  )) {
    fit <- front(formula, d, time = "session")
    new <- design_newdata(fit, d[fit$rows, ])
    expect_equal(new$x, design_matrix_x(fit), ignore_attr = TRUE, tolerance = 1e-12)
  }
})

test_that("peers: shifting one row moves within by the shift and leaves the person's mean alone", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x) + (1 | patient), d)
  old <- design_newdata(fit, d[5, ])$x
  d$x[5] <- d$x[5] + 1
  new <- design_newdata(fit, d[5, ])$x
  expect_equal(drop(new - old), c("(Intercept)" = 0, x_within = 1, x_between = 0))
})

test_that("new persons are described by their own rows, centred at the fit's grand mean", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x) + (1 | patient), d)
  new <- data.frame(patient = c("a", "a", "b"), x = c(1, 3, 5))
  x <- design_newdata(fit, new)$x
  expect_equal(x[, "x_within"], c(-1, 1, 0))
  expect_equal(x[, "x_between"], c(2, 2, 5) - fit$means$x$columns$x_between$grand)
})

test_that("new persons of a known therapist are centred at the therapist's mean of the fit", {
  fit <- three_level_fit()
  columns <- fit$means$x$columns
  new <- data.frame(session = 1:2, patient = 99, therapist = 2, x = c(1, 2))
  x <- design_newdata(fit, new)$x
  expect_equal(x[, "x_between"], rep(1.5 - columns$x_between$outer$value[2], 2))
  expect_equal(x[, "x_between_therapist"], rep(columns$x_between_therapist$value[2], 2))
})

test_that("a new therapist is described by the new persons", {
  fit <- three_level_fit()
  grand <- fit$means$x$columns$x_between_therapist$grand
  new <- data.frame(session = 1, patient = c(98, 98, 99), therapist = 77, x = c(1, 2, 5))
  x <- design_newdata(fit, new)$x
  expect_equal(x[, "x_between_therapist"], rep((1.5 + 5) / 2, 3) - grand)
  expect_equal(x[, "x_between"], c(1.5, 1.5, 5) - 3.25)
})

test_that("columns that are given are taken as they are, without id or x", {
  fit <- front(y ~ wb(x) + (1 | patient), synthetic_sessions())
  new <- data.frame(x_within = c(0, 1), x_between = 2)
  x <- design_newdata(fit, new, random = FALSE)$x
  expect_equal(x[, c("x_within", "x_between")], as.matrix(new))
})

test_that("what is lacking is said", {
  fit <- front(y ~ wb(x) + (1 | patient), synthetic_sessions())
  expect_error(design_newdata(fit, data.frame(patient = 1)), "lacks `x`", class = "hlm_error_data")
  expect_error(design_newdata(fit, data.frame(x = 1), random = FALSE), "lacks `patient`", class = "hlm_error_data")
})

test_that("a shift moves one level and no other", {
  d <- synthetic_sessions()
  change <- function(formula, at, shift = c(x = 1)) {
    fit <- front(formula, d)
    difference <- design_newdata(fit, shift = shift, at = at)$x - design_newdata(fit)$x
    expect_equal(max(apply(difference, 2, function(v) diff(range(v)))), 0, tolerance = 1e-12)
    difference[1, -1]
  }
  expect_equal(change(y ~ wb(x) + (1 | patient), "within"), c(x_within = 1, x_between = 0))
  expect_equal(change(y ~ wb(x) + (1 | patient), "between"), c(x_within = 0, x_between = 1))
  # x is the sum of its levels: it moves with either
  expect_equal(change(y ~ cx(x) + (1 | patient), "within"), c(x = 1, x_between = 0))
  expect_equal(change(y ~ cx(x) + (1 | patient), "between"), c(x = 1, x_between = 1))
  expect_equal(
    change(y ~ wb(x, level = "therapist") + (1 | therapist / patient), "therapist"),
    c(x_within = 0, x_between = 0, x_between_therapist = 1)
  )
  fit <- front(y ~ wb(x) + (1 | patient), d)
  expect_error(design_newdata(fit, shift = c(nothere = 1)), class = "hlm_error_data")
  expect_error(design_newdata(fit, shift = 1), class = "hlm_error_data")
  expect_error(design_newdata(fit, shift = c(x = 1), at = "therapist"), class = "hlm_error_data")
})

test_that("lags of new rows look into the new rows, then into the fit's data", {
  d <- data.frame(patient = rep(1:4, each = 5), session = rep(1:5, 4), y = sin(1:20), x = cos(1:20))
  fit <- front(y ~ lagged(x) + (1 | patient), d, time = "session")
  new <- data.frame(patient = c(1, 1, 50, 50), session = c(6, 7, 1, 2), x = c(100, 200, 300, 400))
  expect_equal(design_newdata(fit, new)$x[, "x_lag1"], c(d$x[5], 100, NA, 300))
})

test_that("missing values of new rows stay missing, or are dropped when asked", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x) + (1 | patient), d)
  new <- d[1:4, ]
  new$x[2] <- NA
  expect_true(is.na(design_newdata(fit, new)$x[2, "x_within"]))
  dropped <- design_newdata(fit, new, na.action = na.omit)
  expect_equal(nrow(dropped$x), 3)
  expect_s3_class(dropped$na.action, "omit")
  expect_error(design_newdata(fit, new, na.action = na.fail), class = "hlm_error_data")
})

test_that("double-demeaned products of new rows use the frozen mean of the product", {
  d <- synthetic_sessions()
  fit <- front(y ~ within(x) * within(w) + (1 | patient), d)
  one <- d[3, ]
  one$x <- one$x + 1
  change <- design_newdata(fit, one)$x - design_newdata(fit, d[3, ])$x
  expect_equal(change[, "x_within:w_within"], d$w[3] - mean(d$w[d$patient == d$patient[3]]), ignore_attr = TRUE)
})

test_that("within(scale(x)) keeps the centre and scale of the fit", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(scale(x)) + lagged(scale(w)) + (1 | patient), d, time = "session")
  few <- d[fit$rows[c(1, 5, 9)], ]
  expect_equal(design_newdata(fit, few)$x, design_matrix_x(fit)[c(1, 5, 9), ], ignore_attr = TRUE, tolerance = 1e-12)
})

test_that("a shift that could move nothing is an error that names what can be moved", {
  d <- synthetic_sessions()
  fit <- front(y ~ session + lagged(x) + (1 | patient), d, time = "session")
  cnd <- expect_error(design_newdata(fit, shift = c(x = 1)), class = "hlm_error_data")
  expect_match(conditionMessage(cnd), "x_lag1")
  moved <- design_newdata(fit, shift = c(x_lag1 = 1))$x - design_newdata(fit)$x
  expect_equal(unname(moved[, "x_lag1"]), rep(1, nrow(moved)))
  fit <- front(y ~ within(x) + between(w) + (1 | patient), d)
  expect_error(design_newdata(fit, shift = c(x = 1), at = "between"), "within", class = "hlm_error_data")
  expect_error(design_newdata(fit, shift = c(w = 1), at = "within"), "between", class = "hlm_error_data")
  expect_error(design_newdata(fit, shift = c(y = 1)), class = "hlm_error_data")
})

test_that("a split variable must be a number in new data too", {
  d <- spaced_data()
  fit <- hlm(y ~ wb(x) + (1 | patient), d)
  for (bad in list(factor(d$x), as.character(d$x))) {
    expect_error(predict(fit, transform(d, x = bad)), "is a number in the model", class = "hlm_error_data")
  }
  expect_equal(predict(fit, transform(d, x = x > 0)), predict(fit, transform(d, x = as.double(x > 0))))
  lagged <- hlm(y ~ wb(lagged(x)) + (1 | patient), d, time = session)
  expect_error(predict(lagged, transform(d, x = factor(x))), "is a number in the model", class = "hlm_error_data")
})
