# Every number against lmerTest and nlme on columns made by hand (data-raw/fixtures/reciprocal.R).

run_case <- function(fixture) {
  d <- if (fixture$data == "implement") implement else reciprocal_panel()
  suppressWarnings(suppressMessages(eval(parse(text = fixture$call))), classes = "hlm_warning")
}

reciprocal_fixtures <- function() fixture_files("^reciprocal-.*[.]json$")

test_that("every number of both directions is that of the model written by hand", {
  files <- reciprocal_fixtures()
  expect_gte(length(files), 9L)
  compared_df <- 0L
  compared_lme <- 0L
  for (file in files) {
    fixture <- read_fixture(file)
    r <- run_case(fixture)
    for (way in c("xy", "yx")) {
      label <- paste(fixture$name, way)
      target <- fixture[[way]]$lmer
      fit <- r$fits[[way]]
      expect_identical(stats::nobs(fit), as.integer(target$n), label = label)
      criterion <- -2 * as.numeric(stats::logLik(fit))
      # never above the peer; where lmer() itself stopped at the same optimum the numbers are the same
      expect_lte(criterion, target$criterion + 1e-6)
      expect_within(criterion, target$criterion, 1e-6, paste(label, "criterion"))
      rows <- r$effects[r$effects$direction == way, ]
      place <- match(target$term, rows$term)
      expect_true(all(!is.na(place[-1L])), label = label)
      se <- target$std.error[-1L]
      rows <- rows[place[-1L], ]
      expect_identical(nrow(r$effects[r$effects$direction == way, ]), length(target$term) - 1L)
      expect_within(rows$estimate, target$estimate[-1L], 1e-5 * pmax(abs(target$estimate[-1L]), se), paste(label, "estimates"))
      expect_within(rows$std.error, se, 1e-4 * se, paste(label, "standard errors"))
      expect_within(rows$statistic, target$t[-1L], 1e-4 * pmax(abs(target$t[-1L]), 1), paste(label, "t"))
      expect_within(stats::sigma(fit), target$sigma, 1e-5 * target$sigma, paste(label, "sigma"))
      if (!target$singular) {
        expect_within(rows$df, target$df[-1L], 1e-3 * target$df[-1L], paste(label, "df"))
        expect_within(rows$p.value, target$p[-1L], 1e-3 * target$p[-1L] + 1e-12, paste(label, "p"))
        components <- as.data.frame(VarCorr(fit))$vcov
        expect_within(components, target$variances, 1e-4 * abs(target$variances) + 1e-6 * target$sigma^2, paste(label, "variances"))
        compared_df <- compared_df + 1L
      }
      lme <- fixture[[way]]$lme
      # lme() stops early on some of these (its criterion is then higher)
      expect_gte(lme$criterion, criterion - 1e-6)
      if (lme$criterion - criterion < 1e-7) {
        expect_within(rows$estimate, lme$estimate[-1L], 1e-4 * pmax(abs(lme$estimate[-1L]), se), paste(label, "lme estimates"))
        expect_within(rows$std.error, lme$std.error[-1L], 1e-3 * se, paste(label, "lme standard errors"))
        compared_lme <- compared_lme + 1L
      }
    }
  }
  expect_gte(compared_df, 14L)
  expect_gte(compared_lme, 6L)
})

test_that("the level model given the earlier value is the change model with it, but for the coefficient of the earlier value", {
  d <- reciprocal_panel()
  level <- reciprocal(d, x, y, person, session, random = "intercept")$effects
  change <- reciprocal(d, x, y, person, session, random = "intercept", outcome = "change", autoregression = TRUE)$effects
  same <- level$role != "autoregression"
  expect_equal(change$estimate[same], level$estimate[same], tolerance = 1e-6)
  expect_equal(change$estimate[!same], level$estimate[!same] - 1, tolerance = 1e-6)
})

test_that("names as strings, ids of other types, tibbles, row order and subset make no difference", {
  d <- reciprocal_panel()
  r <- both_panel()
  expect_equal(reciprocal(d, "x", "y", "person", "session")$effects, r$effects)
  changed <- d[rev(seq_len(nrow(d))), ]
  changed$person <- factor(paste("person", changed$person))
  names(changed)[names(changed) == "x"] <- "my x"
  again <- reciprocal(changed, "my x", y, person, session)
  expect_equal(again$effects$estimate, r$effects$estimate, tolerance = 1e-6)
  blanks <- stats::setNames(d, c("the person", "therapist", "the session", "group", "x x", "y"))
  for (random in list("slope", ~ (1 + slope | `the person`) + (1 | therapist))) {
    named <- suppressMessages(reciprocal(blanks, `x x`, y, `the person`, `the session`, random = random))
    expect_equal(named$effects$estimate, suppressMessages(reciprocal(d, x, y, person, session, random = if (is.character(random)) random else
      ~ (1 + slope | person) + (1 | therapist)))$effects$estimate, tolerance = 1e-6)
    expect_true(nrow(named$slopes) == 2L && is.finite(named$correlation))
    expect_output(print(named), "In words")
  }
  skip_if_not_installed("tibble")
  more <- rbind(d, transform(d, person = person + 1000, x = x * 3))
  part <- reciprocal(tibble::as_tibble(more), x, y, person, session, subset = person < 1000)
  expect_equal(part$effects, r$effects, tolerance = 1e-8)
})

test_that("patients numbered anew by every therapist are told apart, also in computed outcomes", {
  d <- reciprocal_panel()
  d$number <- ave(d$person, d$therapist, FUN = function(p) match(p, sort(unique(p))))
  for (outcome in c("level", "change")) {
    whole <- suppressWarnings(reciprocal(d, x, y, person, session, outcome = outcome, detrend = "y", random = ~ 0 + slope | person))
    parts <- suppressWarnings(reciprocal(d, x, y, therapist:number, session, outcome = outcome, detrend = "y", random = ~ 0 + slope | therapist:number))
    expect_equal(parts$effects$estimate, whole$effects$estimate, tolerance = 1e-6)
  }
})

test_that("three levels split the between effect and use clusters of therapists", {
  r <- suppressMessages(reciprocal(reciprocal_panel(), x, y, person, session, level = therapist, lags = c(xy = 1, yx = 0)))
  expect_setequal(r$effects$term[r$effects$role == "between"], c(
    "x_lag1_between", "x_lag1_between_therapist", "y_between", "y_between_therapist"
  ))
  expect_identical(unname(ngrps(r$fits$xy)[["therapist"]]), 12L)
  expect_equal(r$difference$df, c(11, 11))
})

test_that("robust covariances and other df pass through", {
  d <- reciprocal_panel()
  r <- reciprocal(d, x, y, person, session, vcov = "CR2", cluster = "person")
  expected <- summary(r$fits$xy, vcov = "CR2")$coefficients
  row <- r$effects[r$effects$term == "x_lag1_within", ]
  expect_equal(c(row$std.error, row$df), unname(expected["x_lag1_within", c("Std. Error", "df")]))
  # a cluster that the models do not know
  wider <- reciprocal(d, x, y, person, session, vcov = "CR2", cluster = therapist)
  expect_true(all(wider$effects$df <= 12))
  z <- reciprocal(d, x, y, person, session, ddf = "none")
  expect_true(all(is.infinite(z$effects$df)))
  ml <- reciprocal(d, x, y, person, session, REML = FALSE, control = hlm_control(means = "available"))
  expect_false(ml$fits$xy$REML)
  expect_identical(ml$fits$xy$control$means, "available")
})

test_that("the calls and the arguments of each fit are kept so that the fits stand alone", {
  r <- both_panel()
  copy <- unserialize(serialize(r, NULL))
  expect_lt(length(deparse(copy$fits$xy$call)), 10L)
  smaller <- update(copy$fits$xy, . ~ . - lagged(y))
  expect_false("y_lag1" %in% names(fixef(smaller)))
  expect_identical(as.data.frame(r), r$effects)
  expect_s3_class(tidy(r), if (requireNamespace("tibble", quietly = TRUE)) "tbl_df" else "data.frame")
})

test_that("weights pass to hlm(), a structure of residuals only when asked for", {
  d <- reciprocal_panel()
  d$w <- rep_len(c(1, 2), nrow(d))
  r <- reciprocal(d, x, y, person, session, weights = w)
  expect_equal(stats::weights(r$fits$xy), d$w[r$fits$xy$rows])
  expect_null(both_panel()$settings$residual)
  expect_false("residual" %in% names(both_panel()$fits$xy$call))
})

test_that("concurrent never takes a predictor measured after its outcome", {
  d <- reciprocal_panel()
  expect_message(r <- reciprocal(d, x, y, person, session, lags = c(xy = 1, yx = 0), concurrent = TRUE), class = "hlm_message_reciprocal")
  added <- r$effects[r$effects$role == "concurrent", ]
  expect_identical(added$direction, "yx")
  expect_identical(added$term, "y_lag1_within")
})

test_that("moderators, covariates and random effects can differ between directions", {
  r <- reciprocal(reciprocal_panel(), x, y, person, session,
    moderators = list(xy = ~group), covariates = list(yx = session), random = list(xy = "intercept", yx = "uncorrelated")
  )
  expect_identical(unique(r$effects$direction[r$effects$role == "moderation"]), "xy")
  expect_identical(r$effects$direction[r$effects$role == "covariate"], "yx")
  expect_identical(r$slopes$direction, "yx")
  expect_length(VarCorr(r$fits$yx), 2L)
})

test_that("what is not understood is a classed error", {
  d <- reciprocal_panel()
  error <- function(expr, class = "hlm_error_formula") expect_error(expr, class = class)
  error(reciprocal(d, z, y, person, session), "hlm_error_data")
  error(reciprocal(d, x, x, person, session), "hlm_error_data")
  error(reciprocal(d, x, y, person))
  error(reciprocal(d, x, y, time = session))
  error(reciprocal(d, x + y, y, person, session))
  error(reciprocal(d, x, y, person, session, lags = c(xy = -1, yx = 1)))
  error(reciprocal(d, x, y, person, session, lags = c(xy = 0, yx = 0)))
  error(reciprocal(d, x, y, person, session, lags = c(a = 1, b = 0)))
  error(reciprocal(d, x, y, person, session, detrend = c(z = 1)))
  error(reciprocal(d, x, y, person, session, random = "everything"))
  error(reciprocal(d, x, y, person, session, random = ~ slope))
  error(reciprocal(d, x, y, person, session, moderators = y ~ group))
  error(reciprocal(d, x, y, person, session, moderators = list(a = ~group)))
  error(reciprocal(d, x, y, person, session, covariates = nothing), "hlm_error_data")
  error(reciprocal(d, x, y, person, session, outcome = "other"), "hlm_error_design")
  error(reciprocal(d, therapist, y, person, session), "hlm_error_data")
  error(reciprocal(d, x, y, person, session, labels = 1:2), "hlm_error_data")
  error(reciprocal(d, x, y, person, session, subset = rep(TRUE, 3)), "hlm_error_data")
  error(reciprocal(d, x, y, person, session, cluster = seq_len(nrow(d)), vcov = "CR2"), "hlm_error_data")
  error(reciprocal(rbind(d, d), x, y, person, session, outcome = "change"), "hlm_error_data")
})
