test_that("F tests of the terms are lmerTest's, types I, II and III", {
  skip_without_lme4()
  for (pair in every_pair()) {
    for (type in c("I", "II", "III")) {
      ours <- anova(pair[[1L]], type = type)
      theirs <- anova(pair[[2L]], type = type)
      expect_equal(nrow(ours), nrow(theirs))
      if (!nrow(theirs)) next
      expect_equal(dimnames(ours), dimnames(theirs))
      expect_equal(as.matrix(ours), as.matrix(theirs), tolerance = 2e-3)
    }
  }
})

test_that("type III does not depend on the contrasts", {
  skip_without_lme4()
  data <- as.data.frame(nlme::Machines)
  data <- data[-c(3, 11, 30), ]
  data$block <- factor(rep(1:3, length.out = nrow(data)))
  formula <- score ~ Machine * block + (1 | Worker)
  sum_coded <- hlm(formula, data, contrasts = list(Machine = "contr.sum", block = "contr.helmert"))
  treatment <- hlm(formula, data)
  theirs <- lmer_tight(formula, data)
  expect_equal(as.matrix(anova(sum_coded)), as.matrix(anova(treatment)), tolerance = 1e-5)
  expect_equal(as.matrix(anova(treatment)), as.matrix(anova(theirs)), tolerance = 2e-3)
  expect_equal(as.matrix(anova(treatment, type = 2)), as.matrix(anova(theirs, type = 2)), tolerance = 2e-3)
  expect_equal(as.matrix(anova(treatment, type = 1)), as.matrix(anova(theirs, type = 1)), tolerance = 2e-3)
})

test_that("factor by covariate terms are tested as lmerTest does", {
  skip_without_lme4()
  data <- as.data.frame(nlme::Orthodont)
  formula <- distance ~ Sex * age + (1 | Subject)
  ours <- hlm(formula, data)
  theirs <- lmer_tight(formula, data)
  for (type in 1:3) expect_equal(as.matrix(anova(ours, type = type)), as.matrix(anova(theirs, type = type)), tolerance = 2e-3)
})

test_that("the heading names the type and the method", {
  skip_if_not_installed("lme4")
  expect_match(attr(anova(fit_sleep()), "heading"), "Type III .* Satterthwaite's method")
  expect_error(anova(fit_sleep(), type = 4), class = "hlm_error_data")
})

test_that("likelihood ratio tests are lme4's, refitted by ML, and say so", {
  skip_without_lme4()
  small <- hlm(Reaction ~ 1 + (1 | Subject), lme4::sleepstudy)
  middle <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
  full <- fit_sleep()
  ours <- anova(full, small, middle)
  theirs <- suppressMessages(anova(
    lmer_tight(Reaction ~ 1 + (1 | Subject), lme4::sleepstudy), lmer_tight(Reaction ~ Days + (1 | Subject), lme4::sleepstudy),
    ref_sleep(), refit = TRUE
  ))
  expect_equal(names(ours)[1:8], names(theirs))
  expect_equal(unname(as.matrix(ours[1:8])), unname(as.matrix(theirs)), tolerance = 1e-5)
  # where a variance is tested, its mixture is added
  expect_equal(ours$weights, c(NA, NA, "0.5 chi2(1) + 0.5 chi2(2)"))
  expect_equal(ours$`Pr(>chibar)`, c(NA, NA, 0.5 * sum(stats::pchisq(ours$Chisq[[3]], 1:2, lower.tail = FALSE))))
  expect_equal(names(anova(small, middle)), names(theirs))
  expect_equal(row.names(ours), c("small", "middle", "full"))
  expect_match(paste(attr(ours, "heading"), collapse = " "), "refitted by maximum likelihood")
  expect_output(print(ours), "Chisq")
  expect_true(isREML(full))
})

test_that("REML fits are compared as they are only with the same fixed effects", {
  skip_if_not_installed("lme4")
  middle <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
  out <- anova(middle, fit_sleep(), refit = FALSE)
  expect_equal(out$Chisq[[2]], 2 * (as.double(logLik(fit_sleep())) - as.double(logLik(middle))))
  small <- hlm(Reaction ~ 1 + (1 | Subject), lme4::sleepstudy)
  expect_error(anova(small, middle, refit = FALSE), class = "hlm_error_design")
})

test_that("models that cannot be compared are refused with the reason", {
  d <- therapy_data()
  d$mood <- replace(d$session, 5:9, NA)
  base <- hlm(distress ~ 1 + (1 | patient), d)
  expect_error(anova(base, hlm(distress ~ mood + (1 | patient), d)), "different rows", class = "hlm_error_data")
  expect_error(anova(base, hlm(log(distress + 50) ~ session + (1 | patient), d)), "outcomes", class = "hlm_error_data")
  expect_error(anova(base, stats::lm(distress ~ 1, d)), class = "hlm_error_data")
  a <- hlm(distress ~ session + (1 | patient), d)
  b <- hlm(distress ~ female + wb(alliance) + (1 | patient), d)
  expect_error(anova(a, b), "not nested", class = "hlm_error_design")
  expect_error(anova(a, hlm(distress ~ session + (1 | therapist) + (0 + session | therapist), d)), "not nested", class = "hlm_error_design")
})

test_that("nested models in other words are recognised as nested", {
  d <- therapy_data()
  contextual <- hlm(distress ~ cx(alliance) + (1 | patient), d)
  split <- hlm(distress ~ wb(alliance) + session + (1 | patient), d)
  expect_equal(anova(contextual, split)$Df[[2]], 1)
  slope <- hlm(distress ~ wb(alliance) + session + (1 + within(alliance) || patient), d)
  both <- hlm(distress ~ wb(alliance) + session + (1 + within(alliance) | patient), d)
  expect_equal(anova(split, slope, both)$Df, c(NA, 1, 1))
})

test_that("drop1() agrees with lmerTest (F) and with lme4 (Chisq)", {
  skip_without_lme4()
  for (name in c("sleep", "cake", "gaps")) {
    pair <- every_pair()[[name]]
    f <- drop1(pair[[1L]])
    theirs <- drop1(pair[[2L]])
    expect_equal(dimnames(f), dimnames(theirs))
    expect_equal(as.matrix(f), as.matrix(theirs), tolerance = 2e-3)
  }
  chisq <- drop1(fit_sleep(), test = "Chisq")
  theirs <- drop1(lme4::lmer(Reaction ~ Days + (Days | Subject), lme4::sleepstudy), test = "Chisq")
  expect_equal(names(chisq), names(theirs))
  expect_equal(as.matrix(chisq), as.matrix(theirs), tolerance = 1e-5)
})

test_that("peers: drop1() works without the data and leaves the fit alone (panelr, lme4)", {
  fit <- (function() {
    gone <- therapy_data()
    hlm(distress ~ session + wb(alliance) + (1 | patient), gone)
  })()
  before <- serialize(fit, NULL)
  out <- drop1(fit, test = "Chisq")
  expect_equal(row.names(out), c("<none>", "session", "alliance_within", "alliance_between"))
  direct <- anova(update(fit, . ~ . - session), fit)
  expect_equal(out["session", "LRT"], direct$Chisq[[2]], tolerance = 1e-7)
  expect_identical(serialize(fit, NULL), before)
})

test_that("drop1() keeps the hierarchy of terms", {
  fit <- fit_therapy()
  expect_equal(row.names(drop1(fit)), c("session", "female", "alliance_within:alliance_between"))
  expect_error(drop1(fit, "alliance_within"), class = "hlm_error_formula")
  expect_equal(row.names(drop1(fit, ~session)), "session")
})

test_that("an empty cell is named, and the tests are still lmerTest's", {
  skip_without_lme4()
  data <- as.data.frame(nlme::Machines)
  data$block <- factor(rep(1:3, length.out = nrow(data)))
  data <- data[!(data$Machine == "B" & data$block == "2"), ]
  formula <- score ~ Machine * block + (1 | Worker)
  ours <- suppressWarnings(suppressMessages(hlm(formula, data)))
  theirs <- lmer_tight(formula, data)
  expect_message(type3 <- anova(ours), "MachineB:block2", class = "hlm_message_cells")
  expect_equal(as.matrix(type3), as.matrix(suppressMessages(anova(theirs))), tolerance = 2e-3)
  for (type in 1:2) expect_equal(as.matrix(anova(ours, type = type)), as.matrix(anova(theirs, type = type)), tolerance = 2e-3)
})

test_that("type III tests of a poly() by factor interaction do not need its variable (lmerTest's own columns)", {
  skip_without_lme4()
  data <- lme4::sleepstudy
  data$group <- factor(rep(c("a", "b", "c"), each = 60))
  formula <- Reaction ~ poly(Days, 2) * group + (1 | Subject)
  expect_equal(as.matrix(anova(hlm(formula, data))), as.matrix(anova(lmer_tight(formula, data))), tolerance = 2e-3)
})

test_that("a covariance matrix for several models is not taken silently", {
  skip_if_not_installed("lme4")
  small <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
  expect_warning(anova(small, fit_sleep(), vcov = vcov(small)), class = "hlm_warning_arguments")
})

test_that("type III df do not depend on the coding of a factor", {
  d <- therapy_data()
  d$phase <- factor((d$session - 1) %/% 2)
  dens <- lapply(c("contr.treatment", "contr.sum", "contr.helmert"), function(coding) {
    fit <- hlm(distress ~ phase + alliance + (phase | patient), d, contrasts = list(phase = coding))
    anova(fit, type = 3)["phase", "DenDF"]
  })
  expect_equal(dens[[2L]], dens[[1L]], tolerance = 1e-4)
  expect_equal(dens[[3L]], dens[[1L]], tolerance = 1e-4)
})

test_that("drop1() takes ~ ., and a term that an aliased column stands in for has no test", {
  d <- therapy_data()
  fit <- hlm(distress ~ session + alliance + (1 | patient), d)
  expect_equal(drop1(fit, ~.), drop1(fit))
  d$twice <- 2 * d$session
  aliased <- suppressMessages(hlm(distress ~ session + alliance + twice + (1 | patient), d))
  expect_true(is.na(drop1(aliased)["session", "F value"]))
  expect_false(is.na(drop1(aliased)["alliance", "F value"]))
})

test_that("type III tests of variables whose names need backticks", {
  d <- spaced_data()
  d$`my f` <- d$treat
  numbers <- function(formula) unname(as.matrix(anova(hlm(formula, d), type = 3)))
  plain <- numbers(y ~ wb(x) * treat + (1 | patient))
  expect_equal(numbers(y ~ wb(`my x`) * treat + (1 | patient)), plain)
  expect_equal(numbers(y ~ wb(`my x`) * `my f` + (1 | patient)), plain)
})
