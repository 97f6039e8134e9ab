# Differences are measured in standard errors for the covariance matrix and relative for df, F and scaling.

kr_models <- function() {
  models <- ddf_models("pbkrtest")
  models[vapply(models, function(model) !is.null(ddf_fit(model)), NA)]
}

expect_kr <- function(inference, model, tolerance) {
  se <- sqrt(diag(model$vcov_adjusted))
  p <- length(se)
  expect_within(inference$vcov, model$vcov_adjusted, tolerance * outer(se, se), paste(model$name, "covariance"))
  expect_within(apply(diag(p), 1L, inference$df), model$df, tolerance * model$df, paste(model$name, "df"))
  for (name in names(model$tests)) {
    theirs <- model$tests[[name]]
    ours <- inference$joint(theirs$l, theirs$rhs)
    expect_identical(as.integer(ours$num_df), as.integer(theirs$num_df))
    expect_within(
      c(ours$f, ours$den_df, ours$scaling), c(theirs$f, theirs$den_df, theirs$scaling),
      tolerance * c(theirs$f, theirs$den_df, theirs$scaling), paste(model$name, name)
    )
  }
}

test_that("at pbkrtest's variance parameters everything is pbkrtest's, boundaries included", {
  expect_gte(length(kr_models()), 10L)
  for (model in kr_models()) expect_kr(ddf_kenward_roger(fit_at(ddf_fit(model), model$theta)), model, 1e-9)
})

test_that("so is the dense reference", {
  for (model in kr_models()) expect_kr(dense_kr_inference(ddf_fit(model), model$theta), model, 1e-9)
})

test_that("at our own estimates, too", {
  for (model in kr_models()) expect_kr(prepare_inference(ddf_fit(model), "KR"), model, 1e-5)
})

test_that("anova() has lmerTest's tables of types I, II and III", {
  for (model in Filter(function(model) !is.null(model$anova), kr_models())) {
    for (type in 1:3) {
      ours <- anova(ddf_fit(model), type = type, ddf = "Kenward-Roger")
      theirs <- model$anova[[type]]
      expect_identical(rownames(ours), theirs$terms)
      expect_equal(ours$NumDF, theirs$num_df)
      expect_equal(ours$DenDF, theirs$den_df, tolerance = 1e-5)
      expect_equal(ours$`F value`, theirs$f, tolerance = 1e-5)
      expect_equal(ours$`Sum Sq`, theirs$sum_sq, tolerance = 1e-5)
    }
  }
})

test_that("balanced designs are exact", {
  skip_if_not_installed("lme4")
  # 18 persons, 10 common occasions: the slope's t is that of the 18 slopes of the persons
  slopes <- vapply(split(lme4::sleepstudy, lme4::sleepstudy$Subject), function(d) stats::coef(stats::lm(Reaction ~ Days, d))[[2L]], 0)
  test <- contest(fit_sleep(), c(Days = 1), joint = FALSE, ddf = "kenward roger")
  expect_equal(test$df, 17, tolerance = 1e-10)
  expect_equal(test$`Std. Error`, stats::sd(slopes) / sqrt(18), tolerance = 1e-6)
})

test_that("a multi-row test of a balanced split-plot is the classical F test", {
  skip_if_not_installed("nlme")
  # Oats: Variety against Block:Variety, (3 - 1)(6 - 1) = 10 df; nitro within plots, 72 - 18 - 3 = 51 df
  fit <- ddf_fit(ddf_models("pbkrtest", "oats"))
  classical <- summary(stats::aov(yield ~ nitro * Variety + Error(Block / Variety), as.data.frame(nlme::Oats)))
  whole <- classical[["Error: Block:Variety"]][[1L]]
  sub <- classical[["Error: Within"]][[1L]]
  table <- anova(fit, type = 1, ddf = "KR")
  expect_equal(table["Variety", "DenDF"], 10, tolerance = 1e-6)
  expect_equal(table["Variety", "F value"], whole[1L, "F value"], tolerance = 1e-6)
  expect_equal(table["nitro:Variety", "DenDF"], 51, tolerance = 1e-6)
  expect_equal(table["nitro:Variety", "F value"], sub[trimws(rownames(sub)) == "nitro:Variety", "F value"], tolerance = 1e-6)
})

test_that("peers: the units of outcome and predictors change nothing", {
  skip_if_not_installed("lme4")
  # pbkrtest 0.5.2 takes a generalised inverse when an eigenvalue of the information falls below 1e-10 as it is: with the outcome in units of
  # 1/1000 and the days in units of 1/1000 it gives 4e13 df to the contrast below, and 17 with both as they are.
  d <- lme4::sleepstudy[(seq_len(180) * 7) %% 10 < 6, ]
  reference <- prepare_inference(hlm(Reaction ~ Days + (Days | Subject), d), "KR")
  for (unit in c(1e-6, 1e3, 1e5)) {
    d$y <- d$Reaction * unit
    d$x <- d$Days * 1e3
    scaled <- prepare_inference(hlm(y ~ x + (x | Subject), d), "KR")
    back <- diag(c(1, 1e3)) / unit
    expect_equal(back %*% scaled$vcov %*% back, unname(reference$vcov), tolerance = 1e-5)
    expect_equal(scaled$df(c(1, 2 / 1e3)), reference$df(c(1, 2)), tolerance = 1e-5)
    expect_equal(scaled$joint(diag(2), c(0, 0))$f, reference$joint(diag(2), c(0, 0))$f, tolerance = 1e-5)
  }
})

test_that("peers: weights belong to the residual matrix", {
  # pbkrtest 0.5.2 leaves them out of it, and gives the slope 455 df in 180 rows. The fixture 'weights' is the same model with every row
  # multiplied by the root of its weight, for which pbkrtest is right: 180 rows - 18 persons - 1.
  fit <- ddf_fit(ddf_models("pbkrtest", "weights"))
  skip_if(is.null(fit))
  expect_false(is.null(fit$design$weights))
  expect_equal(coef(summary(fit, ddf = "KR"))[["Days", "df"]], 180 - 18 - 1, tolerance = 1e-6)
})

test_that("maximum likelihood is refitted by REML, and the output says so", {
  skip_if_not_installed("lme4")
  ml <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, REML = FALSE)
  ours <- summary(ml, ddf = "KR")
  expect_match(ours$inference, "refit by REML")
  expect_equal(coef(ours), coef(summary(fit_sleep(), ddf = "KR")), tolerance = 1e-6)
  expect_false(ml$REML)
})

test_that("one row has scaling 1 and the same df either way", {
  model <- ddf_models("pbkrtest", "implement-within-between")
  inference <- prepare_inference(ddf_fit(model), "KR")
  l <- rbind(cos(seq_along(model$df)))
  joint <- inference$joint(l, 0)
  expect_equal(joint$scaling, 1, tolerance = 1e-8)
  expect_equal(joint$den_df, inference$df(drop(l)), tolerance = 1e-8)
})

test_that("rows that follow from others change nothing, unless their values contradict", {
  fit <- fit_therapy()
  l <- rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0))
  more <- rbind(l[1, ] + l[2, ], l)
  expect_equal(contest(fit, more, rhs = c(0.3, 0.1, 0.2), ddf = "KR"), contest(fit, l, rhs = c(0.1, 0.2), ddf = "KR"), tolerance = 1e-8)
  expect_error(contest(fit, more, rhs = c(1, 0, 0), ddf = "KR"), class = "hlm_error_data")
})

test_that("dropped columns, na.exclude, weights and offsets are taken as they are", {
  inference <- prepare_inference(fit_gaps(), "KR")
  dense <- dense_kr_inference(fit_gaps())
  expect_equal(inference$vcov, dense$vcov, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(inference$df(c(1, -1)), dense$df(c(1, -1)), tolerance = 1e-8)
  d <- therapy_data()
  d$double <- 2 * d$session
  suppressMessages(fit <- hlm(distress ~ session + double + female + (1 | patient), d))
  inference <- prepare_inference(fit, "KR")
  dense <- dense_kr_inference(fit)
  expect_equal(dim(inference$vcov), c(3L, 3L))
  expect_equal(inference$vcov, dense$vcov, tolerance = 1e-8, ignore_attr = TRUE)
  expect_equal(inference$df(c(0, 1, 1)), dense$df(c(0, 1, 1)), tolerance = 1e-8)
})

test_that("the moments of an F distribution are found again", {
  # An F statistic that needs no scaling: A1 and A2 of a balanced one-way layout with q rows and m df are 2q^2/m and 2q/m (Kenward
  # & Roger 1997, section 4: variance estimates proportional to chi-square with m df).
  for (q in c(2, 5)) {
    for (m in c(8, 30, 200)) {
      moments <- kenward_roger_moments(2 * q^2 / m, 2 * q / m, q)
      expect_equal(moments$df, m, tolerance = 1e-8)
      expect_equal(moments$scaling, 1, tolerance = 1e-8)
    }
  }
  expect_equal(kenward_roger_moments(0, 0, 3), list(df = Inf, scaling = 1))
})

test_that("an information matrix without full rank has a generalised inverse in any units", {
  info <- tcrossprod(c(1, 2, 3)) + diag(c(1, 0, 0))
  units <- c(1e-6, 1, 1e6)
  inverse <- scaled_inverse(info * outer(units, units))
  expect_equal(info %*% (inverse * outer(units, units)) %*% info, info, tolerance = 1e-8)
  expect_equal(scaled_inverse(diag(c(2, 0))), diag(c(0.5, 0)))
})

# A made-up state: two coefficients with unit variances, one variance parameter that moves them by k.
made_state <- function(k) {
  list(
    phi = diag(2), adjusted = diag(2), w = matrix(1), slopes = list(diag(k)),
    df = function(l) 2 * sum(l^2)^2 / sum(l * (diag(k) %*% l))^2
  )
}

test_that("moments that no F distribution has fall back on independent parts", {
  # k = 1, -1: A1 = 0, A2 = 2, and the formula gives 0 df
  expect_lte(kenward_roger_moments(0, 2, 2)$df, 0)
  test <- kenward_roger_test(diag(2), c(1, 2), made_state(c(1, -1)))
  expect_equal(test, list(f = (1 + 4) / 2, num_df = 2L, den_df = 2, scaling = 1))
})

test_that("a negative scaling is not applied", {
  # k = s, -s with s^2 = 0.911: 1.77 df and scaling -0.7, which would turn every F negative and every p to 1
  s <- sqrt(0.911)
  moments <- kenward_roger_moments(0, 2 * s^2, 2)
  expect_true(moments$df > 0 && moments$scaling < 0)
  test <- kenward_roger_test(diag(2), c(1, 2), made_state(c(s, -s)))
  expect_equal(test, list(f = 2.5, num_df = 2L, den_df = moments$df, scaling = 1))
})
