test_that("id and time take bare names, strings, and variables that hold strings", {
  d <- synthetic_sessions()
  bare <- hlm(y ~ wb(lagged(x)) + (1 | therapist), d, id = patient, time = session)
  quoted <- hlm(y ~ wb(lagged(x)) + (1 | therapist), d, id = "patient", time = "session")
  who <- "patient"
  when <- "session"
  held <- hlm(y ~ wb(lagged(x)) + (1 | therapist), d, id = who, time = when)
  expect_equal(quoted$design, bare$design)
  expect_equal(held$design, bare$design)
  expect_equal(bare$id, "patient")
  expect_equal(bare$time, "session")
})

test_that("an id may combine variables", {
  d <- synthetic_sessions()
  d$number <- (d$patient - 1) %% 3 + 1
  fits <- list(
    hlm(y ~ wb(x) + (1 | therapist), d, id = number:therapist),
    hlm(y ~ wb(x) + (1 | therapist), d, id = therapist / number),
    hlm(y ~ wb(x) + (1 | therapist), d, id = c(number, therapist)),
    hlm(y ~ wb(x) + (1 | therapist), d, id = c("number", "therapist"))
  )
  for (fit in fits) {
    expect_equal(fit$id, "number:therapist")
    expect_equal(fit$design$columns[[1]], d$x - ave(d$x, d$patient))
  }
})

test_that("a standardised outcome or predictor is one column", {
  d <- synthetic_sessions()
  fit <- hlm(scale(y) ~ within(scale(x)) + (1 | patient), d)
  expect_equal(fit$design$y, as.vector(scale(d$y)))
  z <- as.vector(scale(d$x))
  expect_equal(fit$design$columns[[1]], z - ave(z, d$patient))
})

test_that("large integers do not overflow the check for missing values", {
  d <- synthetic_sessions()
  d$cost <- 2e9L - seq_len(nrow(d))
  expect_no_warning(fit <- hlm(y ~ cost + (1 | patient), d))
  expect_equal(fit$design$columns[[1]], as.double(d$cost))
})

test_that("wrong ids, times, data and options are classed errors", {
  d <- synthetic_sessions()
  formula <- y ~ wb(x) + (1 | patient)
  expect_error(hlm(formula, d, id = nothere), class = "hlm_error_data")
  expect_error(hlm(formula, d, time = "nothere"), class = "hlm_error_data")
  expect_error(hlm(formula, d, id = c("a", "b")), class = "hlm_error_data")
  expect_error(hlm(formula, d, id = 3), class = "hlm_error_formula")
  expect_error(hlm(formula, d, id = toupper(patient)), class = "hlm_error_formula")
  expect_error(hlm(formula, d, time = c(session, patient)), class = "hlm_error_formula")
  expect_error(hlm(formula, d, REML = NA), class = "hlm_error_design")
  expect_error(hlm(formula, d, control = list()), class = "hlm_error_design")
  expect_error(hlm(formula, list(y = 1)), class = "hlm_error_data")
  expect_error(hlm("y ~ x", d), class = "hlm_error_formula")
})

test_that("weights, subset and offset are evaluated in the data, then where hlm() was called", {
  d <- synthetic_sessions()
  own <- d$session + 1
  fit <- hlm(y ~ x + (1 | patient), d, weights = own, subset = session < 6, offset = w)
  expect_equal(fit$design$weights, own[d$session < 6])
  expect_equal(fit$design$offset, d$w[d$session < 6])
  expect_equal(fit$weights_name, "own")
  inside <- function(data) {
    local_weights <- rep(2, nrow(data))
    hlm(y ~ x + (1 | patient), data, weights = local_weights)
  }
  expect_equal(inside(d)$design$weights, rep(2, nrow(d)))
})

test_that("data may be left out", {
  d <- synthetic_sessions()
  y <- d$y
  x <- d$x
  patient <- d$patient
  without <- hlm(y ~ x + (1 | patient))
  expect_equal(without$core$beta, hlm(y ~ x + (1 | patient), d)$core$beta)
})

test_that("tibbles, data.tables and grouped data are taken as data frames", {
  d <- synthetic_sessions()
  plain <- hlm(y ~ wb(x) + (1 | patient), d)
  skip_if_not_installed("dplyr")
  skip_if_not_installed("data.table")
  tibble <- hlm(y ~ wb(x) + (1 | patient), dplyr::as_tibble(d))
  grouped <- hlm(y ~ wb(x) + (1 | patient), dplyr::group_by(d, patient))
  table <- hlm(y ~ wb(x) + (1 | patient), data.table::as.data.table(d))
  for (fit in list(tibble, grouped, table)) expect_equal(fit$design, plain$design)
})

test_that("the fit agrees with the dense reference", {
  d <- synthetic_sessions()
  fit <- hlm(y ~ session + wb(x) * treatment + (1 + within(x) | patient), d)
  # plain R, no shared code: the criterion at our theta, and no lower one nearby
  dense <- dense_criterion(fit$design, TRUE, fit$core$theta)
  expect_equal(fit$core$criterion, dense, tolerance = 1e-9)
  for (k in seq_along(fit$core$theta)) {
    moved <- fit$core$theta
    moved[k] <- moved[k] + 0.01
    expect_gt(dense_criterion(fit$design, TRUE, moved), fit$core$criterion - 1e-9)
  }
})

test_that("within and between coefficients are those of lme4 on hand-made columns", {
  skip_if_not_installed("lme4")
  d <- synthetic_sessions()
  d$x_within <- d$x - ave(d$x, d$patient)
  d$x_between <- ave(d$x, d$patient)
  theirs <- lme4::lmer(y ~ session + x_within + x_between + (1 | patient), d)
  ours <- hlm(y ~ session + wb(x) + (1 | patient), d)
  expect_equal(ours$core$beta[2:4], unname(lme4::fixef(theirs))[2:4], tolerance = 1e-5)
  expect_equal(ours$core$criterion, unname(lme4::REMLcrit(theirs)), tolerance = 1e-8)
})

test_that("the contextual coefficient is between minus within", {
  d <- synthetic_sessions()
  hybrid <- hlm(y ~ wb(x) + (1 | patient), d)$core$beta
  contextual <- hlm(y ~ cx(x) + (1 | patient), d)$core$beta
  expect_equal(contextual[2], hybrid[2], tolerance = 1e-6)
  expect_equal(contextual[3], hybrid[3] - hybrid[2], tolerance = 1e-6)
})

test_that("a fit survives saveRDS and predicts after its data are gone", {
  d <- synthetic_sessions()
  fit <- hlm(y ~ poly(session, 2) + wb(x) + (1 | patient), d)
  path <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit, path)
  again <- readRDS(path)
  expect_equal(again, fit, ignore_formula_env = TRUE)
  few <- d[1:4, ]
  expected <- design_newdata(fit, few)$x
  rm(d)
  expect_equal(design_newdata(again, few)$x, expected)
})

test_that("an attached table in a formula's environment is not captured", {
  make <- function() {
    big <- numeric(1e6)
    hlm(y ~ wb(x) + (1 | patient), synthetic_sessions())
  }
  expect_lt(length(serialize(make(), NULL)), 1e5)
})

test_that("control reaches the means", {
  d <- synthetic_sessions()
  d$y[2] <- NA
  analysis <- hlm(y ~ wb(x) + (1 | patient), d)
  available <- hlm(y ~ wb(x) + (1 | patient), d, control = hlm_control(means = "available"))
  expect_equal(available$means$x$count, as.vector(table(d$patient)))
  expect_equal(sum(analysis$means$x$count), nrow(d) - 1)
})

test_that("bad weights, offset, subset, contrasts and lags are classed errors", {
  d <- synthetic_sessions()
  bad <- expression(
    hlm(y ~ x + (1 | patient), d, weights = nope), hlm(y ~ x + (1 | patient), d, offset = nope), hlm(y ~ x + (1 | patient), d, subset = nope > 1),
    hlm(y ~ x + (1 | patient), d, weights = mean), hlm(y ~ x + (1 | patient), d, subset = c(-1, 5)), hlm(y ~ x + (1 | patient), d, subset = 1.5),
    hlm(y ~ x + (1 | patient), d, subset = -Inf), hlm(y ~ treatment + (1 | patient), d, contrasts = list(treatment = "contr.foo")),
    hlm(y ~ treatment + (1 | patient), d, contrasts = list(treatment = diag(3))), hlm(y ~ lagged(x, n = 1e10) + (1 | patient), d, time = session),
    hlm(data = d), hlm()
  )
  for (call in as.list(bad)) expect_error(suppressWarnings(eval(call)), class = "hlm_error", label = deparse1(call))
  expect_error(hlm(y ~ x + (1 | patient), d, weights = nope), "weights = nope", class = "hlm_error_data")
  withr::with_options(list(contrasts = c("contr.foo", "contr.poly")), {
    expect_error(hlm(y ~ treatment + (1 | patient), d), "treatment", class = "hlm_error_design")
  })
})

test_that("weights are found where the formula was written, then in the caller", {
  d <- synthetic_sessions()
  plain <- hlm(y ~ x + (1 | patient), d, weights = rep(1:2, length.out = nrow(d)))
  make <- function() {
    inner <- rep(1:2, length.out = nrow(d))
    y ~ x + (1 | patient)
  }
  from_formula <- hlm(make(), d, weights = inner)
  expect_equal(fixef(from_formula), fixef(plain))
  formula <- y ~ x + (1 | patient)
  environment(formula) <- globalenv()
  here <- function() {
    df <- rep(1:2, length.out = nrow(d)) # also the name of a function in the search path
    hlm(formula, d, weights = df)
  }
  expect_equal(fixef(here()), fixef(plain))
})
