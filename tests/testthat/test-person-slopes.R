slopes_fixture <- function(name) read_fixture(test_path("fixtures", paste0("person-slopes-", name, ".json")))

expect_fixture_slopes <- function(found, fixture) {
  s <- as.data.frame(found)
  place <- match(fixture$lines$person, s$person)
  expect_equal(s$ols[place], as.double(fixture$lines$ols), tolerance = 1e-8)
  expect_equal(s$ols_se[place], as.double(fixture$lines$ols_se), tolerance = 1e-8)
  known <- !is.na(s$ols[place])
  expect_equal(s$ols_df[place][known], as.double(fixture$lines$ols_df)[known])
  place <- match(fixture$person, s$person)
  expect_equal(s$slope[place], fixture$slope, tolerance = 1e-5)
  # The prediction error is neither the conditional SD alone nor the sum of both variances: the covariance is negative.
  expect_true(all(s$se[place]^2 < fixture$condsd^2 + fixture$fixed_variance))
}

test_that("own lines are lm()'s and slopes are lme4's: sleepstudy", {
  skip_if_not_installed("lme4")
  expect_fixture_slopes(person_slopes(fit_sleep(), "Days"), slopes_fixture("sleepstudy"))
})

test_that("own lines are lm()'s and slopes are lme4's: a split predictor and a covariate, persons with few sessions", {
  fit <- hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement, time = session)
  expect_fixture_slopes(person_slopes(fit, "wai"), slopes_fixture("implement"))
})

test_that("standard errors are the prediction errors of Henderson's equations", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  levels <- seq_len(18)
  dense <- dense_slopes(fit, matrix(c(0, 1), 18, 2, byrow = TRUE), dense_slope_z(fit, "Days", list(levels)))
  found <- person_slopes(fit, "Days")
  expect_equal(found$slopes$slope, dense$slope)
  expect_equal(found$slopes$se^2, dense$variance)
  expect_equal(found$slopes$upper - found$slopes$slope, qnorm(0.975) * sqrt(dense$variance))
})

test_that("a weighted model with uncorrelated effects, an offset and lost rows", {
  skip_if_not_installed("lme4")
  fit <- fit_gaps()
  terms <- vapply(fit$design$terms, function(term) "Days" %in% term$names, NA)
  dense <- dense_slopes(fit, matrix(c(0, 1), 18, 2, byrow = TRUE), dense_slope_z(fit, "Days", lapply(terms, function(one) if (one) seq_len(18))))
  found <- person_slopes(fit)$slopes
  expect_equal(found$slope, dense$slope)
  expect_equal(found$se^2, dense$variance)
  d <- stats::na.omit(sleep_gaps())
  one <- stats::lm(Reaction ~ Days, d[d$Subject == "310", ], weights = w, offset = known)
  expect_equal(unlist(found[found$person == "310", c("ols", "ols_se")], use.names = FALSE), unname(coef(summary(one))["Days", 1:2]))
})

test_that("three levels: a patient's slope holds the therapist's deviation and the moderators' part", {
  fit <- fit_three_levels()
  found <- person_slopes(fit, "x")
  expect_equal(found$group, "patient:therapist")
  groups <- fit$design$groups
  first <- match(seq_along(groups[[1]]$levels), groups[[1]]$codes)
  usual <- as.double(model.frame(fit)$arm[first] == "usual")
  l <- cbind(as.double(names(fixef(fit)) == "x_within"))
  l <- matrix(l, length(first), nrow(l), byrow = TRUE)
  l[, names(fixef(fit)) == "x_within:armusual"] <- usual
  dense <- dense_slopes(fit, l, dense_slope_z(fit, "x_within", list(seq_along(first), groups[[2]]$codes[first])))
  expect_equal(found$slopes$slope, dense$slope)
  expect_equal(found$slopes$se^2, dense$variance, tolerance = 1e-7)
  variance <- vapply(VarCorr(fit), function(v) v["x_within", "x_within"], 0)
  expect_equal(found$sd, sqrt(sum(variance)))
  expect_equal(found$average$Estimate, sum(colMeans(l) * fixef(fit)))
  expect_equal(found$average$`Std. Error`, sqrt(drop(colMeans(l) %*% vcov(fit) %*% colMeans(l))))
  expect_equal(found$share_below, pnorm(0, found$average$Estimate, found$sd))
  half <- qt(0.975, length(first) - 2) * sqrt(found$sd^2 + found$average$`Std. Error`^2)
  expect_equal(unname(found$new), found$average$Estimate + c(-half, half))
})

test_that("a therapist's slope leaves the patients' deviations out; its own line has an intercept for each patient", {
  fit <- fit_three_levels()
  found <- person_slopes(fit, "x", "therapist")$slopes
  frame <- model.frame(fit)
  share <- as.vector(tapply(frame$arm == "usual", frame$therapist, mean)[found$person])
  l <- matrix(as.double(names(fixef(fit)) == "x_within"), 12, length(fixef(fit)), byrow = TRUE)
  l[, names(fixef(fit)) == "x_within:armusual"] <- share
  dense <- dense_slopes(fit, l, dense_slope_z(fit, "x_within", list(NULL, match(found$person, fit$design$groups[[2]]$levels))))
  expect_equal(found$slope, dense$slope)
  expect_equal(found$se^2, dense$variance, tolerance = 1e-7)
  mine <- frame[frame$therapist == "C", ]
  one <- stats::lm(y ~ 0 + factor(patient) + session + x_within + x_within:arm, mine)
  # x_within:armpriming + x_within:armusual + x_within is one too many: lm() keeps x_within and one product
  b <- coef(one)
  product <- grep("x_within:arm", names(b), value = TRUE)
  product <- product[!is.na(b[product])]
  weight <- mean(paste0("x_within:arm", mine$arm) == product)
  l <- as.double(names(b) == "x_within") + weight * (names(b) == product)
  kept <- !is.na(b)
  expect_equal(found$ols[found$person == "C"], sum(l[kept] * b[kept]))
  expect_equal(found$ols_se[found$person == "C"], sqrt(drop(l[kept] %*% vcov(one)[kept, kept] %*% l[kept])))
})

test_that("adjusted own lines are those of ranef_compare(), and the model's slope lies between them and the average", {
  fit <- hlm(bai ~ session + wb(wai) + (1 | id) + (0 + within(wai) | id), implement, time = session)
  found <- person_slopes(fit, own = "adjusted")$slopes
  compare <- ranef_compare(fit)
  compare <- compare[compare$term == "wai_within", ]
  expect_equal(found$ols, fixef(fit)[["wai_within"]] + compare$ols[match(found$person, compare$level)])
  expect_equal(person_slopes(fit_sleep(), own = "adjusted")$slopes$ols, person_slopes(fit_sleep())$slopes$ols)
})

test_that("a variance of zero gives everyone the average slope and says so", {
  fit <- fit_slope_boundary()
  found <- person_slopes(fit, "x")
  expect_equal(found$sd, 0)
  expect_equal(found$slopes$slope, rep(fixef(fit)[["x"]], 15))
  expect_equal(found$slopes$se, rep(sqrt(vcov(fit)["x", "x"]), 15))
  expect_output(print(found), "estimated as zero")
  expect_true(found$share_below %in% c(0, 1))
})

test_that("curves count with their average slope, categories and intercepts with their coefficient", {
  skip_if_not_installed("lme4")
  fit <- hlm(Reaction ~ Days + I(Days^2) + (Days | Subject), lme4::sleepstudy)
  expect_equal(person_slopes(fit, "Days")$average$Estimate, fixef(fit)[["Days"]] + 2 * 4.5 * fixef(fit)[["I(Days^2)"]])
  expect_equal(person_slopes(fit, "(Intercept)")$slopes$slope, coef(fit)$Subject[["(Intercept)"]])
  d <- three_levels()
  dummy <- hlm(y ~ arm + (arm | therapist), d)
  expect_equal(person_slopes(dummy, "armusual")$slopes$slope, coef(dummy)$therapist$armusual)
})

test_that("names with blanks, detrended and lagged variables", {
  spaced <- hlm(y ~ wb(`my x`) + (1 + within(`my x`) | patient), spaced_data())
  plain <- hlm(y ~ wb(x) + (1 + within(x) | patient), spaced_data())
  expect_equal(person_slopes(spaced, "my x")$slopes, person_slopes(plain, "x")$slopes)
  d <- three_levels()
  d$id <- paste(d$therapist, d$patient)
  formulas <- list(
    y ~ wb(x, detrend = TRUE) + (1 + within(x, detrend = TRUE) | id), y ~ wb(lagged(x)) + (1 + within(lagged(x)) | id), y ~ cx(x) + (1 + x | id)
  )
  for (f in formulas) {
    fit <- hlm(f, d, id = id, time = session)
    slope <- setdiff(names(ranef(fit)$id), "(Intercept)")
    expect_equal(person_slopes(fit)$slopes$slope, coef(fit)$id[[slope]])
  }
})

test_that("what cannot be shown is a classed error that names what can", {
  fit <- fit_three_levels()
  expect_error(person_slopes(fit, "session"), "no random slope", class = "hlm_error_design")
  expect_error(person_slopes(fit, "anger"), "x_within", class = "hlm_error_data")
  expect_error(person_slopes(fit, "x", "clinic"), class = "hlm_error_data")
  expect_error(person_slopes(fit_therapists()), "no random slopes", class = "hlm_error_design")
  expect_error(person_slopes(1), class = "hlm_error_data")
})

test_that("print says how many lie on each side", {
  skip_if_not_installed("lme4")
  out <- capture.output(print(person_slopes(fit_sleep(), "Days"), n = 3))
  expect_match(out, "Of 18 slopes, 1 \\(0\\) are below and 17 \\(16\\) above zero", all = FALSE)
  expect_match(out, "15 more", all = FALSE)
})
