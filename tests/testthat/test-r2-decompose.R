test_that("Rights & Sterba's formulas by hand: two levels, centred, with slopes and a cross-level product", {
  reference <- r2_reference()$rights_sterba
  for (name in c("two", "cross", "ml")) {
    fit <- switch(name,
      two = fit_implement_two(), ml = fit_implement_ml(),
      cross = hlm(bai ~ wb(wai) + within(wai):between(wai) + (1 + within(wai) | id), wbhlm::implement)
    )
    r <- r2(fit)
    wanted <- lapply(reference[[name]], function(part) part[vapply(part, function(v) v != 0, NA)])
    expect_measures(r, wanted$total, "total")
    if (name != "ml") expect_measures(r, wanted$within, "within-id")
    expect_measures(r, wanted$between, "between-id")
  }
})

test_that("a predictor that is not centred: the total measures of the paper's appendix", {
  skip_if_not_installed("lme4")
  r <- r2(fit_sleep())
  expect_measures(r, r2_reference()$rights_sterba$sleep$total[c("f", "m", "fv", "fvm")], "total")
  expect_equal(measure(r, "v", "total"), r2_reference()$rights_sterba$sleep$total$v, tolerance = 1e-5)
})

test_that("three levels, centred: the formulas of the 2023 paper by hand", {
  reference <- r2_reference()$rights_sterba$three
  r <- r2(fit_implement_three())
  expect_measures(r, reference$total, "total")
  expect_measures(r, reference$level1, "within-id")
  expect_measures(r, reference$level2, "between-id")
  expect_measures(r, reference$level3, "between-therapist")
})

# The model-implied variance by dense algebra: V = Z G Z' + R over the rows. The expected total sum of squares about the mean of an outcome
# X beta + Z b + e splits by the projections on persons and therapists.
dense_levels <- function(fit) {
  design <- fit$design
  x <- stats::model.matrix(fit)
  n <- nrow(x)
  eta <- drop(x %*% fixef(fit))
  z <- as.matrix(stats::model.matrix(fit, "random"))
  v <- stats::sigma(fit)^2 * tcrossprod(z %*% as.matrix(getME(fit, "Lambda"))) + diag(stats::sigma(fit)^2, n)
  list(eta = eta, v = v, n = n, groups = lapply(design$groups, function(g) outer(g$codes, seq_along(g$levels), `==`) + 0))
}

test_that("components add up to the variance that the model implies (exact moments, three levels, nothing centred)", {
  d <- synthetic_sessions()
  d <- d[order(d$therapist, d$patient, d$session), ]
  fit <- suppressMessages(suppressWarnings(hlm(y ~ x * treatment + w + (1 + x | patient) + (1 + w | therapist), d)))
  # whatever the estimates were, slopes of every kind are in
  fit$core$theta <- c(0.8, 0.3, 0.5, 0.6, -0.2, 0.4)
  dense <- dense_levels(fit)
  components <- decompose_variance(fit)
  # fixed: variance over the rows, n - 1; random: the mean variance of a row, its part about the mean of z taken with n - 1
  expect_equal(sum(components$variance[components$source == "fixed"]), stats::var(dense$eta))
  n <- dense$n
  sigma2 <- stats::sigma(fit)^2
  z_part <- function(label, t) {
    covariance <- VarCorr(fit)[[label]]
    z <- cbind(1, stats::model.frame(fit)[[t]])
    (n - 1) / n * sum(covariance * stats::cov(z)) + sum(colMeans(z) * (covariance %*% colMeans(z)))
  }
  expect_equal(mean(diag(dense$v)) - sigma2, z_part("patient", "x") + z_part("therapist", "w"))
  slopes <- sum(components$variance[components$source == "slopes"])
  means <- sum(components$variance[components$source == "means"])
  expect_equal((n - 1) / n * slopes + means, mean(diag(dense$v)) - sigma2)
})

test_that("each slope component counts at the level at which it varies (large sample)", {
  # Synthetic: 400 therapists x 10 patients x 8 sessions of b * z for a patient-level slope of the therapist part of a predictor. What r2mlm
  # calls v32 and counts at level 3 varies between the patients of a therapist.
  withr::with_seed(11, {
    therapist <- rep(1:400, each = 80)
    patient <- rep(1:4000, each = 8)
    z <- stats::rnorm(400)[therapist]
    value <- stats::rnorm(4000)[patient] * z
  })
  parts <- level_parts(value, list(
    list(codes = patient, levels = as.character(1:4000)), list(codes = therapist, levels = as.character(1:400))
  ))
  share <- vapply(parts, stats::var, 0) / stats::var(value)
  expect_lt(share[[1]], 1e-20)
  expect_equal(share[[2]], 0.9, tolerance = 0.02)
  d <- data.frame(patient, therapist, z, y = value + withr::with_seed(12, stats::rnorm(length(value))))
  fit <- hlm(y ~ z + (0 + z | patient) + (1 | therapist), d)
  components <- decompose_variance(fit)
  expect_equal(components$level[components$component == "v32"], 2L)
  expect_equal(components$variance[components$component == "v32"], stats::var(z) * (stats::sd(value / z))^2, tolerance = 0.05)
})

test_that("a grand-mean centred predictor is not taken for a person-mean centred one, and a lost row flips nothing", {
  d <- therapy_data()
  d <- d[!is.na(d$distress), ]
  d$centred <- d$alliance - mean(d$alliance)
  whole <- r2(hlm(distress ~ centred + (1 | patient), d))
  # The sum over all rows is zero: r2mlm takes the predictor for cluster-centred and gives all of its variance to level 1.
  expect_lt(abs(sum(d$centred)), 1e-10)
  between <- stats::var(ave(d$centred, d$patient)) / stats::var(d$centred)
  share <- measure(whole, "f2", "total") / measure(whole, "f", "total")
  expect_equal(share, between, tolerance = 1e-10)
  less <- r2(hlm(distress ~ centred + (1 | patient), d[-1, ]))
  expect_lt(max(abs(whole$measures$estimate - less$measures$estimate)), 0.02)
  expect_equal(whole$measures$measure, less$measures$measure)
})

test_that("within parts count within only, person-level predictors between only", {
  r <- r2(hlm(distress ~ within(alliance) + female + (1 | patient), therapy_data()))
  shares <- r$coefficients
  expect_identical(shares$level2[shares$name == "alliance_within"], 0)
  expect_identical(shares$level1[shares$name == "female"], 0)
  expect_equal(shares$centred, c(TRUE, FALSE))
})

test_that("weights enter through the residual, an offset not at all", {
  skip_if_not_installed("lme4")
  fit <- fit_gaps()
  components <- decompose_variance(fit)
  expect_equal(components$variance[components$source == "residual"], stats::sigma(fit)^2 * mean(1 / stats::weights(fit)))
  eta <- drop(stats::model.matrix(fit) %*% fixef(fit))
  expect_equal(sum(components$variance[components$source == "fixed"]), stats::var(eta))
})

test_that("boundary fits, dropped columns, no predictors", {
  skip_if_not_installed("lme4")
  r <- r2(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2))
  expect_equal(r$components$share[r$components$source == "residual"], 1)
  expect_equal(measure(r, "f", "total"), 0)
  d <- therapy_data()
  d$twice <- 2 * d$female
  dropped <- suppressMessages(hlm(distress ~ female + twice + wb(alliance) + (1 | patient), d))
  kept <- hlm(distress ~ female + wb(alliance) + (1 | patient), d)
  expect_equal(r2(dropped)$measures, r2(kept)$measures)
})

test_that("person means over all available rows keep the total", {
  d <- therapy_data()
  fit <- hlm(distress ~ wb(alliance) + (1 | patient), d, control = hlm_control(means = "available"))
  eta <- drop(stats::model.matrix(fit) %*% fixef(fit))
  components <- decompose_variance(fit)
  expect_equal(sum(components$variance[components$source == "fixed"]), stats::var(eta))
})
