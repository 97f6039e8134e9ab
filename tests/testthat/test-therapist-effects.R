drawn <- function(name, plot) {
  skip_if_not_installed("vdiffr")
  vdiffr::expect_doppelganger(name, plot)
}
te_three <- function() fit_once("te_three", function() therapist_effects(fit_three_levels(), nsim = 2000))

test_that("SD, share and reliability are those of VarCorr(), icc() and reliability()", {
  x <- te_three()
  fit <- fit_three_levels()
  v <- x$variances
  expect_equal(v$sd, unname(attr(VarCorr(fit)$therapist, "stddev")))
  expect_equal(v$share[[1]], icc(fit)$icc[[2]])
  slopes <- vapply(VarCorr(fit), function(m) m["x_within", "x_within"], 0)
  expect_equal(v$share[[2]], slopes[["therapist"]] / sum(slopes))
  r <- reliability(fit)
  expect_equal(v$reliability, r$reliability[r$group == "therapist"])
  tests <- ranova(fit)
  row <- grep("in \\(.*\\| therapist\\)$", row.names(tests))
  expect_length(row, 1)
  expect_equal(v$p.value[[2]], tests$`Pr(>chibar)`[[row]])
  expect_equal(v$statistic[[2]], tests$LRT[[row]])
  whole <- ranova(fit, reduce.terms = FALSE)
  expect_equal(v$statistic[[1]], whole$LRT[grep("\\| therapist\\)$", row.names(whole))])
})

test_that("intervals of the SD are lme4's profile intervals", {
  skip_if_not_installed("lme4")
  fixture <- read_fixture(test_path("fixtures", "profile-pastes.json"))
  fit <- hlm(strength ~ 1 + (1 | batch / cask), lme4::Pastes, REML = FALSE)
  v <- therapist_effects(fit, nsim = 1000)$variances
  place <- match("sd_(Intercept)|batch", fixture$parameters)
  expect_equal(v$sd_lower, fixture$lower[[place]], tolerance = 1e-3)
  expect_equal(v$sd_upper, fixture$upper[[place]], tolerance = 1e-3)
})

# At the limits of a share the criterion, minimised over all else by dense algebra, has risen by the chi-square quantile.
test_that("limits of the intraclass correlation are where the likelihood says: three levels", {
  d <- implement[implement$id <= 40, ]
  fit <- hlm(bai ~ session + (1 | therapist / id), d)
  share <- share_of_level(fit, 2)
  limits <- profile_share(fit, share, 0.95)
  rise <- function(rho) {
    at <- function(patient) dense_criterion(fit$design, TRUE, c(patient, sqrt(rho * (1 + patient^2) / (1 - rho))))
    stats::optimize(at, c(0.05, 5), tol = 1e-6)$objective - fit$core$criterion
  }
  expect_equal(rise(limits[["upper"]]), qchisq(0.95, 1), tolerance = 1e-4)
  if (limits[["lower"]] > 0) expect_equal(rise(limits[["lower"]]), qchisq(0.95, 1), tolerance = 1e-4) else expect_lt(rise(0), qchisq(0.95, 1))
})

test_that("limits of the intraclass correlation in a one-way model are the profile of its one parameter", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff)
  limits <- profile_share(fit, share_of_level(fit, 1), 0.9)
  rise <- function(rho) dense_criterion(fit$design, TRUE, sqrt(rho / (1 - rho))) - fit$core$criterion
  expect_equal(rise(limits[["lower"]]), qchisq(0.9, 1), tolerance = 1e-5)
  expect_equal(rise(limits[["upper"]]), qchisq(0.9, 1), tolerance = 1e-5)
  expect_equal(icc(fit)$icc[[1]], fit$core$theta^2 / (1 + fit$core$theta^2))
})

test_that("the share of therapists in the slopes has its limits where the likelihood says", {
  fit <- hlm(y ~ session + wb(x) + (1 | therapist / patient) + (0 + within(x) | therapist / patient), three_levels(), time = session)
  share <- share_of_effect(fit, 2, "x_within")
  limits <- profile_share(fit, share, 0.95)
  estimate <- share$v(fit$core$theta) / (share$v(fit$core$theta) + share$rest(fit$core$theta))
  expect_true(limits[["lower"]] < estimate && estimate < limits[["upper"]])
  inner <- which(vapply(fit$design$terms, function(term) term$names == "x_within", NA) & term_group(fit) == 1)
  rise <- function(rho) {
    theta <- fit$core$theta
    free <- setdiff(seq_along(theta), share$set)
    value <- function(part) {
      theta[free] <- part
      theta[share$set] <- sqrt(rho / (1 - rho)) * abs(theta[[inner]])
      engine_evaluate(fit$design, TRUE, theta)$criterion
    }
    stats::optim(theta[free], value, method = "BFGS", control = list(reltol = 1e-12))$value - fit$core$criterion
  }
  expect_equal(rise(limits[["upper"]]), qchisq(0.95, 1), tolerance = 1e-3)
  expect_equal(rise(limits[["lower"]]), qchisq(0.95, 1), tolerance = 1e-3)
})

test_that("effects at each level and their differences, in the split and in the contextual form", {
  split <- therapist_effects(fit_therapists(), interval = "none", nsim = 200)
  fit <- fit_therapists()
  expect_equal(split$effects$Estimate, unname(fixef(fit)[c("wai_within", "wai_between", "wai_between_therapist")]))
  expect_equal(split$effects$effect, c("within id", "between ids (within therapist)", "between therapists"))
  expect_equal(split$effects[3, "df"], unname(summary(fit)$coefficients["wai_between_therapist", "df"]))
  expect_equal(split$differences, contextual(fit)$effects)
  expect_equal(split$joint, contextual(fit)$joint)
  form <- hlm(bai ~ session + cx(wai, level = "therapist") + (1 | therapist / id), implement, time = session)
  contextual_form <- therapist_effects(form, interval = "none", nsim = 200)
  columns <- c("Estimate", "Std. Error", "df")
  expect_equal(contextual_form$effects[columns], split$effects[columns], tolerance = 1e-5)
})

test_that("the order of therapists: deviations with their prediction errors", {
  x <- te_three()
  fit <- fit_three_levels()
  r <- x$ranking
  expect_equal(r$rank, 1:12)
  expect_false(is.unsorted(r$effect))
  mean_within <- mean(model.frame(fit)$x_within)
  b <- ranef(fit)$therapist[r$therapist, ]
  expect_equal(r$effect, b[["(Intercept)"]] + mean_within * b[["x_within"]])
  z <- dense_slope_z(fit, "(Intercept)", list(NULL, match(r$therapist, fit$design$groups[[2]]$levels))) +
    mean_within * dense_slope_z(fit, "x_within", list(NULL, match(r$therapist, fit$design$groups[[2]]$levels)))
  dense <- dense_slopes(fit, matrix(0, 12, length(fixef(fit))), z)
  expect_equal(r$se^2, dense$variance, tolerance = 1e-6)
  d <- unique(fit$data[fit$rows, c("therapist", "patient")])
  expect_equal(r$patients, as.vector(table(d$therapist)[r$therapist]))
  expect_equal(as.data.frame(x), r)
  drawn("therapists in order", plot(x))
})

test_that("a variance of zero reads well and has an upper limit", {
  fit <- fit_therapists()
  x <- therapist_effects(fit, nsim = 1000)
  v <- x$variances
  expect_equal(c(v$sd, v$sd_lower, v$share, v$share_lower), c(0, 0, 0, 0))
  expect_equal(v$p.value, 1)
  expect_gt(v$share_upper, 0.02)
  expect_lt(v$share_upper, 0.5)
  expect_true(any(grepl("estimated as zero", x$notes)))
  expect_true(any(grepl("13 therapists are few", x$notes)))
  expect_snapshot(print(x))
  drawn("therapists with a variance of zero", plot(x))
})

test_that("few therapists, therapists with one patient", {
  d <- three_levels()
  d <- d[d$therapist %in% LETTERS[1:6] & (d$patient == 1 | d$therapist != "A"), ]
  x <- therapist_effects(hlm(y ~ x + (1 | therapist / patient), d), interval = "none", test = FALSE)
  expect_match(x$notes[[1]], "Only 6 therapists")
  expect_match(x$notes[[2]], "1 of 6 therapists has one patient")
  expect_null(x$effects)
  expect_true(is.na(x$variances$p.value) && is.na(x$variances$sd_upper))
  expect_output(print(x), "Only 6")
})

test_that("random slopes of therapists are tested and printed", {
  expect_snapshot(print(te_three(), n = 4))
})

test_that("a single variance is tested by its exact distribution, as rlrt() does", {
  fit <- hlm(y ~ session + x + (1 | therapist / patient), three_levels())
  exact <- rlrt(fit, 2, nsim = 1000, seed = 1)
  v <- therapist_effects(fit, interval = "none", nsim = 1000)$variances
  expect_equal(v$p.value, exact$p.value)
  expect_equal(v$statistic, unname(exact$statistic))
})

test_that("a model without a level above the persons is refused", {
  expect_error(therapist_effects(hlm(bai ~ wai + (1 | id), implement)), "therapist/id", class = "hlm_error_design")
  expect_error(therapist_effects(fit_therapists(), "clinic"), class = "hlm_error_data")
  expect_error(therapist_effects(1), class = "hlm_error_data")
  expect_error(therapist_effects(fit_therapists(), nsim = 0.5), class = "hlm_error")
})

test_that("a statistic of zero has a p value of 1, also with slopes at the edge", {
  fit <- hlm(bai ~ session + wb(wai, level = "therapist") + (1 + within(wai) | therapist / id), implement, time = session)
  v <- therapist_effects(fit, nsim = 500)$variances
  expect_lt(max(v$sd), 1e-3)
  expect_equal(v$p.value, c(1, 1))
  expect_true(all(v$share_upper > 0.05 & v$share_upper < 1))
})
