test_that("turning the rows changes nothing", {
  fit <- fit_clinic()
  unit <- wbhlm:::resolve_cluster(fit, clinic_data()$clinic)
  basis <- wbhlm:::tree_basis(fit)
  set <- which(unit$codes == 1L)
  parts <- lapply(seq_along(fit$design$terms), function(t) {
    list(z = basis$terms[[t]]$z %*% basis$terms[[t]]$r, codes = fit$design$groups[[fit$design$terms[[t]]$group]]$codes)
  })
  x <- basis$x[set, 1:2] / 20
  e <- basis$e[set]
  # three distinct weights, so that the rows are turned weight by weight
  inverse_weights <- rep(c(1, 2, 0.5), length.out = length(set))
  part <- list(list(z = parts[[2]]$z[, 1L, drop = FALSE], codes = rep(1L, length(unit$codes))))
  turned <- wbhlm:::cluster_block(part, set, x, e, inverse_weights)
  expect_lt(length(turned$e), length(set))
  v <- diag(inverse_weights) + tcrossprod(part[[1]]$z[set, , drop = FALSE])
  direct <- wbhlm:::cr2_block(list(x = x, e = e, v = v))
  expect_equal(wbhlm:::cr2_block(turned), direct, tolerance = 1e-10)
})

test_that("a cluster whose coefficients are all its own contributes nothing", {
  block <- list(x = cbind(c(1, 1) / sqrt(2)), e = c(1, 2), v = diag(2))
  pieces <- wbhlm:::cr2_block(block)
  expect_equal(drop(pieces$score), 0, tolerance = 1e-12)
  expect_equal(drop(pieces$eve), 0, tolerance = 1e-12)
})
