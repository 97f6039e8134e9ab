test_that("the totals are those of the core", {
  for (fit in list(fit_sleep(), fit_pastes(), fit_gaps(), fit_clinic(), fit_clinic_ml(), fit_cake())) {
    pass <- wbhlm:::tree_pass(fit, wbhlm:::tree_of(fit), derivatives = TRUE)
    p <- length(wbhlm:::kept_columns(fit))
    total <- matrix(pass$total$t, p + 1L)
    # X'V^-1 e = 0 at the estimates; e'V^-1 e = nu in units of sigma
    expect_equal(total[p + 1L, seq_len(p)] / nobs(fit), rep(0, p), tolerance = 1e-8)
    expect_equal(total[p + 1L, p + 1L], fit$core$parts$nu, tolerance = 1e-8)
    log_weights <- sum(log(wbhlm:::design_weights(fit$design)))
    expect_equal(drop(pass$total$log_det), fit$core$parts$logdet_v + log_weights, tolerance = 1e-8)
  }
})

test_that("per cluster they are X'V^-1X in dense algebra", {
  fit <- fit_clinic()
  moments <- wbhlm:::cluster_moments(fit, wbhlm:::resolve_cluster(fit, "therapist"))
  parts <- dense_parts(fit)
  rows <- which(clinic_data()$therapist == 3)
  x <- parts$x[rows, ]
  a <- t(x) %*% solve(parts$v[rows, rows]) %*% x
  expect_equal(t(moments$back) %*% a %*% moments$back / fit$core$sigma^2, moments$a[3, , ], tolerance = 1e-9, ignore_attr = TRUE)
})

test_that("derivatives agree with finite differences", {
  fit <- fit_clinic()
  tree <- wbhlm:::tree_of(fit)
  basis <- wbhlm:::tree_basis(fit)
  exact <- wbhlm:::tree_pass(fit, tree, basis, derivatives = TRUE)$total
  at <- function(k, h) {
    fit$core$theta[[k]] <- fit$core$theta[[k]] + h
    wbhlm:::tree_pass(fit, tree, basis)$total
  }
  for (k in seq_along(fit$core$theta)) {
    up <- at(k, 1e-5)
    down <- at(k, -1e-5)
    expect_equal(exact$dt[[k]], (up$t - down$t) / 2e-5, tolerance = 1e-7)
    expect_equal(exact$d_log_det[k], (up$log_det - down$log_det) / 2e-5, tolerance = 1e-7)
  }
})

test_that("crossed factors have no tree; a unit takes its place in the nesting", {
  expect_null(wbhlm:::tree_of(fit_penicillin()))
  fit <- fit_clinic()
  place <- function(level) wbhlm:::tree_of(fit, wbhlm:::resolve_unit(fit, level))$unit
  expect_identical(place("patient"), 1L)
  expect_identical(place("therapist"), 2L)
  expect_identical(place("row"), 1L)
  expect_identical(place("group"), 3L)
  expect_length(wbhlm:::tree_of(fit, wbhlm:::resolve_unit(fit, "row"))$levels, 3L)
})

test_that("batched inverse: exact, and NA where singular", {
  a <- array(0, c(3L, 2L, 2L))
  a[1, , ] <- matrix(c(2, 1, 1, 3), 2)
  a[2, , ] <- matrix(1, 2, 2)
  a[3, , ] <- diag(2)
  found <- wbhlm:::batch_inverse(a)
  expect_equal(found$inverse[1, , ], solve(a[1, , ]))
  expect_equal(found$log_det[1], log(5))
  expect_identical(found$singular, c(FALSE, TRUE, FALSE))
  expect_true(all(is.na(found$inverse[2, , ][2, ])))
})
