test_that("roots are found also in pairs between neighbours of the grid", {
  f <- function(x) (x - 0.5001) * (x - 0.5003) * (x + 2)
  expect_equal(search_roots(f, seq(-3, 3, length.out = 41)), c(-2, 0.5001, 0.5003), tolerance = 1e-9)
  expect_equal(search_roots(function(x) x^2 + 1, seq(-3, 3, length.out = 41)), numeric())
  expect_equal(search_roots(function(x) x, c(-1, 0, 1)), 0)
})

test_that("the search over the whole axis finds what the closed form finds", {
  fit <- fit_simple_moderated()
  inference <- resolve_inference(fit, "none")
  for (line in list(rbind(c(0, 1, 0, 0, 20), c(0, 0, 0, 0, 9)), rbind(c(0, 1, 0, 0, 60), c(0, 0, 0, 0, 1)))) {
    curve <- list(line = line, centre = line[1, 5], scale = line[2, 5], range = line[1, 5] + c(-1, 1) * line[2, 5])
    rule <- list(critical = function(df) rep(1.96, length(df)))
    closed <- find_bounds(curve, fit, inference, rule, NULL)
    # df that vary too little to matter
    inference$df <- function(l) 1e6 + l[[5]]
    searched <- find_bounds(curve, fit, inference, rule, NULL)
    inference <- resolve_inference(fit, "none")
    expect_length(closed, 2L)
    expect_equal(searched, closed, tolerance = 1e-6)
  }
})

test_that("the closed form: a linear equation, no root, cancellation", {
  fit <- fit_simple_moderated()
  inference <- resolve_inference(fit, "none")
  b <- fixef(fit)
  curve <- list(line = rbind(c(0, 1, 0, 0, 0), c(0, 0, 0, 0, 1)), centre = 0, scale = 1)
  v <- as.matrix(stats::vcov(fit))
  # the critical value at which the slope's change is just significant: one bound is at infinity
  limit <- abs(b[[5]]) / sqrt(v[5, 5])
  expect_length(closed_bounds(curve, fit, inference, limit), 1L)
  expect_length(closed_bounds(curve, fit, inference, 1e3), 0L)
  tiny <- closed_bounds(curve, fit, inference, 1e-7)
  expect_equal(tiny, rep(-b[[2]] / b[[5]], 2), tolerance = 1e-6)
})

test_that("no degrees of freedom left is an error", {
  fit <- fit_simple_moderated()
  inference <- resolve_inference(fit, "none")
  inference$df <- function(l) NA_real_
  curve <- list(line = rbind(c(0, 1, 0, 0, 0), c(0, 0, 0, 0, 1)), centre = 0, scale = 1)
  expect_error(find_bounds(curve, fit, inference, list(critical = function(df) df), NULL), class = "hlm_error_numerical")
})
