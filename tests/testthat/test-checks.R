test_that("an outcome that is no number is refused with advice", {
  d <- data.frame(n = 1:8, g = rep(1:4, 2))
  d$f <- factor(d$n)
  d$t <- as.character(d$n)
  d$l <- d$n > 4
  d$m <- cbind(d$n, d$n)
  for (name in c("f", "t", "l", "m")) {
    formula <- stats::as.formula(paste(name, "~ 1 + (1 | g)"))
    expect_error(front(formula, d), "must be a number", class = "hlm_error_data")
  }
})

test_that("infinite values and NaN are named with their rows", {
  d <- synthetic_sessions()
  d$x[c(4, 9)] <- c(Inf, -Inf)
  cnd <- expect_error(front(y ~ x + (1 | patient), d), class = "hlm_error_data")
  expect_match(conditionMessage(cnd), "x.*infinite.*4, 9")
  d$x[c(4, 9)] <- NaN
  expect_error(front(y ~ within(x) + (1 | patient), d), "NaN.*4, 9", class = "hlm_error_data")
  d <- synthetic_sessions()
  d$session <- 0
  expect_error(front(y ~ log(session) + (1 | patient), d), "log\\(session\\)", class = "hlm_error_data")
})

test_that("list columns, empty data and unknown variables are errors that name them", {
  d <- synthetic_sessions()
  d$notes <- as.list(seq_len(nrow(d)))
  expect_error(front(y ~ notes + (1 | patient), d), "list column", class = "hlm_error_data")
  expect_error(hlm(y ~ x + (1 | patient), data = d[0, ]), "no rows", class = "hlm_error_data")
  expect_error(front(y ~ treatmnt + (1 | patient), d), "Did you mean `treatment`", class = "hlm_error_data")
  expect_error(hlm(y ~ x + (1 | patient), data = as.matrix(d[1:3])), "data frame", class = "hlm_error_data")
})

test_that("one group, one row per group, too many random effects", {
  d <- synthetic_sessions()
  d$all <- "a"
  d$row <- seq_len(nrow(d))
  expect_error(front(y ~ 1 + (1 | all), d), "only one group", class = "hlm_error_design")
  expect_error(front(y ~ 1 + (1 | row), d), "only one row", class = "hlm_error_design")
  expect_error(front(y ~ 1 + (session | row), d), class = "hlm_error_design")
  expect_error(
    front(y ~ 1 + (poly(session, 5) | patient), d), "random effects.*rows",
    class = "hlm_error_design"
  )
})

test_that("columns as other packages deliver them become plain", {
  labelled <- structure(c(1, 2), labels = c(no = 1), class = c("haven_labelled", "vctrs_vctr", "double"))
  expect_identical(plain_column(labelled), c(1, 2))
  expect_identical(plain_column(I(3:4)), 3:4)
  expect_identical(plain_column(factor("a")), factor("a"))
})

test_that("an outcome of the person, repeated in every row, is an error that says so", {
  d <- synthetic_sessions()
  d$final <- d$patient %% 5
  expect_error(front(final ~ wb(x) + (1 | patient), d), "never varies within a `patient`", class = "hlm_error_data")
  expect_error(front(final ~ wb(x) + (1 | therapist / patient), d), "patient", class = "hlm_error_data")
})

test_that("empty cells of text columns are pointed out", {
  d <- synthetic_sessions()
  d$ward <- ifelse(d$patient == 3, "", "north")
  expect_warning(front(y ~ ward + (1 | patient), d), "`ward` has rows with an empty text", class = "hlm_warning_data")
  d$code <- ifelse(d$patient == 3, " ", paste0("p", d$patient))
  expect_warning(front(y ~ x + (1 | code), d), "na.strings", class = "hlm_warning_data")
  expect_no_warning(front(y ~ treatment + (1 | patient), d))
})

test_that("a bad choice, flag, level or seed is a classed error everywhere", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  bad <- expression(
    varcomp(fit, "foo"), varcomp(fit, scale = "foo"), icc(fit, method = "foo"), influence(fit, method = "foo"), plot(fit, "foo"),
    plot(fit, "qq", band = "foo"), plot(fit, "qq", level = 2), plot(fit, "ranef", level = "a"), plot(influence(fit), "foo"), residuals(fit, "foo"),
    residuals(fit, scaled = NA), model.matrix(fit, "foo"), weights(fit, "foo"), tidy(fit, scales = "foo"), drop1(fit, test = "foo"),
    compare(fit, fit, by = "foo"), predict(fit, type = "foo"), predict(fit, type = 1), predict(fit, allow.new.levels = NA), predict(fit, se.fit = "a"),
    hatvalues(fit, fullHatMatrix = 2), fixef(fit, add.dropped = NA), tidy(fit, conf.int = NA), tidy(fit, conf.int = TRUE, conf.level = 95),
    icc(fit, conf.int = "a"), ranova(fit, reduce.terms = NA), anova(fit, fit, refit = NA), contest(fit, c(0, 1), joint = NA),
    contest(fit, c(0, 1), joint = FALSE, level = 95), r2(fit, conf.int = "a"), as.data.frame(VarCorr(fit), order = "foo"), print(VarCorr(fit), comp = "foo"),
    simulate(fit, seed = "a"), simulate(fit, seed = -1), simulate(fit, seed = 2^40), simulate(fit, seed = mean), rlrt(fit, seed = 1:2),
    icc(fit, conf.int = TRUE, method = "boot", seed = NA), r2(fit, conf.int = TRUE, seed = 1.5), ranova(fit, seed = "a"), ranova(fit, nsim = 0),
    ranef(fit, condVar = NA), ranef(fit, drop = "a"), contest(fit, c(0, 1), collect = NA), contest(fit, c(0, 1), joint = FALSE, confint = NA),
    drop1(fit, k = "a"), deviance(fit, REML = "a"), isSingular(fit, tol = "a"), plot(influence(fit), n_label = "a"),
    plot_spaghetti(fit, time = Days, highlight = mean),
    ranova(fit, nsim = "a"), standardize(fit, se = "bootstrap", nsim = 2, seed = "a"), residuals(fit, mean), residuals(fit, list(1))
  )
  for (call in as.list(bad)) expect_error(eval(call), class = "hlm_error", label = deparse1(call))
  expect_equal(residuals(fit, "pear"), residuals(fit, "pearson"))
})
