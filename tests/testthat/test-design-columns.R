# Our columns against model.matrix(), with the fixed part of the formula alone.
expect_model_matrix <- function(formula, data, contrasts = NULL) {
  full <- stats::as.formula(call("~", formula[[2]], call("+", formula[[3]], quote((1 | patient)))), env = environment(formula))
  # the columns are asked about, not the patients' variance, for which some of them leave nothing
  fit <- suppressWarnings(front(full, data, contrasts = contrasts), classes = "hlm_warning_design")
  frame <- stats::model.frame(formula, data, drop.unused.levels = TRUE)
  expected <- stats::model.matrix(formula, frame, contrasts.arg = contrasts)
  x <- design_matrix_x(fit)
  expect_equal(x, expected, ignore_attr = c("contrasts", "dimnames"), tolerance = 1e-14, label = deparse1(formula))
  expect_equal(colnames(x), colnames(expected))
  expect_equal(attr(x, "assign"), attr(expected, "assign"))
  expect_equal(attr(x, "contrasts"), attr(expected, "contrasts"))
}

factorial_data <- function() {
  d <- synthetic_sessions()
  d$f <- factor(c("low", "mid", "high")[d$patient %% 3 + 1], levels = c("low", "mid", "high"))
  d$o <- ordered(d$session)
  d$ch <- letters[d$therapist]
  d$lg <- d$x > 1
  d$one_column <- matrix(d$w, ncol = 1)
  d
}

test_that("numeric terms, powers and interactions are model.matrix()'s", {
  d <- factorial_data()
  expect_model_matrix(y ~ x, d)
  expect_model_matrix(y ~ x * w * session, d)
  expect_model_matrix(y ~ (x + w + session)^2 - x:w, d)
  expect_model_matrix(y ~ I(x^2) + log(session) + sqrt(session):x, d)
  expect_model_matrix(y ~ x - 1, d)
  expect_model_matrix(y ~ 0 + x:w, d)
  expect_model_matrix(y ~ x %in% w, d)
  expect_model_matrix(y ~ 1, d)
})

test_that("factors, text and logicals, alone and in interactions, are model.matrix()'s", {
  d <- factorial_data()
  for (formula in list(
    y ~ f, y ~ f + o, y ~ f * x, y ~ x:f, y ~ f:ch, y ~ f / x, y ~ f * ch * x, y ~ 0 + f, y ~ 0 + f + ch, y ~ 0 + x + f + ch,
    y ~ 0 + f:ch, y ~ lg, y ~ lg:x, y ~ ch + lg:f, y ~ treatment * session, y ~ factor(session), y ~ x + f:x - 1,
    y ~ f * o
  )) {
    expect_model_matrix(formula, d)
  }
})

test_that("poly, ns, bs, scale and matrices are model.matrix()'s", {
  d <- factorial_data()
  for (formula in list(
    y ~ poly(session, 2), y ~ poly(session, 1), y ~ poly(session, 2) * f, y ~ splines::ns(session, 3),
    y ~ splines::bs(session, df = 4):treatment, y ~ scale(x), y ~ one_column, y ~ cbind(x, w),
    y ~ poly(session, 2):poly(w, 2), y ~ f:poly(x, 2)
  )) {
    expect_model_matrix(formula, d)
  }
})

test_that("contrasts may be names, matrices, attributes or options", {
  d <- factorial_data()
  expect_model_matrix(y ~ f * ch, d, contrasts = list(f = "contr.sum", ch = "contr.helmert"))
  expect_model_matrix(y ~ f * x, d, contrasts = list(f = cbind(a = c(-1, 0, 1), b = c(1, -2, 1))))
  stats::contrasts(d$f) <- stats::contr.helmert(3)
  expect_model_matrix(y ~ f, d)
  withr::local_options(contrasts = c("contr.sum", "contr.poly"))
  expect_model_matrix(y ~ ch + o, d)
  expect_error(front(y ~ f + (1 | patient), d, contrasts = list(ff = "contr.sum")), class = "hlm_error_design")
  expect_error(front(y ~ f + (1 | patient), d, contrasts = "contr.sum"), class = "hlm_error_design")
})

test_that("unused levels are dropped, one category is an error", {
  d <- factorial_data()
  d <- d[d$f != "mid", ]
  expect_model_matrix(y ~ f * x, d)
  d$f <- factor("low")
  expect_error(front(y ~ f + (1 | patient), d), "only one category", class = "hlm_error_data")
})
