test_that("summary()$coefficients is lmerTest's table", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- summary(pair[[1L]])$coefficients
    theirs <- summary(pair[[2L]])$coefficients
    expect_equal(dimnames(ours), dimnames(theirs))
    expect_equal(ours[, c(1, 2, 4)], theirs[, c(1, 2, 4)], tolerance = 1e-4)
    # lmerTest differentiates numerically at its own theta.
    expect_equal(ours[, "df"], theirs[, "df"], tolerance = 1e-3)
  }
})

test_that("coefficients are printed under the level they speak about", {
  sections <- summary(fit_therapy())$sections
  heading <- stats::setNames(sections$heading, sections$name)
  expect_equal(heading[["alliance_within"]], "Within-patient effects (level 1)")
  expect_equal(heading[["alliance_between"]], "Between-patient effects (level 2)")
  expect_equal(heading[["alliance_within:alliance_between"]], "Cross-level interactions")
  expect_equal(heading[["session"]], "Time")
  expect_equal(heading[["(Intercept)"]], "Intercept and other predictors")
})

test_that("three levels are told apart", {
  fit <- hlm(distress ~ wb(alliance, level = "therapist") + (1 | therapist / patient), therapy_data())
  sections <- summary(fit)$sections
  heading <- stats::setNames(sections$heading, sections$name)
  expect_equal(heading[["alliance_between"]], "Between-patient effects (level 2)")
  expect_equal(heading[["alliance_between_therapist"]], "Between-therapist effects (level 3)")
})

test_that("summary() counts the rows left out and says why", {
  out <- paste(utils::capture.output(print(summary(fit_therapy()))), collapse = "\n")
  expect_match(out, "238 rows analysed, 2 of 240 left out \\(missing values: distress 2\\)")
  expect_match(out, "Person means are taken over the analysed rows")
  expect_match(out, "patient +40 +5 to 6")
  expect_match(out, "Satterthwaite's method")
})

test_that("a variance of zero is reported in words", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  expect_true(isSingular(fit))
  out <- gsub("\\s+", " ", paste(utils::capture.output(print(summary(fit))), collapse = " "))
  expect_match(out, "at the boundary of what is possible")
  expect_match(out, "variance of '(Intercept)' between groups of Batch is estimated as zero", fixed = TRUE)
})

test_that("a fit that failed says so first of all", {
  fit <- fit_therapy()
  fit$core$status <- "failed"
  fit$core$message <- "no descent"
  expect_output(print(fit), "did NOT converge")
  expect_output(print(summary(fit)), "no descent")
})

test_that("the method for the degrees of freedom can be chosen in any case", {
  fit <- fit_therapy()
  expect_equal(summary(fit, ddf = "SATTERTHWAITE")$coefficients, summary(fit)$coefficients)
  expect_true(all(is.infinite(summary(fit, ddf = "asymptotic")$coefficients[, "df"])))
  expect_equal(unname(summary(fit, ddf = "residual")$coefficients[1, "df"]), nobs(fit) - length(fixef(fit)))
  expect_error(summary(fit, ddf = "lme4"), class = "hlm_error_data")
})

test_that("coef() and vcov() of a summary", {
  fit <- fit_therapy()
  expect_equal(coef(summary(fit)), summary(fit)$coefficients)
  expect_equal(vcov(summary(fit)), vcov(fit))
})

test_that("peers: a badly scaled predictor raises no false alarm (lme4's gradient checks)", {
  skip_if_not_installed("lme4")
  data <- lme4::sleepstudy
  data$seconds <- data$Days * 86400
  expect_silent(fit <- hlm(Reaction ~ seconds + (seconds | Subject), data))
  expect_equal(fit_status(fit)$status, "converged")
  expect_lt(abs(fit$core$decrement), 1e-6)
})

test_that("interactions of within and between terms are printed under their own level", {
  d <- implement
  # synthetic: two made-up arms
  d$arm <- factor(ifelse(d$id %% 2 == 0, "A", "B"))
  sections <- coefficient_sections(hlm(bai ~ session + wb(wai) * arm + (1 | id), d))
  heading <- stats::setNames(sections$heading, sections$name)
  expect_match(heading[["wai_within:armB"]], "Cross-level")
  expect_match(heading[["wai_between:armB"]], "Between-id")
  expect_match(heading[["armB"]], "other predictors")
  fit <- hlm(bai ~ session + within(wai) * between(wai) + (1 | id), d)
  sections <- coefficient_sections(fit)
  expect_match(sections$heading[sections$name == "wai_within:wai_between"], "Cross-level")
  lines <- utils::capture.output(print(summary(fit)))
  rows <- grep("^ +(.Intercept|session|wai)", lines[seq_len(grep("t tests with", lines)[[1L]] - 1L)], value = TRUE)
  # every coefficient once, numbers aligned to the right
  expect_length(rows, length(fixef(fit)))
  expect_length(unique(nchar(rows)), 1L)
})
