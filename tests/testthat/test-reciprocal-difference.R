test_that("each cluster's contribution is X'V^-1 e of dense matrices, and the contributions sum to zero", {
  d <- reciprocal_panel()
  r <- reciprocal(d, x, y, person, session, random = "intercept")
  fit <- r$fits$xy
  made <- list(fit = fit, roles = list(within = "x_lag1_within"))
  found <- cross_influence(made, default_cluster(fit))
  x <- stats::model.matrix(fit)
  attributes(x) <- list(dim = dim(x))
  e <- residuals_fixed <- fit$design$y - drop(x %*% fixef(fit))
  codes <- fit$design$groups[[1L]]$codes
  ratio <- fit$core$theta^2
  inverse <- lapply(split(seq_along(e), codes), function(rows) solve(diag(length(rows)) + ratio))
  rows <- split(seq_along(e), codes)
  u <- t(vapply(seq_along(rows), function(j) drop(crossprod(x[rows[[j]], , drop = FALSE], inverse[[j]] %*% e[rows[[j]]])), double(ncol(x))))
  a <- Reduce(`+`, lapply(seq_along(rows), function(j) crossprod(x[rows[[j]], , drop = FALSE], inverse[[j]] %*% x[rows[[j]], , drop = FALSE])))
  weight <- sum(cross_weights(fit, "x_lag1_within"))
  expected <- weight * drop(u %*% solve(a))[, match("x_lag1_within", names(fixef(fit)))]
  expect_equal(unname(found), expected, tolerance = 1e-8)
  expect_identical(names(found), fit$design$groups[[1L]]$levels)
  expect_lt(abs(sum(found)), 1e-8 * sum(abs(found)))
})

test_that("with a random slope the contributions are those of the estimator itself: their sum of squares is near its variance", {
  # the estimated effect as a function of the outcome of one person, by finite differences at fixed variances and SDs
  r <- both_panel()
  fit <- r$fits$xy
  found <- cross_influence(list(fit = fit, roles = list(within = "x_lag1_within")), default_cluster(fit))
  weights <- cross_weights(fit, "x_lag1_within")
  value <- function(y) {
    other <- fit
    other$design$y <- y
    core <- engine_at(other$design, TRUE, fit$core$theta)
    other$core[names(core)] <- core
    sum(weights * (fixef(other)[["x_lag1_within"]] + person_deviation(other, "x_lag1_within", cross_person(other))))
  }
  # the estimator is linear in y: the contribution of person j is its value for the person's residuals alone
  e <- fit$design$y - fixed_predictor(fit)
  for (j in c(1L, 7L, 33L)) {
    expect_equal(found[[j]], value(ifelse(fit$design$groups[[1L]]$codes == j, e, 0)), tolerance = 1e-7)
  }
  expect_lt(abs(sum(found^2) / r$effects$std.error.std[r$effects$term == "x_lag1_within"]^2 - 1), 0.5)
})

test_that("the difference test is the delta method with the stacked correlation", {
  r <- both_panel()
  cross <- r$effects[r$effects$role == "within", ]
  a <- cross_influence(list(fit = r$fits$xy, roles = list(within = "x_lag1_within")), default_cluster(r$fits$xy))
  b <- cross_influence(list(fit = r$fits$yx, roles = list(within = "y_lag1_within")), default_cluster(r$fits$yx))
  shared <- intersect(names(a), names(b))
  rho <- sum(a[shared] * b[shared]) / sqrt(sum(a^2) * sum(b^2))
  expect_equal(r$correlation, rho)
  se <- cross$std.error.std
  expect_equal(r$difference$estimate, c(cross$std.estimate[[1L]] - cross$std.estimate[[2L]], abs(cross$std.estimate[[1L]]) - abs(cross$std.estimate[[2L]])))
  expect_equal(r$difference$std.error[[1L]], sqrt(sum(se^2) - 2 * rho * prod(se)))
})

test_that("a correlation that is there by construction is found: the same direction twice", {
  r <- both_panel()
  a <- cross_influence(list(fit = r$fits$xy, roles = list(within = "x_lag1_within")), default_cluster(r$fits$xy))
  expect_equal(stacked_correlation(a, a), 1)
  expect_equal(stacked_correlation(a, -a), -1)
})

test_that("scores and cases bootstrap agree", {
  scores <- both_panel()
  boot <- reciprocal(reciprocal_panel(), x, y, person, session, test = "bootstrap", nsim = 300, seed = 4)
  expect_identical(boot$difference$estimate, scores$difference$estimate)
  # Monte Carlo error of an SD from 300 draws is 4 %, of a correlation 0.06
  expect_lt(abs(boot$difference$std.error[[1L]] / scores$difference$std.error[[1L]] - 1), 0.2)
  expect_lt(abs(boot$correlation - scores$correlation), 0.25)
})

test_that("the bootstrap is reproducible and leaves the session's random numbers alone", {
  one <- function() reciprocal(reciprocal_panel(), x, y, person, session, random = "intercept", test = "bootstrap", nsim = 20, seed = 2)$difference
  withr::with_seed(1, {
    first <- one()
    after <- stats::runif(1)
  })
  withr::with_seed(1, expect_identical(stats::runif(1), after))
  expect_identical(one(), first)
})

test_that("the two models are compared by the same clusters when only one has therapists", {
  r <- reciprocal(reciprocal_panel(), x, y, person, session, autoregression = FALSE,
    random = list(xy = ~ (1 + slope | person) + (1 | therapist), yx = "slope")
  )
  expect_equal(r$difference$df, c(11, 11))
  fits <- lapply(list(xy = "x_lag1_within", yx = "y_lag1_within"), function(name) list(fit = NULL, roles = list(within = name), data = reciprocal_panel()))
  for (way in names(fits)) fits[[way]]$fit <- r$fits[[way]]
  units <- lapply(fits, common_cluster, fits)
  expect_identical(sort(units$xy$labels), sort(units$yx$labels))
  boot <- reciprocal(reciprocal_panel(), x, y, person, session, autoregression = FALSE,
    random = list(xy = ~ (1 + slope | person) + (1 | therapist), yx = "slope"), test = "bootstrap", nsim = 30, seed = 1
  )
  expect_true(all(is.finite(boot$difference$std.error)))
})

test_that("with crossed random effects there is no test, and the reason is given", {
  d <- reciprocal_panel()
  d$rater <- rep_len(1:7, nrow(d))
  r <- suppressWarnings(suppressMessages(reciprocal(d, x, y, person, session, random = ~ (1 | person) + (1 | rater))))
  expect_null(r$difference)
  expect_match(r$note, "no test")
  expect_output(print(r), "No test of their difference")
})
