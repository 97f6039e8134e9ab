# lmerTest's terms in our order, its names in ours ("sample" of Pastes is "cask:batch" there, too).
test_that("tables are lmerTest's: columns, rows and values", {
  compared <- 0L
  for (file in fixture_files("^varcomp-.*[.]json$")) {
    fixture <- read_fixture(file)
    data <- fixture_data(fixture)
    if (is.null(data)) next
    fit <- fixture_fit(fixture, data)
    for (kind in c("reduced", "whole")) {
      theirs <- fixture$ranova[[kind]]
      if (is.null(theirs)) next
      ours <- ranova(fit, reduce.terms = kind == "reduced", nsim = 50)
      expect_identical(names(ours)[1:6], c("npar", "logLik", "AIC", "LRT", "Df", "Pr(>Chisq)"))
      expect_equal(nrow(ours), length(theirs$rows))
      expect_within(ours$logLik[[1]], theirs$logLik[[1]], 1e-5, paste(fixture$name, "logLik"))
      # The order of the rows is that of the formula there and of the terms here.
      ours <- ours[-1L, ]
      if (any(theirs$Df == 0, na.rm = TRUE)) {
        # (0 + wai | id) became (1 | id) there, beside (1 + session | id): no smaller model. Ours takes the one variance out.
        expect_equal(ours["wai in (0 + wai | id)", "Df"], 1)
        ours <- ours[row.names(ours) != "wai in (0 + wai | id)", ]
        theirs <- lapply(theirs, function(x) x[is.na(theirs$Df) | theirs$Df > 0])
      }
      ours <- ours[order(ours$npar, round(ours$LRT, 2)), ]
      place <- 1L + order(theirs$npar[-1L], round(theirs$LRT[-1L], 2))
      expect_equal(ours$npar, theirs$npar[place])
      expect_equal(ours$Df, theirs$Df[place])
      allowed <- rep(1e-5, nrow(ours))
      expect_within(ours$logLik, theirs$logLik[place], allowed, paste(fixture$name, "logLik"))
      expect_within(ours$AIC, theirs$AIC[place], 2 * allowed, paste(fixture$name, "AIC"))
      expect_within(ours$LRT, theirs$LRT[place], 4 * allowed, paste(fixture$name, "LRT"))
      expect_within(ours$`Pr(>Chisq)`, theirs$p[place], 1e-4 * theirs$p[place] + 1e-5, paste(fixture$name, "p"))
      compared <- compared + nrow(ours)
    }
  }
  expect_gt(compared, 40L)
})

test_that("rows are named as lmerTest names them", {
  skip_if_not_installed("lme4")
  expect_identical(row.names(ranova(fit_sleep())), c("<none>", "Days in (Days | Subject)"))
  expect_identical(row.names(ranova(fit_sleep(), reduce.terms = FALSE)), c("<none>", "(Days | Subject)"))
  expect_identical(row.names(ranova(fit_pastes())), c("<none>", "(1 | cask:batch)", "(1 | batch)"))
})

test_that("the mixture stands next to the naive p value, weights stated", {
  skip_if_not_installed("lme4")
  table <- ranova(fit_sleep())
  expect_identical(table$weights, c(NA, "0.5 chi2(1) + 0.5 chi2(2)"))
  lrt <- table$LRT[[2]]
  expect_equal(table$`Pr(>chibar)`[[2]], 0.5 * sum(stats::pchisq(lrt, 1:2, lower.tail = FALSE)))
  lone <- ranova(fit_pastes())
  expect_identical(lone$weights[-1], rep("0.5 chi2(0) + 0.5 chi2(1)", 2))
  expect_equal(lone$`Pr(>chibar)`[-1], lone$`Pr(>Chisq)`[-1] / 2)
  whole <- ranova(fit_sleep(), reduce.terms = FALSE)
  expect_match(whole$weights[[2]], "chi2\\(0\\) .* chi2\\(1\\) .* chi2\\(2\\) .* chi2\\(3\\)")
})

test_that("factors: all their columns go together, and an intercept in their span stays", {
  data <- as.data.frame(nlme::Machines)
  table <- ranova(hlm(score ~ Machine + (Machine | Worker), data))
  # five parameters: a 3 x 3 covariance matrix becomes one variance
  expect_equal(table$Df, c(NA, 5))
  without <- ranova(hlm(score ~ Machine + (0 + Machine | Worker), data))
  expect_equal(without$Df, c(NA, 5))
  expect_equal(without$LRT, table$LRT, tolerance = 1e-6)
  expect_identical(row.names(without)[[2]], "Machine in (0 + Machine | Worker)")
})

test_that("a slope without an intercept is removed, not replaced by an intercept as lmerTest does", {
  skip_if_not_installed("lme4")
  fit <- hlm(Reaction ~ Days + (0 + Days | Subject), lme4::sleepstudy)
  table <- ranova(fit)
  expect_equal(table$Df, c(NA, 1))
  # The model without random effects: a regression's restricted likelihood.
  expect_equal(table$logLik[[2]], as.double(logLik(stats::lm(Reaction ~ Days, lme4::sleepstudy), REML = TRUE)), tolerance = 1e-9)
  ml <- ranova(update(fit, REML = FALSE))
  expect_equal(ml$logLik[[2]], as.double(logLik(stats::lm(Reaction ~ Days, lme4::sleepstudy))), tolerance = 1e-9)
})

test_that("weights and offset carry over to the smaller models, and nothing needs the data again", {
  skip_if_not_installed("lme4")
  fit <- (function() {
    gone <- sleep_gaps()
    hlm(Reaction ~ Days + (Days || Subject), gone, weights = w, offset = known, na.action = na.exclude)
  })()
  before <- serialize(fit, NULL)
  table <- ranova(fit)
  direct <- hlm(Reaction ~ Days + (1 | Subject), sleep_gaps(), weights = w, offset = known)
  expect_equal(table["Days in (0 + Days | Subject)", "logLik"], as.double(logLik(direct)), tolerance = 1e-8)
  expect_identical(serialize(fit, NULL), before)
})

test_that("within-person slopes are dropped by the name of their term", {
  table <- ranova(fit_therapy())
  expect_identical(row.names(table)[[2]], "alliance_within in (1 + alliance_within | patient)")
  expect_equal(table$Df, c(NA, 2, 1))
})

test_that("a variance that is zero: statistic 0, p 1; a zero elsewhere is named in the notes", {
  skip_if_not_installed("lme4")
  table <- ranova(hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2))
  expect_equal(table$LRT[[2]], 0)
  expect_equal(table$`Pr(>chibar)`[[2]], 1)
  fit <- fit_slope_boundary()
  table <- ranova(fit)
  expect_true(is.na(table["(1 | g)", "Pr(>chibar)"]))
  expect_match(attr(table, "notes")[["(1 | g)"]], "a variance is zero")
  expect_output(print(table), "parametric bootstrap")
})

test_that("other models are handed over to lmerTest", {
  skip_without_lme4()
  # found in the frame of the caller, where the data are
  local_data <- lme4::sleepstudy
  fit <- lmerTest::lmer(Reaction ~ Days + (Days | Subject), local_data)
  expect_equal(as.data.frame(ranova(fit)), as.data.frame(lmerTest::ranova(fit)))
})

test_that("printing is readable", {
  skip_if_not_installed("lme4")
  expect_output(print(ranova(fit_sleep())), "Days in \\(Days [|] Subject\\) .* 42[.]84 +2 +<0[.]0001 +0[.]5 chi2\\(1\\)")
})
