bar_text <- function(formula) {
  vapply(split_formula(formula)$bars, function(bar) {
    paste(deparse1(bar$lhs), if (bar$double) "||" else "|", deparse1(bar$group))
  }, "")
}

test_that("bars are found and the rest is the fixed part", {
  parts <- split_formula(y ~ a + (1 + a | g) + b)
  expect_equal(parts$fixed, quote(a + b))
  expect_equal(split_formula(y ~ (1 | g))$fixed, 1)
  expect_equal(split_formula(y ~ (1 | g) + a)$fixed, quote(a))
  expect_equal(split_formula(y ~ a + ((1 | g)))$fixed, quote(a))
  expect_equal(split_formula(y ~ (a + (1 | g)) + b)$fixed, quote(a + b))
  expect_equal(split_formula(y ~ (1 | g) - 1)$fixed, quote(-1))
  expect_equal(split_formula(y ~ 0 + a + (1 | g))$fixed, quote(0 + a))
  expect_equal(split_formula(y ~ (a + b)^2 + (1 | g))$fixed, quote((a + b)^2))
})

test_that("grouping factors are expanded as lme4 does", {
  skip_if_not_installed("lme4")
  for (formula in list(
    y ~ x + (1 | a), y ~ (1 | a / b), y ~ (x | a / b / c), y ~ (1 | a:b) + (0 + x | c), y ~ (1 | a) + (x | b) + (1 | a:b)
  )) {
    theirs <- vapply(lme4::findbars(formula), deparse1, "")
    expect_equal(bar_text(formula), theirs)
  }
})

test_that("a*b and a+b in a grouping stand for their parts", {
  expect_equal(bar_text(y ~ (1 | a * b)), c("1 | a", "1 | b", "1 | a:b"))
  expect_equal(bar_text(y ~ (1 | a + b)), c("1 | a", "1 | b"))
  expect_equal(bar_text(y ~ (x || a / b)), c("x || b:a", "x || a"))
})

test_that("the dot stands for all unused columns", {
  parts <- split_formula(y ~ . + (x | g), c("y", "a", "b", "x", "g"))
  expect_equal(all.vars(parts$fixed), c("a", "b"))
  expect_equal(all.vars(split_formula(y ~ . - b + (1 | g), c("y", "a", "b", "g"))$fixed), c("a", "b"))
  expect_error(split_formula(y ~ . + (1 | g)), class = "hlm_error_formula")
  expect_error(split_formula(y ~ . + (1 | g), c("y", "g")), class = "hlm_error_formula")
})

test_that("formulas that cannot be meant are refused with advice", {
  expect_error(split_formula(~ a + (1 | g)), "outcome", class = "hlm_error_formula")
  expect_error(split_formula(y ~ a), "no random-effects term", class = "hlm_error_formula")
  expect_error(split_formula(y ~ a + 1 | g), "parentheses", class = "hlm_error_formula")
  expect_error(split_formula(y ~ a * (1 | g)), "stand alone", class = "hlm_error_formula")
  expect_error(split_formula(y ~ a - (1 | g)), "subtracted", class = "hlm_error_formula")
  expect_error(split_formula("y ~ a"), class = "hlm_error_formula")
})

test_that("variables of an expression do not include namespaces", {
  expect_equal(expr_vars(quote(splines::ns(x, df = k))), c("x", "k"))
  expect_equal(expr_vars(quote(log(a) + b)), c("a", "b"))
  expect_equal(expr_vars(quote(`my var`)), "my var")
})

test_that("the environment kept is global or a namespace, never a function's", {
  local_env <- new.env(parent = globalenv())
  expect_identical(clean_env(local_env), globalenv())
  expect_identical(clean_env(new.env(parent = asNamespace("stats"))), asNamespace("stats"))
  expect_identical(clean_env(emptyenv()), globalenv())
})

test_that("expr_text() is deparse1() for every kind of expression", {
  long <- str2lang(paste(paste0("variable_", 1:80), collapse = " + "))
  expressions <- expression(
    x, 1, 1L, -1, 0.1, "a", NULL, NA_character_, TRUE, 1 + within(x), (a + b), `my var` + 1, f(x, n = 2L), c("a", NA), x[[1]], if (a) b
  )
  for (expr in c(as.list(expressions), list(long, quote(`my var`(x)), ~x, function(x) x))) {
    expected <- if (is.symbol(expr)) as.character(expr) else deparse1(expr)
    expect_identical(expr_text(expr), expected)
  }
})

test_that("a name used as a variable only does not make it a request or a bar", {
  expect_true(mentions(quote(f(within)), "within"))
  expect_length(find_calls(quote(f(within)), "within"), 0L)
  expect_false(mentions(quote(within), "within"))
  spec <- parse_formula(y ~ within + wb + (1 | between), c("y", "within", "wb", "between"))
  expect_identical(spec$fixed, quote(within + wb))
  expect_length(spec$columns, 0L)
})
