test_that("predictions for the analysed rows are lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    for (form in list(NULL, NA, ~0)) {
      expect_equal(
        unname(predict(pair[[1L]], re.form = form)), unname(predict(pair[[2L]], re.form = form)), tolerance = 1e-5
      )
    }
  }
  expect_equal(
    predict(fit_penicillin(), re.form = ~ (1 | plate)), predict(ref_penicillin(), re.form = ~ (1 | plate)), tolerance = 1e-5
  )
  expect_equal(
    predict(fit_pastes(), re.form = ~ (1 | batch)), predict(ref_pastes(), re.form = ~ (1 | batch)), tolerance = 1e-5
  )
  expect_equal(
    predict(fit_sleep(), re.form = ~ (0 + Days | Subject)), predict(ref_sleep(), re.form = ~ (0 + Days | Subject)), tolerance = 1e-5
  )
})

test_that("predictions for new rows are lme4's", {
  skip_without_lme4()
  new <- expand.grid(Days = c(0, 4.5, 20), Subject = c("308", "372"))
  expect_equal(predict(fit_sleep(), new), predict(ref_sleep(), new), tolerance = 1e-5)
  expect_equal(predict(fit_sleep(), new["Days"], re.form = NA), predict(ref_sleep(), new["Days"], re.form = NA), tolerance = 1e-6)
  new <- unique(lme4::cake[c("recipe", "temperature", "replicate")])[c(3, 20, 100), ]
  expect_equal(predict(fit_cake(), new), predict(ref_cake(), new), tolerance = 1e-5)
  new$recipe <- as.character(new$recipe)
  expect_equal(predict(fit_cake(), new, re.form = NA), predict(ref_cake(), new, re.form = NA), tolerance = 1e-5)
})

test_that("groups that were not analysed are refused or predicted as average ones", {
  skip_without_lme4()
  new <- data.frame(Days = 1:2, Subject = c("308", "nobody"))
  expect_error(predict(fit_sleep(), new), "nobody", class = "hlm_error_data")
  ours <- predict(fit_sleep(), new, allow.new.levels = TRUE)
  expect_equal(ours, predict(ref_sleep(), new, allow.new.levels = TRUE), tolerance = 1e-5)
  expect_equal(ours[[2]], predict(fit_sleep(), new, re.form = NA)[[2]])
})

test_that("missing values in new rows give NA, or are left out", {
  skip_if_not_installed("lme4")
  new <- data.frame(Days = c(1, NA), Subject = "308")
  expect_equal(unname(is.na(predict(fit_sleep(), new))), c(FALSE, TRUE))
  expect_length(predict(fit_sleep(), new, na.action = na.omit), 1)
  expect_error(predict(fit_sleep(), data.frame(Subject = "308")), class = "hlm_error_data")
})

test_that("a re.form that is not in the model is refused", {
  skip_if_not_installed("lme4")
  expect_error(predict(fit_sleep(), re.form = ~ (1 | batch)), class = "hlm_error")
  expect_error(predict(fit_penicillin(), re.form = ~ (Days | plate)), class = "hlm_error")
  expect_error(predict(fit_sleep(), re.form = 3), class = "hlm_error_formula")
})

# Standard errors against the joint covariance of (beta-hat, b-hat - b) formed densely.
dense_prediction_se <- function(fit, x, z) {
  big_x <- model.matrix(fit)
  big_z <- as.matrix(getME(fit, "Z"))
  lambda <- as.matrix(getME(fit, "Lambda"))
  g <- sigma(fit)^2 * tcrossprod(lambda)
  v <- big_z %*% g %*% t(big_z) + diag(sigma(fit)^2 / weights(fit))
  v_inv <- solve(v)
  cov_beta <- solve(t(big_x) %*% v_inv %*% big_x)
  p_mat <- v_inv - v_inv %*% big_x %*% cov_beta %*% t(big_x) %*% v_inv
  cov_b <- g - g %*% t(big_z) %*% p_mat %*% big_z %*% g
  cross <- -cov_beta %*% t(big_x) %*% v_inv %*% big_z %*% g
  a <- cbind(x, z)
  sqrt(rowSums((a %*% rbind(cbind(cov_beta, cross), cbind(t(cross), cov_b))) * a))
}

test_that("standard errors of predictions are those of the joint covariance", {
  for (fit in list(fit_therapy(), fit_gaps())) {
    x <- model.matrix(fit)
    z <- as.matrix(getME(fit, "Z"))
    se <- stats::na.omit(predict(fit, se.fit = TRUE)$se.fit)
    expect_equal(as.double(se), unname(dense_prediction_se(fit, x, z)), tolerance = 1e-7)
    se <- stats::na.omit(predict(fit, se.fit = TRUE, re.form = NA)$se.fit)
    expect_equal(as.double(se), unname(sqrt(rowSums((x %*% vcov(fit)) * x))), tolerance = 1e-10)
  }
  fit <- fit_therapy()
  z <- as.matrix(getME(fit, "Z"))
  z[, 1:80] <- 0
  se <- predict(fit, se.fit = TRUE, re.form = ~ (1 | therapist))$se.fit
  expect_equal(unname(se), unname(dense_prediction_se(fit, model.matrix(fit), z)), tolerance = 1e-7)
})

test_that("for a new group the standard error includes how much groups differ", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  out <- predict(fit, data.frame(Days = 3, Subject = "new"), allow.new.levels = TRUE, se.fit = TRUE)
  x <- c(1, 3)
  expect_equal(out$se.fit[[1]]^2, drop(x %*% vcov(fit) %*% x + x %*% VarCorr(fit)$Subject %*% x))
})

test_that("peers: shifting one row moves the prediction by the within effect, not by the between effect (panelr)", {
  fit <- fit_therapy()
  d <- therapy_data()[1:6, ]
  d$distress <- NULL
  moved <- d
  moved$alliance[2] <- moved$alliance[2] + 1
  change <- predict(fit, moved, re.form = NA) - predict(fit, d, re.form = NA)
  between <- model.frame(fit)$alliance_between[1]
  slope <- fixef(fit)[["alliance_within"]] + fixef(fit)[["alliance_within:alliance_between"]] * between
  expect_equal(unname(change), c(0, slope, 0, 0, 0, 0))
})

test_that("a shift moves only the level it names", {
  fit <- fit_therapy()
  frame <- model.frame(fit)
  base <- predict(fit, re.form = NA)
  product <- fixef(fit)[["alliance_within:alliance_between"]]
  within <- predict(fit, re.form = NA, shift = c(alliance = 1), at = "within") - base
  expect_equal(unname(within), fixef(fit)[["alliance_within"]] + product * frame$alliance_between)
  between <- predict(fit, re.form = NA, shift = c(alliance = 1), at = "between") - base
  expect_equal(unname(between), fixef(fit)[["alliance_between"]] + product * frame$alliance_within)
  # With the random slopes the persons' own slopes count too.
  own <- predict(fit, shift = c(alliance = 1)) - predict(fit)
  slopes <- ranef(fit, condVar = FALSE)$patient[as.character(frame$patient), "alliance_within"]
  expect_equal(unname(own), unname(within) + slopes)
})

test_that("peers: the within slope differs between values of a moderator (panelr with emtrends)", {
  d <- therapy_data()
  fit <- hlm(distress ~ wb(alliance) + within(alliance):female + female + (1 | patient), d)
  new <- stats::na.omit(d)
  slope <- function(female) {
    new$female <- female
    unique(round(predict(fit, new, re.form = NA, shift = c(alliance = 1)) - predict(fit, new, re.form = NA), 10))
  }
  expect_equal(slope(0), fixef(fit)[["alliance_within"]], tolerance = 1e-8)
  expect_equal(slope(1) - slope(0), fixef(fit)[["alliance_within:female"]], tolerance = 1e-8)
})

test_that("a number given as NA or TRUE is a number", {
  fit <- hlm(distress ~ session + (1 | patient), therapy_data())
  expect_true(is.na(predict(fit, data.frame(session = NA, patient = 1))))
  expect_equal(predict(fit, data.frame(session = TRUE, patient = 1)), predict(fit, data.frame(session = 1, patient = 1)))
})

test_that("a model without fixed effects has leverages and standard errors", {
  skip_if_not_installed("lme4")
  d <- transform(lme4::sleepstudy, Reaction = Reaction - 300)
  fit <- hlm(Reaction ~ 0 + (1 | Subject), d)
  # one random intercept and 10 rows: leverage of a row is theta^2 / (1 + 10 theta^2), and that is the variance of its prediction
  theta <- fit$core$theta
  expect_equal(unname(hatvalues(fit)[[1L]]), theta^2 / (1 + 10 * theta^2), tolerance = 1e-8)
  expect_equal(unname(predict(fit, se.fit = TRUE)$se.fit[[1L]]), sigma(fit) * sqrt(theta^2 / (1 + 10 * theta^2)), tolerance = 1e-8)
})
