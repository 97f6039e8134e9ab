test_that("X has names, assign and contrasts; Z is sparse with the groups' names", {
  d <- synthetic_sessions()
  fit <- front(y ~ treatment * session + (session | patient), d)
  x <- design_matrix_x(fit)
  expected <- stats::model.matrix(y ~ treatment * session, d)
  expect_equal(x, expected)
  z <- design_matrix_z(fit)
  expect_s4_class(z, "dgCMatrix")
  expect_equal(dim(z), c(nrow(d), 24))
  expect_equal(colnames(z), rep(as.character(1:12), each = 2))
})

test_that("row names are those of the data", {
  d <- synthetic_sessions()
  rownames(d) <- paste0("row", seq_len(nrow(d)))
  d$y[2] <- NA
  fit <- front(y ~ x + (1 | patient), d)
  expect_equal(rownames(design_matrix_x(fit)), rownames(d)[-2])
})
