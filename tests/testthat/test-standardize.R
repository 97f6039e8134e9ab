row_of <- function(s, term) s[s$term == term, ]

test_that("own slopes times own SDs, averaged (Schuurman et al. 2016), as computed from lme4", {
  s <- standardize(fit_implement_two())
  reference <- r2_reference()$standardized
  expect_equal(row_of(s, "wai_within")$estimate, reference$within_person$estimate, tolerance = 1e-5)
  expect_equal(row_of(s, "wai_within")$persons, reference$within_person$persons)
  # between persons there is only one SD
  expect_equal(row_of(s, "wai_between")$estimate, reference$pooled$x_b, tolerance = 1e-5)
})

test_that("pooled and total SDs", {
  reference <- r2_reference()$standardized
  s <- standardize(fit_implement_two(), "pooled")
  expect_equal(s$estimate, c(reference$pooled$x_w, reference$pooled$x_b), tolerance = 1e-5)
  s <- standardize(fit_implement_two(), "total")
  expect_equal(s$estimate, c(reference$total$x_w, reference$total$x_b), tolerance = 1e-5)
})

test_that("standard errors given the SDs keep t, p and df of the raw effect", {
  fit <- fit_therapy()
  for (method in c("pooled", "total")) {
    s <- standardize(fit, method)
    raw <- summary(fit)$coefficients[s$term, ]
    expect_equal(s$estimate / s$std.error, unname(raw[, "t value"]))
    expect_equal(s$df, unname(raw[, "df"]))
    expect_equal((s$conf.high - s$conf.low) / 2, stats::qt(0.975, s$df) * s$std.error)
  }
})

test_that("without random slopes the mean is the raw effect times the mean ratio of SDs", {
  d <- therapy_data()
  fit <- hlm(distress ~ wb(alliance) + (1 | patient), d)
  s <- row_of(standardize(fit), "alliance_within")
  d <- d[!is.na(d$distress), ]
  ratio <- tapply(d$alliance, d$patient, sd) / tapply(d$distress, d$patient, sd)
  expect_equal(s$estimate, fixef(fit)[["alliance_within"]] * mean(ratio))
  expect_equal(s$std.error, sqrt(vcov(fit)["alliance_within", "alliance_within"]) * mean(ratio))
})

test_that("persons without variance are left out, counted and named", {
  d <- therapy_data()
  d$alliance[d$patient == 7] <- 3
  d$distress[d$patient == 12] <- 20
  fit <- hlm(distress ~ wb(alliance) + (1 + within(alliance) | patient), d)
  s <- standardize(fit)
  expect_equal(row_of(s, "alliance_within")$persons, 38L)
  expect_equal(attr(s, "left_out")$alliance_within, c("7", "12"))
  expect_output(print(s), "Without 2 persons in whom .*alliance_within.*7, 12")
  expect_equal(attr(standardize(fit, "pooled"), "left_out"), list(), ignore_attr = TRUE)
})

test_that("unit changes change nothing", {
  d <- therapy_data()
  d$cents <- 100 * d$alliance
  d$tenth <- d$distress / 10
  one <- hlm(distress ~ wb(alliance) + within(alliance):female + (1 + within(alliance) | patient), d)
  two <- hlm(tenth ~ wb(cents) + within(cents):female + (1 + within(cents) | patient), d)
  for (method in c("within-person", "pooled", "total")) {
    expect_equal(standardize(two, method)$estimate, standardize(one, method)$estimate, tolerance = 1e-5)
    expect_equal(standardize(two, method)$std.error, standardize(one, method)$std.error, tolerance = 1e-4)
  }
})

test_that("an interaction is scaled by the SDs of its variables, each of its own level", {
  fit <- fit_therapy()
  s <- row_of(standardize(fit, "pooled"), "alliance_within:alliance_between")
  scales <- scale_book(fit)
  by_hand <- fixef(fit)[["alliance_within:alliance_between"]] * level_sd(scales$variables$alliance_within, 1L, scales$chain) *
    level_sd(scales$variables$alliance_between, 2L, scales$chain) / level_sd(scales$outcome, 1L, scales$chain)
  expect_equal(s$estimate, by_hand)
})

test_that("categories keep their unit: only the outcome is scaled", {
  skip_if_not_installed("lme4")
  d <- therapy_data()
  d$sex <- factor(d$female, labels = c("male", "female"))
  fit <- hlm(distress ~ sex * within(alliance) + (1 | patient), d)
  s <- standardize(fit, "pooled")
  expect_equal(row_of(s, "sexfemale")$scaled, "outcome")
  expect_equal(row_of(s, "sexfemale")$scale, 1 / level_sd(fit$design$y, 2L, scale_book(fit)$chain))
  expect_equal(row_of(s, "sexfemale:alliance_within")$scaled, "both")
  expect_output(print(s), "sexfemale \\*")
  expect_s3_class(standardize(fit_cake()), "hlm_standardized")
})

test_that("three levels have three kinds of SDs", {
  d <- therapy_data()
  fit <- hlm(distress ~ wb(alliance, level = "therapist") + (1 | therapist / patient), d, id = patient)
  s <- standardize(fit, "pooled")
  d <- d[!is.na(d$distress), ]
  sds <- function(x) {
    person <- tapply(x, d$patient, mean)
    therapist <- tapply(d$therapist, d$patient, unique)
    c(
      sqrt(sum((x - ave(x, d$patient))^2) / (length(x) - 40)), sqrt(sum((person - ave(person, therapist))^2) / (40 - 8)),
      sd(tapply(person, therapist, mean))
    )
  }
  expect_equal(s$estimate, unname(fixef(fit)[-1] * sds(d$alliance) / sds(d$distress)))
})

test_that("the bootstrap gives standard errors near those given the SDs and is reproducible", {
  fit <- fit_implement_ml()
  s <- standardize(fit, "pooled", se = "bootstrap", nsim = 200, seed = 5)
  given <- standardize(fit, "pooled")
  expect_equal(s$estimate, given$estimate)
  expect_equal(s$std.error, given$std.error, tolerance = 0.2)
  expect_equal(standardize(fit, "pooled", se = "bootstrap", nsim = 200, seed = 5), s)
})

test_that("weights, an offset, na.exclude, dropped columns, ML, a boundary", {
  skip_if_not_installed("lme4")
  expect_equal(nrow(standardize(fit_gaps())), 1L)
  d <- therapy_data()
  d$twice <- 2 * d$female
  dropped <- suppressMessages(hlm(distress ~ female + twice + wb(alliance) + (1 + within(alliance) | patient), d, REML = FALSE))
  kept <- hlm(distress ~ female + wb(alliance) + (1 + within(alliance) | patient), d, REML = FALSE)
  expect_equal(standardize(dropped)$estimate, standardize(kept)$estimate)
  flat <- hlm(distress ~ wb(alliance) + (1 + session | therapist / patient), d, id = patient)
  expect_true(all(is.finite(standardize(flat)$std.error)))
  expect_error(standardize(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)), "no predictors", class = "hlm_error_data")
})

test_that("datawizard's generic knows our fits, and ours passes others on", {
  skip_if_not_installed("datawizard")
  expect_equal(datawizard::standardize(fit_implement_two()), standardize(fit_implement_two()))
  expect_equal(as.numeric(standardize(c(1, 2, 3))), c(-1, 0, 1))
})

test_that("variables standardised within every person leave no variance of the mean slope", {
  # synthetic: the ratio of SDs is the same for all persons, so the mean of their deviations is a combination of the predictors
  d <- therapy_data()
  d <- d[stats::complete.cases(d), ]
  z <- function(x) (x - stats::ave(x, d$patient)) / stats::ave(x, d$patient, FUN = stats::sd)
  d$y <- z(d$distress)
  d$x <- z(d$alliance)
  d <- d[is.finite(d$x) & is.finite(d$y), ]
  fit <- hlm(y ~ within(x) + (0 + within(x) | patient), d)
  table <- standardize(fit)
  expect_equal(table$estimate, unname(fixef(fit)[["x_within"]]), tolerance = 1e-6)
  expect_true(all(is.finite(table$std.error)))
})

test_that("a zero intercept variance beside a within slope is an exact zero", {
  d <- therapy_data()
  d <- d[stats::complete.cases(d), ]
  d$y <- d$distress - stats::ave(d$distress, d$patient)
  fit <- hlm(y ~ within(alliance) + (1 + within(alliance) | patient), d)
  expect_identical(fit$core$theta[[1L]], 0)
})

test_that("a logical predictor is a category: in SDs of the outcome, itself not scaled", {
  d <- spaced_data()
  d$lg <- d$x > 0
  d$f <- factor(d$lg)
  logical <- hlm(y ~ lg + wb(x) + (1 | patient), d)
  category <- hlm(y ~ f + wb(x) + (1 | patient), d)
  for (method in c("within-person", "pooled", "total")) {
    found <- standardize(logical, method = method)
    expect_identical(found$scaled, c("outcome", "both", "both"))
    expect_equal(found$estimate, standardize(category, method = method)$estimate)
  }
  expect_equal(found$estimate[[1L]], fixef(logical)[["lgTRUE"]] / stats::sd(d$y))
  expect_output(print(found), "TRUE and FALSE")
})

test_that("a date is scaled like the number it counts", {
  d <- spaced_data()
  d$day <- as.Date("2024-01-01") + 7 * d$session
  expect_equal(
    standardize(hlm(y ~ day + (1 | patient), d))$estimate, standardize(hlm(y ~ session + (1 | patient), d))$estimate, tolerance = 1e-6
  )
})
