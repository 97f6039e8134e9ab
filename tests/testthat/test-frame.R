test_that("variables come from the data, else from where the formula was written", {
  d <- synthetic_sessions()
  outside <- d$x * 2
  k <- 3
  fit <- front(y ~ outside + poly(session, k) + (1 | patient), d)
  expect_equal(fit$design$columns[[1]], outside)
  expect_equal(fit$blueprint$constants, list(k = 3))
  d$outside <- d$w
  expect_equal(front(y ~ outside + (1 | patient), d)$design$columns[[1]], d$w)
})

test_that("subset acts first, as if the other rows had not been given", {
  d <- synthetic_sessions()
  formula <- y ~ wb(x) + scale(w) + lagged(w) + (1 | patient)
  a <- front(formula, d, time = "session", inputs = list(subset = d$session > 2))
  b <- front(formula, d[d$session > 2, ], time = "session")
  expect_equal(unname(design_matrix_x(a)), unname(design_matrix_x(b)), ignore_attr = TRUE)
  expect_equal(rownames(design_matrix_x(a)), rownames(design_matrix_x(b)))
})

test_that("wrong subsets, weights and offsets are errors", {
  d <- synthetic_sessions()
  formula <- y ~ x + (1 | patient)
  expect_error(front(formula, d, inputs = list(subset = "a")), class = "hlm_error_data")
  expect_error(front(formula, d, inputs = list(subset = TRUE)), class = "hlm_error_data")
  expect_error(front(formula, d, inputs = list(subset = 1e6)), class = "hlm_error_data")
  expect_error(front(formula, d, inputs = list(subset = d$session > 99)), "no rows", class = "hlm_error_data")
  expect_error(front(formula, d, inputs = list(weights = 1:3)), class = "hlm_error_data")
  expect_error(front(formula, d, inputs = list(weights = rep(0, nrow(d)))), "greater than 0", class = "hlm_error_data")
})

test_that("offset() and the argument add up", {
  d <- synthetic_sessions()
  fit <- front(y ~ x + offset(w) + (1 | patient), d, inputs = list(offset = d$session))
  expect_equal(fit$design$offset, d$w + d$session)
  expect_equal(fit$design$x_names, c("(Intercept)", "x"))
  expect_null(front(y ~ x + (1 | patient), d)$design$offset)
})

test_that("the person is the innermost group, the id given, or id within its therapist", {
  d <- synthetic_sessions()
  d$number <- (d$patient - 1) %% 3 + 1
  expect_equal(front(y ~ wb(x) + (1 | therapist / number), d)$id, "number:therapist")
  expect_equal(front(y ~ wb(x) + (1 | therapist / number), d, id = "number")$id, "number:therapist")
  expect_equal(front(y ~ wb(x) + (1 | therapist) + (1 | patient), d)$id, "patient")
  expect_equal(front(y ~ wb(x) + (1 | therapist), d, id = "patient")$id, "patient")
  expect_equal(front(y ~ wb(x) + (1 | therapist), d, id = "therapist:number")$id, "therapist:number")
})

test_that("with ids used again, the person's mean is that of the person, not of the number", {
  d <- synthetic_sessions()
  d$number <- (d$patient - 1) %% 3 + 1
  x <- front_columns(y ~ wb(x) + (1 | therapist / number), d)
  expect_equal(x$x_within, d$x - ave(d$x, d$patient))
})

test_that("text, factors and dates cannot be split, and the message says what to do", {
  d <- synthetic_sessions()
  d$text <- as.character(d$x)
  expect_error(front(y ~ wb(text) + (1 | patient), d), "text", class = "hlm_error_data")
  expect_error(front(y ~ wb(treatment) + (1 | patient), d), "a factor", class = "hlm_error_data")
})

test_that("peers: a numeric therapist id is a grouping factor like any other", {
  d <- synthetic_sessions()
  as_number <- front(y ~ wb(x) + (1 | therapist) + (1 | patient), d)
  d$therapist <- factor(d$therapist)
  as_factor <- front(y ~ wb(x) + (1 | therapist) + (1 | patient), d)
  expect_equal(as_number$design$groups, as_factor$design$groups)
  expect_equal(vapply(as_number$design$terms, `[[`, "", "label"), c("1 | patient", "1 | therapist"))
})

test_that("names in other alphabets and with blanks work", {
  d <- synthetic_sessions()
  names(d)[names(d) == "x"] <- "beziehung_\u00fc"
  names(d)[names(d) == "w"] <- "my score"
  formula <- stats::as.formula("y ~ wb(beziehung_\u00fc) + wb(`my score`) + (1 | patient)")
  fit <- front(formula, d)
  expect_equal(fit$design$x_names[2:5], c(
    "beziehung_\u00fc_within", "beziehung_\u00fc_between", "`my score_within`", "`my score_between`"
  ))
})

test_that("the data need not be sorted", {
  d <- synthetic_sessions()
  shuffled <- d[order(d$x), ]
  formula <- y ~ wb(x) + within(lagged(w)) + within(w, detrend = TRUE) + (1 | patient)
  a <- front(formula, d, time = "session")
  b <- front(formula, shuffled, time = "session")
  xa <- design_matrix_x(a)
  xb <- design_matrix_x(b)
  expect_equal(xa[order(rownames(xa)), ], xb[order(rownames(xb)), ], tolerance = 1e-12)
})

test_that("row numbers to leave out work", {
  d <- synthetic_sessions()
  expect_equal(front(y ~ x + (1 | patient), d, inputs = list(subset = -(1:3)))$rows, front(y ~ x + (1 | patient), d[-(1:3), ])$rows)
  for (rows in list(c(-1, 5), 1.5, c(-1, NA), Inf)) {
    expect_error(front(y ~ x + (1 | patient), d, inputs = list(subset = rows)), class = "hlm_error_data")
  }
})
