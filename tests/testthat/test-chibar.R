test_that("one variance: half and half", {
  expect_equal(chibar_weights(NULL, 1L)$weights, c(0.5, 0.5))
})

test_that("two and three variances: known angles (Shapiro 1988, section 5)", {
  expect_equal(orthant_weights(diag(2)), c(1, 2, 1) / 4)
  expect_equal(orthant_weights(diag(c(3, 7, 0.1))), c(1, 3, 3, 1) / 8)
  # Estimates correlated 0.5: P(both > 0) = 1/4 + asin(0.5) / (2 pi) = 1/3
  expect_equal(orthant_weights(solve(matrix(c(1, 0.5, 0.5, 1), 2))), c(1 / 6, 1 / 2, 1 / 3))
})

test_that("a 2 x 2 covariance matrix: the circular cone has its closed form", {
  # Information diag(1, 2, 1) is the Frobenius metric, in which positive semidefinite matrices are a circular cone of half-angle 45 degrees:
  # its solid angle is 2 pi (1 - cos 45), the length of its edge on the sphere 2 pi sin 45.
  root <- sqrt(0.5)
  expect_equal(cone2_weights(diag(c(1, 2, 1))), c((1 - root) / 2, root / 2, root / 2, (1 - root) / 2), tolerance = 1e-12)
})

test_that("a 2 x 2 covariance matrix: weights are probabilities that simulation gives", {
  information <- matrix(c(2, 0.6, 0.3, 0.6, 1.5, 0.5, 0.3, 0.5, 0.9), 3)
  exact <- cone2_weights(information)
  expect_equal(sum(exact), 1)
  expect_equal(exact[[1]] + exact[[3]], 0.5)
  draws <- withr::with_seed(8, matrix(stats::rnorm(3 * 40000), 3))
  z <- backsolve(chol(information), draws)
  inside <- z[1, ] > 0 & z[1, ] * z[3, ] > z[2, ]^2
  u <- crossprod(chol(information), draws)
  polar <- u[1, ] < 0 & 4 * u[1, ] * u[3, ] > u[2, ]^2
  expect_equal(exact[[4]], mean(inside), tolerance = 4 * sqrt(0.25 / 40000) / exact[[4]])
  expect_equal(exact[[1]], mean(polar), tolerance = 4 * sqrt(0.25 / 40000) / exact[[1]])
  # free of units
  unit <- outer(c(1, 1e3, 1e6), c(1, 1e3, 1e6))
  expect_equal(cone2_weights(information * unit), exact, tolerance = 1e-9)
})

test_that("the simulation gives the weights that are known exactly", {
  information <- matrix(c(2, 0.6, 0.3, 0.6, 1.5, 0.5, 0.3, 0.5, 0.9), 3)
  simulated <- keep_seed(1, simulated_weights(information, 2L, 1500L))
  expect_lt(max(abs(simulated - cone2_weights(information))), 0.05)
  simulated <- keep_seed(1, simulated_weights(information, c(1L, 1L, 1L), 1500L))
  expect_lt(max(abs(simulated - orthant_weights(information))), 0.05)
  # independent blocks: the weights are the convolution of those of the blocks
  product <- diag(c(1, 2, 1, 5))
  two <- cone2_weights(diag(c(1, 2, 1)))
  expected <- (c(two, 0) + c(0, two)) / 2
  found <- chibar_weights(product, c(2L, 1L), nsim = 1500L)
  expect_false(found$exact)
  expect_equal(sum(found$weights), 1)
  expect_lt(max(abs(found$weights - expected)), 0.05)
})

test_that("the generator is left alone and the weights are reproducible", {
  set.seed(3)
  before <- .Random.seed
  a <- chibar_weights(diag(6), 3L, nsim = 100L, seed = 5L)
  expect_identical(.Random.seed, before)
  expect_identical(chibar_weights(diag(6), 3L, nsim = 100L, seed = 5L), a)
})

test_that("tail probabilities mix those of chi-squares", {
  expect_equal(chibar_p(3, 0, c(0.5, 0.5)), 0.5 * stats::pchisq(3, 1, lower.tail = FALSE))
  expect_equal(
    chibar_p(3, 1, c(0.5, 0.5)), 0.5 * stats::pchisq(3, 1, lower.tail = FALSE) + 0.5 * stats::pchisq(3, 2, lower.tail = FALSE)
  )
  expect_equal(chibar_p(0, 0, c(0.5, 0.5)), 1)
  # Stram & Lee (1994), table 1: 5 % critical values of 50:50 mixtures of q and q + 1 df
  expect_equal(chibar_p(2.7055, 0, c(0.5, 0.5)), 0.05, tolerance = 1e-4)
  expect_equal(chibar_p(5.1378, 1, c(0.5, 0.5)), 0.05, tolerance = 1e-3)
  expect_identical(chibar_text(1, c(0.5, 0.5)), "0.5 chi2(1) + 0.5 chi2(2)")
})
