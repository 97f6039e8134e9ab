test_that("getME() has lme4's pieces", {
  skip_without_lme4()
  names <- c(
    "y", "mu", "u", "b", "Gp", "Tp", "Lind", "Tlist", "sigma", "fixef", "beta", "theta", "ST", "REML", "is_REML", "n_rtrms", "n_rfacs",
    "N", "n", "p", "q", "p_i", "l_i", "q_i", "k", "m_i", "m", "cnms", "offset", "lower", "RX", "flist"
  )
  plain <- function(x) if (methods::is(x, "Matrix")) drop(as.matrix(x)) else x
  for (pair in every_pair()) {
    for (name in names) {
      expect_equal(
        plain(getME(pair[[1L]], name)), plain(lme4::getME(pair[[2L]], name)), tolerance = 1e-3, ignore_attr = name %in% c("mu", "y"),
        info = name
      )
    }
    for (name in c("X", "Z", "Zt", "Lambda", "Lambdat", "A")) {
      expect_equal(
        as.matrix(getME(pair[[1L]], name)), as.matrix(lme4::getME(pair[[2L]], name)), tolerance = 1e-3, ignore_attr = TRUE,
        info = name
      )
    }
    ours <- getME(pair[[1L]], "devcomp")$cmp
    ours <- ours[!is.na(ours)]
    expect_equal(ours, lme4::getME(pair[[2L]], "devcomp")$cmp[names(ours)], tolerance = 1e-4)
    expect_length(getME(pair[[1L]], "Ztlist"), length(lme4::getME(pair[[2L]], "Ztlist")))
  }
})

test_that("several names give a list, unknown ones an error", {
  fit <- fit_therapy()
  expect_named(getME(fit, c("theta", "beta")), c("theta", "beta"))
  expect_error(getME(fit, "devfun2"), class = "hlm_error_data")
  expect_true(all(c("X", "Z", "theta") %in% names(getME(fit, "ALL"))))
})

test_that("b = Lambda u also where Lambda is singular", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  expect_equal(getME(fit, "b"), as.double(as.matrix(getME(fit, "Lambda") %*% getME(fit, "u"))))
  fit <- fit_therapy()
  expect_equal(getME(fit, "b"), as.double(as.matrix(getME(fit, "Lambda") %*% getME(fit, "u"))), tolerance = 1e-6)
})

test_that("Z b and X beta give the fitted values", {
  fit <- fit_therapy()
  eta <- as.double(as.matrix(getME(fit, "Z") %*% getME(fit, "b"))) + drop(getME(fit, "X") %*% getME(fit, "beta"))
  expect_equal(unname(eta), unname(fitted(fit)))
})
