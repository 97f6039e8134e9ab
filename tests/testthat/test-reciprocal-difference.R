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

# A cluster's weight moved up and down by copies: the estimates of K copies of everything are those of the data (by ML; REML counts coefficients).
copied_value <- function(fit, name, unit, j, copies, more) {
  all <- seq_along(unit$labels)
  other <- with_groups(fit, match(unit$name, group_names(fit)), c(rep(all, copies), if (more) j)[if (more) TRUE else -j])
  other$core <- engine_fit(other$design, FALSE, other$control)
  cross_value(other, name)
}

test_that("contributions are the derivative of the effect in the weight of each cluster: persons' SDs, slopes and variances included", {
  models <- list(list("intercept", "raw", 11L), list("slope", "raw", 11L), list(~ (1 + slope | person) + (1 | therapist), "none", 13L))
  for (model in models) {
    r <- reciprocal(reciprocal_panel(model[[3L]]), x, y, person, session, random = model[[1L]], autoregression = model[[2L]], REML = FALSE)
    fit <- r$fits$xy
    # away from the boundary
    expect_identical(fit$core$status, "converged")
    unit <- default_cluster(fit)
    found <- cross_contributions(list(fit = fit, roles = list(within = "x_lag1_within")), unit, left_out = FALSE)
    expect_identical(names(found), unit$labels)
    expect_lt(abs(sum(found)), 1e-6 * sum(abs(found)))
    copies <- 12L
    for (j in c(2L, 5L, 11L)) {
      moved <- vapply(c(TRUE, FALSE), function(more) copied_value(fit, "x_lag1_within", unit, j, copies, more), 0)
      expect_equal(found[[j]], copies * (moved[[1L]] - moved[[2L]]) / 2, tolerance = 5e-3)
    }
  }
})

test_that("the effect of a lagged outcome moves with the variances, and that is counted", {
  fit <- reciprocal(reciprocal_panel(11L), x, y, person, session, REML = FALSE)$fits$xy
  made <- list(fit = fit, roles = list(within = "x_lag1_within"))
  unit <- default_cluster(fit)
  expect_gt(sum(variance_influence(made, unit)^2), 0.01 * sum(cross_influence(made, unit)^2))
  # nothing can move at variances of zero
  zero <- fit
  zero$core[names(engine_at(fit$design, FALSE, c(0, 0, 0)))] <- engine_at(fit$design, FALSE, c(0, 0, 0))
  expect_identical(variance_influence(list(fit = zero, roles = made$roles), unit), 0)
})

test_that("the contributions used are nearly those of a jackknife that leaves out one person and fits anew", {
  for (random in c("intercept", "slope")) {
    r <- reciprocal(reciprocal_panel(11L), x, y, person, session, random = random)
    fit <- r$fits$xy
    unit <- default_cluster(fit)
    found <- cross_contributions(list(fit = fit, roles = list(within = "x_lag1_within")), unit)
    left <- vapply(seq_along(unit$labels), function(j) {
      other <- with_groups(fit, match(unit$name, group_names(fit)), seq_along(unit$labels)[-j])
      other$core <- engine_fit(other$design, TRUE, other$control)
      cross_value(other, "x_lag1_within")
    }, 0)
    expect_gt(stats::cor(found, -left), 0.99)
    j <- length(left)
    expect_equal(sqrt(sum(found^2) * j / (j - 1)), sqrt(sum((left - mean(left))^2) * (j - 1) / j), tolerance = 0.04)
  }
})

test_that("at a variance of zero the part of the coefficients is exactly the jackknife of least squares", {
  # one slope for all and no random effects left: T = beta r, r the mean ratio of SDs
  r <- reciprocal(reciprocal_panel(), x, y, person, session, random = "intercept")
  fit <- r$fits$yx
  expect_identical(fit$core$theta, 0)
  unit <- default_cluster(fit)
  parts <- influence_parts(list(fit = fit, roles = list(within = "y_lag1_within")), unit, left_out = TRUE)
  x <- stats::model.matrix(fit)
  beta <- function(rows) stats::lm.fit(x[rows, , drop = FALSE], fit$design$y[rows])$coefficients[["y_lag1_within"]]
  whole <- beta(seq_len(nrow(x)))
  left <- vapply(seq_along(unit$labels), function(j) beta(which(unit$codes != j)), 0)
  expect_equal(unname(parts$coefficients), sum(cross_weights(fit, "y_lag1_within")) * (whole - left), tolerance = 1e-8)
  expect_identical(unname(parts$deviations), numeric(length(left)))
})

test_that("the difference test is the sandwich of the stacked contributions", {
  r <- both_panel()
  cross <- r$effects[r$effects$role == "within", ]
  a <- cross_contributions(list(fit = r$fits$xy, roles = list(within = "x_lag1_within")), default_cluster(r$fits$xy))
  b <- cross_contributions(list(fit = r$fits$yx, roles = list(within = "y_lag1_within")), default_cluster(r$fits$yx))
  known <- union(names(a), names(b))
  at <- function(psi) ifelse(known %in% names(psi), psi[match(known, names(psi))], 0)
  j <- length(known)
  expect_equal(r$difference$estimate, c(cross$std.estimate[[1L]] - cross$std.estimate[[2L]], abs(cross$std.estimate[[1L]]) - abs(cross$std.estimate[[2L]])))
  expect_equal(r$difference$std.error[[1L]], sqrt(j / (j - 1) * sum((at(a) - at(b))^2)))
  expect_equal(r$correlation, sum(at(a) * at(b)) / sqrt(sum(a^2) * sum(b^2)))
})

test_that("a correlation that is there by construction is found: the same direction twice", {
  r <- both_panel()
  a <- cross_contributions(list(fit = r$fits$xy, roles = list(within = "x_lag1_within")), default_cluster(r$fits$xy))
  expect_equal(unname(stats::cov2cor(stacked_covariance(a, a))), matrix(1, 2L, 2L))
  expect_equal(stacked_covariance(a, -a)[1L, 2L], -stacked_covariance(a, a)[1L, 1L])
  # units that only one of the two has count as zero in the other, not as missing
  few <- stacked_covariance(a[1:10], a[8:20])
  expect_equal(few[1L, 2L], 20 / 19 * sum(a[8:10]^2))
})

test_that("scores and cases bootstrap agree where persons have many sessions and no variance is near zero", {
  d <- panel_series(60L, 20L, 0.3, 1, 5L, effect = 0.3)
  for (random in c("intercept", "slope")) {
    scores <- suppressWarnings(reciprocal(d, x, y, person, session, random = random))
    boot <- suppressWarnings(reciprocal(d, x, y, person, session, random = random, test = "bootstrap", nsim = 200, seed = 4))
    expect_identical(boot$difference$estimate, scores$difference$estimate)
    # Monte Carlo error of an SD from 200 draws is 5 %, of a correlation 0.07
    expect_lt(abs(boot$difference$std.error[[1L]] / scores$difference$std.error[[1L]] - 1), 0.2)
    expect_lt(abs(boot$correlation - scores$correlation), 0.25)
  }
})

# The same persons drawn, given new ids, and reciprocal() called on their rows.
brute_force <- function(d, nsim, seed, persons, ...) {
  drawn <- withr::with_seed(seed, lapply(seq_len(nsim), function(i) sample(persons, replace = TRUE)))
  draws <- vapply(drawn, function(ids) {
    rows <- lapply(ids, function(id) which(d$person == id))
    copy <- d[unlist(rows), ]
    copy$person <- rep(seq_along(rows), lengths(rows))
    effects <- suppressWarnings(suppressMessages(reciprocal(copy, x, y, person, session, ...)))$effects
    effects$std.estimate[effects$role == "within"]
  }, c(0, 0))
  stats::cov(t(draws))
}

test_that("the bootstrap is the loop one would write: persons drawn, new ids, both directions fitted anew", {
  d <- reciprocal_panel(11L, 30L)
  for (given in list(list(random = "intercept"), list(random = "slope"), list(random = "intercept", residual = "ar1"))) {
    call <- function(...) suppressWarnings(suppressMessages(do.call(reciprocal, c(list(d, "x", "y", "person", "session"), given, list(...)))))
    boot <- call(test = "bootstrap", nsim = 12, seed = 5)
    labels <- lapply(boot$fits, function(fit) default_cluster(fit)$labels)
    expected <- do.call(brute_force, c(list(d, 12L, 5, union(labels$xy, labels$yx)), given))
    # the same optimum from other rows' order
    expect_equal(boot$difference$std.error[[1L]], sqrt(sum(diag(expected)) - 2 * expected[1L, 2L]), tolerance = 1e-4)
    expect_equal(boot$correlation, stats::cov2cor(expected)[1L, 2L], tolerance = 1e-4)
  }
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
