fixed_text <- function(formula, ...) {
  deparse1(parse_formula(formula, ...)$fixed)
}

test_that("terms are rewritten to the names of their columns", {
  expect_equal(fixed_text(y ~ wb(x) + (1 | g)), "(x_within + x_between)")
  expect_equal(fixed_text(y ~ wb(x) * arm + (1 | g)), "(x_within + x_between) * arm")
  expect_equal(fixed_text(y ~ cx(x) + (1 | g)), "(x + x_between)")
  expect_equal(fixed_text(y ~ within(x):between(w) + (1 | g)), "x_within:w_between")
  expect_equal(fixed_text(y ~ between(x, level = "th") + (1 | g)), "(x_between + x_between_th)")
  expect_equal(fixed_text(y ~ between(x, level = th) + (1 | g)), "(x_between + x_between_th)")
  expect_equal(
    fixed_text(y ~ wb(x, level = c("th", "clinic")) + (1 | g)),
    "(x_within + x_between + x_between_th + x_between_clinic)"
  )
  expect_equal(fixed_text(y ~ lagged(x) + lagged(x, 2) + (1 | g), time = "t"), "x_lag1 + x_lag2")
  expect_equal(fixed_text(y ~ within(lagged(x)) + (1 | g), time = "t"), "x_lag1_within")
  expect_equal(fixed_text(y ~ I(within(x)^2) + (1 | g)), "I(x_within^2)")
})

test_that("the rewritten formula is an ordinary terms object with real interactions", {
  tt <- parse_formula(y ~ wb(x) * arm + (1 | g))$terms$object
  expect_s3_class(tt, "terms")
  expect_equal(
    attr(tt, "term.labels"), c("x_within", "x_between", "arm", "x_within:arm", "x_between:arm")
  )
})

test_that("terms work in random parts, too", {
  spec <- parse_formula(y ~ x + (1 + within(x) | a / b))
  expect_equal(vapply(spec$bars, function(b) deparse1(b$lhs), ""), rep("1 + x_within", 2))
  expect_equal(vapply(spec$bars, `[[`, "", "name"), c("b:a", "a"))
})

test_that("base::within() keeps working", {
  expect_equal(within(data.frame(a = 1), b <- a + 1)$b, 2)
  expect_false("within" %in% getNamespaceExports("wbhlm"))
  expect_false("between" %in% getNamespaceExports("wbhlm"))
})

test_that("a made column may not meet a raw column of that name", {
  expect_error(parse_formula(y ~ within(x) + x_within + (1 | g)), class = "hlm_error_formula")
})

test_that("time is asked for where it matters", {
  expect_error(parse_formula(y ~ lagged(x) + (1 | g)), "time = session", class = "hlm_error_formula")
  expect_error(parse_formula(y ~ within(x, detrend = TRUE) + (1 | g)), class = "hlm_error_formula")
  expect_s3_class(parse_formula(y ~ within(x) + (1 | g)), "hlm_spec")
})

test_that("a spec holds no environment of a function", {
  spec <- local(parse_formula(y ~ wb(x) + (1 | g)))
  expect_identical(environment(spec$formula), clean_env(environment()))
  expect_identical(attr(spec$terms$object, ".Environment"), environment(spec$formula))
})

test_that("a spec prints what the columns are", {
  expect_snapshot(print(parse_formula(y ~ wb(x, level = "therapist") + lagged(w) + (1 | g), time = "t")))
})

test_that("the outcome is no predictor, and no random effect stands there twice", {
  d <- synthetic_sessions()
  expect_error(front(y ~ x + y + (1 | patient), d), "also a predictor", class = "hlm_error_formula")
  expect_error(front(y ~ x + (1 | patient) + (1 | patient), d), "more than once", class = "hlm_error_formula")
  expect_error(front(y ~ x + (x | patient) + (0 + x | patient), d), "more than once", class = "hlm_error_formula")
  expect_error(front(y ~ x + offset(treatment) + (1 | patient), d), "must be a number", class = "hlm_error_data")
})

test_that("a formula is read once, and again when something else than its text matters", {
  first <- parse_formula(y ~ wb(x) * arm + (1 + within(x) | g), c("y", "x"), quote(g), "t")
  expect_identical(parse_formula(y ~ wb(x) * arm + (1 + within(x) | g), "other", quote(g), "t"), first)
  expect_identical(read_formula(y ~ wb(x) * arm + (1 + within(x) | g), NULL, quote(g), "t"), first)
  expect_identical(parse_formula(y ~ wb(x) * arm + (1 + within(x) | g), time = "u")$time, "u")
  expect_null(parse_formula(y ~ wb(x) * arm + (1 + within(x) | g))$id)
  # columns of the data, values of the caller
  expect_equal(fixed_text(y ~ . + (1 | g), c("y", "a", "g")), "(a)")
  expect_equal(fixed_text(y ~ . + (1 | g), c("y", "b", "g")), "(b)")
  of_degree <- function(k) parse_formula(y ~ within(x, detrend = k) + (1 | g), time = "t")$columns[[1L]]$degree
  expect_equal(c(of_degree(1), of_degree(2)), 1:2)
  of_lag <- function(k) fixed_text(y ~ within(lagged(x, k)) + (1 | g), time = "t")
  expect_equal(c(of_lag(1), of_lag(2)), c("x_lag1_within", "x_lag2_within"))
})

test_that("formulas of the same text in other packages are told apart", {
  here <- y ~ x + (1 | g)
  there <- here
  environment(there) <- asNamespace("stats")
  expect_identical(environment(parse_formula(here)$formula), clean_env(environment(here)))
  expect_identical(attr(parse_formula(there)$terms$object, ".Environment"), asNamespace("stats"))
  expect_identical(environment(parse_formula(there)$formula), asNamespace("stats"))
})

test_that("no more than the latest formulas are kept, and nothing of the caller", {
  for (k in 1:20) parse_formula(stats::as.formula(paste0("y ~ x", k, " + (1 | g)")))
  expect_length(recent_specs$keys, 8L)
  homes <- lapply(recent_specs$keys, `[[`, 4L)
  expect_true(all(vapply(homes, function(env) identical(env, clean_env(env)), NA)))
})
