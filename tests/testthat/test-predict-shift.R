# predict(shift =, at =): what moves is the model's own coefficient of the part that the shift names, times the shift, and nothing else.
shifted <- function(fit, shift, at = "within", ...) unname(predict(fit, shift = shift, at = at, ...) - predict(fit, ...))

test_that("lagged: the earlier value moves, the present one does not", {
  fit <- hlm(bai ~ session + wb(lagged(wai)) + (1 + within(lagged(wai)) | id), implement, time = session)
  own <- coef(fit)$id[as.character(model.frame(fit)$id), "wai_lag1_within"]
  expect_equal(shifted(fit, c(wai_lag1 = 1)), own)
  expect_equal(shifted(fit, c(wai_lag1 = -2), "between", re.form = NA), rep(-2 * fixef(fit)[["wai_lag1_between"]], nobs(fit)))
  expect_error(predict(fit, shift = c(wai = 1)), "wai_lag1", class = "hlm_error_data")
  plain <- hlm(bai ~ session + lagged(bai) + (1 | id), implement, time = session)
  expect_equal(shifted(plain, c(bai_lag1 = 1)), rep(fixef(plain)[["bai_lag1"]], nobs(plain)))
})

test_that("concurrent and lagged values of one variable move apart", {
  fit <- hlm(bai ~ wb(wai) + within(lagged(wai)) + (1 | id), implement, time = session)
  expect_equal(shifted(fit, c(wai = 1)), rep(fixef(fit)[["wai_within"]], nobs(fit)))
  expect_equal(shifted(fit, c(wai_lag1 = 1)), rep(fixef(fit)[["wai_lag1_within"]], nobs(fit)))
  expect_equal(shifted(fit, c(wai = 1, wai_lag1 = 1)), rep(sum(fixef(fit)[c("wai_within", "wai_lag1_within")]), nobs(fit)))
})

test_that("detrended: the deviation from the trend, or the trend's level", {
  fit <- hlm(bai ~ session + wb(wai, detrend = TRUE, at = 1) + (1 | id), implement, time = session)
  expect_equal(shifted(fit, c(wai = 0.5)), rep(0.5 * fixef(fit)[["wai_within"]], nobs(fit)))
  expect_equal(shifted(fit, c(wai = 0.5), "between"), rep(0.5 * fixef(fit)[["wai_between"]], nobs(fit)))
})

test_that("contextual: within moves x, between moves x and the mean; the predictions are those of the split form", {
  contextual <- hlm(bai ~ session + cx(wai) + (1 | id), implement)
  split <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
  for (at in c("within", "between")) expect_equal(shifted(contextual, c(wai = 1), at), shifted(split, c(wai = 1), at), tolerance = 1e-6)
  expect_equal(shifted(contextual, c(wai = 1), "between"), rep(sum(fixef(contextual)[c("wai", "wai_between")]), nobs(contextual)))
  lagged <- hlm(bai ~ session + cx(lagged(wai)) + (1 | id), implement, time = session)
  expect_equal(shifted(lagged, c(wai_lag1 = 1), "between"), rep(sum(fixef(lagged)[c("wai_lag1", "wai_lag1_between")]), nobs(lagged)))
})

test_that("three levels and interactions: each level by its own coefficient, products at the row's own values", {
  fit <- hlm(
    y ~ wb(x, level = "therapist") * arm + within(x):session + session + (1 + within(x) | therapist / patient), three_levels(),
    time = session
  )
  b <- fixef(fit)
  frame <- model.frame(fit)
  usual <- frame$arm == "usual"
  expect_equal(
    shifted(fit, c(x = 1), re.form = NA), b[["x_within"]] + b[["x_within:armusual"]] * usual + b[["x_within:session"]] * frame$session
  )
  expect_equal(shifted(fit, c(x = 2), "between"), 2 * (b[["x_between"]] + b[["x_between:armusual"]] * usual))
  expect_equal(shifted(fit, c(x = 1), "therapist"), b[["x_between_therapist"]] + b[["x_between_therapist:armusual"]] * usual)
  slopes <- ranef(fit, condVar = FALSE)
  own <- slopes$`patient:therapist`[paste(frame$patient, frame$therapist, sep = ":"), "x_within"] + slopes$therapist[frame$therapist, "x_within"]
  expect_equal(shifted(fit, c(x = 1)), shifted(fit, c(x = 1), re.form = NA) + own)
  # new rows, too
  new <- three_levels()[1:5, ]
  expect_equal(
    unname(predict(fit, new, shift = c(x = 1), re.form = NA) - predict(fit, new, re.form = NA)),
    b[["x_within"]] + b[["x_within:armusual"]] * (new$arm == "usual") + b[["x_within:session"]] * new$session
  )
})

test_that("a product of within terms moves with the other one, its person's mean stays", {
  d <- three_levels()
  d$id <- paste(d$therapist, d$patient)
  d$w <- sin(seq_len(nrow(d))) + d$severity
  fit <- hlm(y ~ wb(x) + wb(w) + within(x):within(w) + (1 | id), d)
  frame <- model.frame(fit)
  expect_equal(shifted(fit, c(x = 1)), fixef(fit)[["x_within"]] + fixef(fit)[["x_within:w_within"]] * frame$w_within)
})
