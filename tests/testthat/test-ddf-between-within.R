bw <- function(fit, ...) as.numeric(between_within_df(fit, ...))

# nlme's own numbers, without the attributes of ours.
nlme_df <- function(model) as.numeric(unlist(model$x))

followed <- function() {
  models <- ddf_models("nlme")
  models[vapply(models, function(model) is.null(model$note), NA)]
}

test_that("nested models have nlme's degrees of freedom, coefficient by coefficient", {
  expect_gte(length(followed()), 14L)
  for (model in followed()) {
    fit <- ddf_fit(model)
    if (is.null(fit)) next
    expect_identical(bw(fit), nlme_df(model), label = model$name)
    expect_identical(unname(coef(summary(fit, ddf = "between-within"))[, "df"]), nlme_df(model), label = model$name)
  }
})

test_that("tests of terms have nlme's degrees of freedom", {
  for (model in followed()) {
    fit <- ddf_fit(model)
    if (is.null(fit)) next
    theirs <- unlist(model$anova)
    theirs <- unname(theirs[names(theirs) != "(Intercept)"])
    for (type in 1:3) {
      expect_equal(suppressMessages(anova(fit, type = type, ddf = "bw"))$DenDF, theirs, label = paste(model$name, "type", type))
    }
  }
})

test_that("peers: person-level covariates have J - q - 1 degrees of freedom, not those of the rows", {
  # peers.md, item 7: insight gives such covariates N - J - p - 1. By hand: 57 patients, four predictors of patients.
  fit <- ddf_fit(ddf_models("nlme", "within-between"))
  df <- stats::setNames(bw(fit), names(fixef(fit)))
  expect_identical(unname(df[c("wai_between", "age", "armcontrol")]), rep(57 - 3 - 1, 3L))
  expect_identical(df[["wai_within"]], 692 - 57 - 2)
  expect_lt(max(df[c("wai_between", "age", "armcontrol")]), 57)
})

test_that("three levels: each predictor is counted at its own", {
  fit <- ddf_fit(ddf_models("nlme", "three-levels"))
  df <- stats::setNames(bw(fit), names(fixef(fit)))
  # 13 therapists, 57 patients, 692 rows; 1, 5 and 4 columns at the three levels
  expect_identical(df[["years"]], 13 - 1 - 1)
  expect_identical(unname(df[c("wai_between", "armcontrol", "groupb", "wai_between:armcontrol")]), rep(57 - 13 - 5, 4L))
  expect_identical(unname(df[c("phaselate", "wai_within", "wai_within:armcontrol")]), rep(692 - 57 - 4, 3L))
})

test_that("the same model has the same degrees of freedom with and without an intercept", {
  # nlme adds 1 to all levels but the highest when there is no intercept. That is right for the level of a factor whose indicators
  # add up to the constant (phase), wrong for the others: writing 0 + arm for 1 + arm changes no residual. Pinheiro & Bates (2000, p. 91)
  # have no such 1.
  implement <- implement[!is.na(implement$wai), ]
  implement$arm <- factor(c("CBT", "control")[implement$id %% 2 + 1])
  implement$phase <- factor(implement$session > 7)
  with <- hlm(bai ~ arm + wb(wai) + (1 | id), implement, id = id)
  without <- hlm(bai ~ 0 + arm + wb(wai) + (1 | id), implement, id = id)
  expect_identical(bw(without)[3:4], bw(with)[3:4])
  expect_identical(bw(without)[1:2], rep(bw(with)[[2L]], 2L))
  with <- hlm(bai ~ phase + wb(wai) + (1 | id), implement, id = id)
  without <- hlm(bai ~ 0 + phase + wb(wai) + (1 | id), implement, id = id)
  expect_identical(bw(without)[2:4], bw(with)[2:4])
  # Without the constant in any form, m_0 = 0: the highest level has one more, the others the same.
  with <- hlm(bai ~ wb(wai) + (1 | id), implement, id = id)
  without <- hlm(bai ~ 0 + wb(wai) + (1 | id), implement, id = id)
  expect_identical(bw(without), bw(with)[2:3] + c(0, 1))
})

test_that("without an intercept nlme has one more at the lower levels, as explained", {
  expect_identical(bw(ddf_fit(ddf_models("nlme", "no-intercept"))) - nlme_df(ddf_models("nlme", "no-intercept")), c(-1, 0))
  expect_identical(bw(ddf_fit(ddf_models("nlme", "no-intercept-arm"))) - nlme_df(ddf_models("nlme", "no-intercept-arm")), c(0, 0, -1, 0))
  # phase, of the rows, stands for the intercept: there nlme's 1 is right, but then one is missing from the levels above.
  difference <- bw(ddf_fit(ddf_models("nlme", "no-intercept-phase"))) - nlme_df(ddf_models("nlme", "no-intercept-phase"))
  expect_identical(difference, c(0, 0, 0, 0, -1, -1))
})

test_that("a category that some persons have throughout does not make the factor one of persons", {
  # 'crisis' changes within persons; its category c does not, because nine persons have it at all sessions. nlme looks at the columns one by
  # one and gives c the persons' 55. The factor is one predictor of sessions: 692 - 57 - 3.
  model <- ddf_models("nlme", "stable-weather")
  expect_identical(nlme_df(model), c(633, 633, 633, 55))
  expect_identical(bw(ddf_fit(model)), rep(692 - 57 - 3, 4L))
})

test_that("a between column with rounding errors is still one of persons", {
  # x - (x - mean) differs from the mean in the last digit, and nlme gives it 632. The formula says between(wai): 57 - 1 - 1.
  model <- ddf_models("nlme", "rounded-between")
  expect_identical(nlme_df(model), rep(632, 4L))
  expect_identical(bw(ddf_fit(model)), c(633, 633, 633, 55))
})

test_that("a level without a random effect counts at the groups below it", {
  # therapist has no random effect: its mean is one more predictor of patients
  fit <- hlm(bai ~ session + wb(wai, level = "therapist") + (1 | id), implement, id = id)
  df <- stats::setNames(bw(fit), names(fixef(fit)))
  expect_identical(unname(df[c("wai_between", "wai_between_therapist")]), rep(57 - 2 - 1, 2L))
})

test_that("crossed groups have their own numbers, as the two-way layout", {
  skip_if_not_installed("lme4")
  d <- lme4::Penicillin
  d$late <- (as.integer(d$plate) > 15) + 0
  d$fresh <- (as.integer(d$sample) > 3) + 0
  fit <- hlm(diameter ~ late * fresh + (1 | plate) + (1 | sample), d)
  # 24 plates, 6 samples, every plate with every sample once: interaction mean square of 23 x 5 df, one of which is late:fresh
  expect_identical(bw(fit), c(114, 24 - 1 - 1, 6 - 1 - 1, 23 * 5 - 1))
  expect_match(ddf_between_within(fit)$label, "crossed")
  expect_identical(bw(fit_penicillin()), 115)
})

test_that("factors that form the same groups count once", {
  skip_if_not_installed("lme4")
  d <- lme4::sleepstudy
  d$again <- as.integer(d$Subject) + 100
  twice <- suppressWarnings(hlm(Reaction ~ Days + (1 | Subject) + (0 + Days | again), d))
  expect_identical(bw(twice), bw(hlm(Reaction ~ Days + (Days | Subject), d)))
})

test_that("a contrast has the smallest number among its weights, whatever the units", {
  fit <- ddf_fit(ddf_models("nlme", "within-between"))
  inference <- prepare_inference(fit, "bw")
  expect_identical(inference$df(c(0, 1, 1, 0, 0, 0)), 633)
  expect_identical(inference$df(c(0, 1, 1, 1, 0, 0)), 53)
  # a weight that is zero but for rounding
  expect_identical(inference$df(c(0, 1, 1, 1e-14, 0, 0)), 633)
  # a small weight on a predictor in large units is not
  expect_identical(inference$df(c(0, 0, 1, 0, 1e-6, 0)), 53)
  expect_identical(contest(fit, rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0)), ddf = "bw")$DenDF, 633)
  expect_identical(contest(fit, rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 0, 1, 0, 0)), ddf = "bw")$DenDF, 53)
})

test_that("dropped columns do not count", {
  d <- implement
  d$double <- 2 * d$session
  suppressMessages(both <- hlm(bai ~ session + double + wb(wai) + (1 | id), d, id = id))
  expect_identical(bw(both), bw(hlm(bai ~ session + wb(wai) + (1 | id), d, id = id)))
})

test_that("too few groups are said, and give NA", {
  d <- implement[implement$therapist %in% unique(implement$therapist)[1:2], ]
  d$male <- as.integer(factor(d$therapist)) - 1
  fit <- suppressWarnings(hlm(bai ~ session + male + (1 | therapist / id), d, id = id), classes = c("hlm_warning_design", "hlm_warning_convergence"))
  expect_warning(table <- coef(summary(fit, ddf = "bw")), class = "hlm_warning_ddf")
  expect_true(is.na(table["male", "df"]) && is.na(table["male", "Pr(>|t|)"]))
  expect_gt(table["session", "df"], 0)
})
