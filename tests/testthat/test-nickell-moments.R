test_that("the formula is Nickell's: known values, limits, vectors", {
  # T = 2: -(1 + rho)/2 (Nickell 1981, after eq. 18)
  rho <- c(-0.5, 0, 0.3, 0.9)
  expect_equal(nickell_formula(rho, 2), -(1 + rho) / 2)
  # without autoregression minus one over T
  expect_equal(nickell_formula(0, c(3, 10)), c(-1 / 3, -1 / 10))
  # large T: -(1 + rho)/(T - 1)
  expect_equal(nickell_formula(0.5, 1e4), -1.5 / 9999, tolerance = 1e-3)
  # unit root: -3/(T + 1) (Harris and Tzavalis 1999)
  expect_equal(nickell_formula(1, c(4, 9)), -3 / c(5, 10))
  expect_equal(nickell_formula(0.9995, 5), nickell_formula(0.999, 5), tolerance = 2e-3)
  expect_equal(nickell_formula(0.5, c(1, 5)), c(NA, nickell_formula(0.5, 5)))
  expect_identical(is.na(nickell_formula(c(1.2, 0.5), 5)), c(TRUE, FALSE))
  # direct sums of covariances of a stationary series, T = 6
  s <- outer(0:6, 0:6, function(a, b) 0.4^abs(a - b)) / (1 - 0.4^2)
  centre <- diag(6) - 1 / 6
  xx <- sum(diag(centre %*% s[1:6, 1:6]))
  xy <- sum(diag(centre %*% s[1:6, 2:7]))
  expect_equal(nickell_formula(0.4, 6), xy / xx - 0.4)
})

test_that("gaps, unequal numbers of sessions and trends: the sums over pairs are the dense matrices'", {
  times <- list(c(1, 2, 3, 4, 5), c(1, 2, 5, 6, 9), c(2, 4, 7), c(1, 2, 3, 4, 5), 3)
  person <- rep(seq_along(times), lengths(times))
  time <- unlist(times)
  order <- c(7, 3, 1, 12, 9, 2, 4, 5, 6, 8, 10, 11, 13, 14, 15, 16, 17, 18, 19)
  rho <- 0.45
  for (degree in 0:1) {
    use <- if (degree == 1L) person != 5 else rep(TRUE, length(person))
    panel <- panel_moments(person[use], time[use], degree)
    xx <- xe <- 0
    for (t in times[seq_len(5L - degree)]) {
      x <- outer(t - 1, t - 1, function(a, b) rho^abs(a - b)) / (1 - rho^2)
      # E x_s e_t: the error of session t is in all later values
      e <- outer(t - 1, t, function(s, t) ifelse(s >= t, rho^(s - t), 0))
      h <- qr.Q(qr(cbind(rep(1, length(t)), if (degree == 1L) t)))
      m <- diag(length(t)) - tcrossprod(h)
      xx <- xx + sum(diag(m %*% x))
      xe <- xe + sum(diag(m %*% e))
    }
    expect_equal(panel_squares(panel, rho), xx)
    expect_equal(panel_covariance(panel, rho), xe)
    expect_equal(panel_bias(panel, rho), xe / xx)
  }
  shuffled <- panel_moments(person[order], time[order])
  expect_equal(shuffled, panel_moments(person, time))
  # sessions of every second week are one lag apart
  expect_equal(panel_moments(person, time * 2 / 2), panel_moments(person, time))
  full <- panel_moments(rep(1:10, each = 7), rep(1:7, 10))
  expect_equal(panel_bias(full, c(0.3)), nickell_formula(0.3, 7))
})

test_that("a row between which lies no whole lag is independent of the others", {
  panel <- panel_moments(rep(1, 4), c(0, 0.5, 1, 1.5))
  expect_equal(drop(panel$c), 2 / 4)
})
