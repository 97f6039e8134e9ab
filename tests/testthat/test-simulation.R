# Whole studies drawn and analysed by the core. What hlm() makes of the data of a replicate must be what the core found.

expect_study <- function(study, analysis, nsim = 3, tests = "satterthwaite") {
  worst <- study_differences(study, analysis, nsim, tests)
  expect_lt(max(worst[c("beta", "se", "df", "theta", "sigma", "criterion", "reduced", "size")]), 1e-7)
  invisible(worst)
}

slope_terms <- function(structure = "unstructured") list(list(group = "patient", columns = list(character(), "within"), structure = structure))
intercept_term <- function(group = "patient") list(list(group = group, columns = list(character()), structure = "unstructured"))

therapist_study <- function(...) {
  study_with(
    therapists = 8L, x = list(sd_therapist = 0.5), ...,
    random = list(
      list(group = "patient", columns = list(character(), "within"), root = diag(c(1, 0.5))),
      list(group = "therapist", columns = list(character()), root = matrix(0.7))
    )
  )
}

test_that("a replicate is what hlm() finds in its data: means, REML and ML, both methods for the degrees of freedom, reduced models", {
  reduced <- list(intercept_term(), list())
  expect_study(study_with(), analysis_with(reduced = reduced))
  expect_study(study_with(), analysis_with(reml = FALSE, reduced = reduced))
  expect_study(study_with(missing = 0.1), analysis_with(random = slope_terms("diagonal")), tests = "kenward-roger")
})

test_that("the same with dropout, missed sessions, lags and trends", {
  gaps <- list(dropout = c(0, 0.1, 0.1, 0.2, 0.2, 0.3), missing = 0.1)
  with_gaps <- function(...) do.call(study_with, c(gaps, list(...)))
  expect_study(with_gaps(dropout_y = 0.5), analysis_with())
  expect_study(with_gaps(lag = 1L), analysis_with(lag = 1L))
  expect_study(study_with(missing = 0.1, lag = 2L), analysis_with(lag = 2L))
  trend <- list(trend = 0.3, trend_sd = 0.2, error_sd = 0.4, ar = 0.5)
  expect_study(with_gaps(x = trend), analysis_with(split = "detrend"))
  expect_study(with_gaps(x = trend, lag = 1L), analysis_with(split = "detrend", lag = 1L))
  expect_study(with_gaps(residual = list(sd = 1, ar = 0.3)), analysis_with(fixed = list(character(), "y_lag", "within", "between")))
})

test_that("the same with therapists and moderators", {
  both <- list(slope_terms()[[1L]], intercept_term("therapist")[[1L]])
  chain <- list(character(), "time", "within", "between", "therapist")
  study <- therapist_study(dropout = c(0.1, 0.1, 0.1, 0.2, 0.2, 0.3), missing = 0.1)
  expect_study(study, analysis_with(fixed = chain, random = both, reduced = list(slope_terms(), both[2L])))
  expect_study(study, analysis_with(random = both))
  crossed <- c(chain[-5L], list("moderator", c("within", "moderator"), c("within", "between")))
  expect_study(study_with(moderator = list(kind = "binary", share = 0.4, low = 0, high = 1), missing = 0.1), analysis_with(fixed = crossed))
  expect_study(study_with(moderator = list(kind = "normal")), analysis_with(fixed = c(crossed, list(c("within", "time")))))
})

test_that("in random designs, too", {
  withr::local_seed(3)
  for (k in 1:15) {
    sessions <- sample(4:8, 1)
    therapists <- sample(c(0L, 6L), 1)
    lag <- sample(0:1, 1)
    moderator <- sample(c("none", "binary", "normal"), 1)
    random <- list(list(group = "patient", columns = list(character(), "within"), root = t(chol(crossprod(matrix(stats::rnorm(4), 2))))))
    terms <- list(list(group = "patient", columns = list(character(), "within"), structure = sample(c("unstructured", "diagonal"), 1)))
    if (therapists > 0L) {
      random <- c(random, list(list(group = "therapist", columns = list(character()), root = matrix(stats::runif(1)))))
      terms <- c(terms, intercept_term("therapist"))
    }
    study <- study_with(
      patients = sample(20:60, 1), therapists = therapists, times = seq(0, by = 1, length.out = sessions), lag = lag,
      x = as.list(c(trend = stats::rnorm(1), trend_sd = stats::runif(1), ar = stats::runif(1, -0.5, 0.8), error_sd = stats::runif(1))),
      moderator = list(kind = moderator, share = 0.3, low = -1, high = 2), random = random, missing = stats::runif(1, 0, 0.2),
      dropout = stats::runif(sessions, 0, 0.2), dropout_y = stats::rnorm(1), residual = list(sd = 1, ar = stats::runif(1, -0.3, 0.6))
    )
    fixed <- list(character(), "time", "within", "between", if (therapists > 0L) "therapist", if (moderator != "none") "moderator",
      if (moderator != "none") c("within", "moderator"))
    fixed <- fixed[!vapply(fixed, is.null, NA)]
    analysis <- analysis_with(fixed = fixed, random = terms, split = sample(c("mean", "detrend"), 1), lag = lag, reml = k %% 2 == 0)
    expect_study(study, analysis, 2)
  }
})

test_that("fits on the boundary agree, and studies that hlm() refuses are unidentified", {
  weak <- list(list(group = "patient", columns = list(character()), root = matrix(0.3)))
  worst <- expect_study(study_with(patients = 12L, random = weak), analysis_with(), 10)
  expect_gt(worst[["boundary"]], 0)
  tiny <- expect_study(study_with(patients = 6L, times = c(0, 1, 2), dropout = c(0.3, 0.3, 0.3)), analysis_with(fixed = list(character(), "within")), 20)
  expect_gt(tiny[["unidentified"]], 0)
  expect_lt(tiny[["unidentified"]], 20)
})

test_that("numbers are the same with one and two threads, and in parts", {
  study <- therapist_study(missing = 0.1)
  one <- engine_study(study, analysis_with(), study_options(20L, tests = "satterthwaite"))
  two <- engine_study(study, analysis_with(), utils::modifyList(study_options(20L, tests = "satterthwaite"), list(threads = 2L)))
  expect_identical(one, two)
  part <- engine_study(study, analysis_with(), study_options(5L, tests = "satterthwaite", first = 15))
  expect_identical(part$beta, one$beta[16:20, ])
  expect_identical(part$df, one$df[16:20, ])
  expect_identical(part$rows, one$rows[16:20])
})

# Moments of what is drawn -----------------------------------------------------------------------------------------------------------

# A large study as matrices of patients x sessions.
drawn <- function(...) {
  study <- study_with(patients = 20000L, ...)
  data <- engine_study_data(study, 1, 1)
  wide <- function(v) matrix(v, ncol = length(study$times), byrow = TRUE)
  list(data = data, x = wide(data$x), y = wide(data$y), study = study)
}

# A correlation of n pairs has a standard error of about (1 - r^2) / sqrt(n), a standard deviation one of sd / sqrt(2 n).
expect_cor <- function(a, b, r) expect_lt(abs(stats::cor(a, b) - r), 4.5 * (1 - r^2) / sqrt(length(a)))
expect_sd <- function(a, sd) expect_lt(abs(stats::sd(a) - sd), 4.5 * sd / sqrt(2 * length(a)))

test_that("the predictor has the SDs, the autocorrelation, the trends and the reliability asked for", {
  d <- drawn(x = list(sd_within = 1.5, sd_between = 0.8, ar = 0.6))
  expect_sd(d$x[, 1L], sqrt(1.5^2 + 0.8^2))
  # same person, k sessions apart: the intraclass part and ar^k of the rest
  for (k in 1:3) expect_cor(d$x[, 1L], d$x[, 1L + k], (0.8^2 + 0.6^k * 1.5^2) / (0.8^2 + 1.5^2))
  trends <- drawn(x = list(sd_within = 0, sd_between = 0.8, trend = 0.3, trend_sd = 0.2))
  slopes <- (trends$x[, 6L] - trends$x[, 1L]) / 5
  expect_sd(slopes, 0.2)
  expect_lt(abs(mean(slopes) - 0.3), 4.5 * 0.2 / sqrt(20000))
  # a person's mean over the planned sessions is its level
  expect_sd(rowMeans(trends$x), 0.8)
  # error makes a reliability of 0.64 of one session's deviation, and attenuates the slope by it
  noisy <- drawn(x = list(sd_within = 0.8, sd_between = 0, error_sd = 0.6), random = list())
  expect_sd(noisy$x[, 2L], 1)
  slope <- stats::cov(noisy$x[, 2L], noisy$y[, 2L]) / stats::var(noisy$x[, 2L])
  expect_lt(abs(slope + 0.7 * 0.64), 4.5 * sqrt(1.2^2 + 0.7^2 * 0.64 * 0.36) / sqrt(20000))
})

test_that("the outcome has the intraclass correlation, the random slopes and the residual autocorrelation asked for", {
  plain <- drawn(fixed = list(list(parts = character(), value = 3)), random = list(list(group = "patient", columns = list(character()), root = matrix(2))),
    residual = list(sd = 1.5, ar = 0))
  expect_cor(plain$y[, 1L], plain$y[, 4L], 4 / (4 + 1.5^2))
  expect_lt(abs(mean(plain$y) - 3), 4.5 * 2.2 / sqrt(20000))
  serial <- drawn(fixed = list(), random = list(), residual = list(sd = 1, ar = 0.5))
  for (k in 1:3) expect_cor(serial$y[, 2L], serial$y[, 2L + k], 0.5^k)
  slopes <- drawn(fixed = list(), random = list(list(group = "patient", columns = list("within"), root = matrix(0.9))), residual = list(sd = 0, ar = 0),
    x = list(sd_between = 0))
  ratio <- slopes$y[, 1L] / slopes$x[, 1L]
  expect_sd(ratio, 0.9)
  expect_equal(slopes$y[, 3L] / slopes$x[, 3L], ratio, tolerance = 1e-6)
})

test_that("x precedes y by the lag", {
  d <- drawn(lag = 2L, fixed = list(list(parts = "within", value = 1)), random = list(), residual = list(sd = 0, ar = 0), x = list(sd_between = 0))
  expect_equal(d$y[, 3:6], d$x[, 1:4])
  expect_sd(d$y[, 1L], 1)
})

test_that("therapists share their patients' means and effects, and patients are spread over them", {
  study <- therapist_study(patients = 4000L)
  study$therapists <- 2000L
  study$x <- utils::modifyList(study$x, list(sd_within = 0, sd_between = 1, sd_therapist = 0.5))
  data <- engine_study_data(study, 2, 1)
  means <- matrix(data$x[data$session == 1L], ncol = 2, byrow = TRUE)
  expect_equal(as.vector(table(data$therapist)), rep(12L, 2000))
  expect_cor(means[, 1L], means[, 2L], 0.25 / 1.25)
  uneven <- engine_study_data(study_with(patients = 10L, therapists = 3L), 1, 1)
  expect_equal(uneven$therapist[uneven$session == 1L], ceiling(1:10 * 3 / 10))
})

test_that("dropout and missed sessions have the hazards asked for, and dropout by outcome goes in its direction", {
  hazards <- c(0, 0.1, 0.2, 0, 0.3, 0.1)
  d <- drawn(dropout = hazards)
  expect_lt(max(abs(colMeans(!is.na(d$y)) - cumprod(1 - hazards))), 4.5 * 0.5 / sqrt(20000))
  expect_true(all(is.na(d$x) == is.na(d$y)))
  expect_true(all(apply(is.na(d$y), 1L, function(gone) all(diff(gone) >= 0))))
  missed <- drawn(missing = 0.15)
  expect_lt(abs(mean(is.na(missed$y)) - 0.15), 4.5 * sqrt(0.15 * 0.85 / 120000))
  by_outcome <- drawn(dropout = c(0, 0.3, 0, 0, 0, 0), dropout_y = 1)
  gone <- is.na(by_outcome$y[, 2L])
  model <- stats::glm(gone ~ scale(by_outcome$y[, 1L]), family = stats::binomial())
  expect_lt(abs(stats::coef(model)[[2L]] - 1) / sqrt(stats::vcov(model)[2L, 2L]), 4.5)
  expect_lt(abs(stats::coef(model)[[1L]] - stats::qlogis(0.3)) / sqrt(stats::vcov(model)[1L, 1L]), 4.5)
})

test_that("the moderator has its share and changes the effect", {
  d <- drawn(moderator = list(kind = "binary", share = 0.25, low = 0, high = 2), random = list(), residual = list(sd = 0, ar = 0),
    fixed = list(list(parts = c("within", "moderator"), value = 0.5)), x = list(sd_between = 0))
  expect_equal(mean(d$data$moderator == 2), 0.25)
  expect_equal(d$data$y, 0.5 * d$data$x * d$data$moderator)
  expect_sd(drawn(moderator = list(kind = "normal"))$data$moderator[seq(1, 120000, 6)], 1)
})

test_that("estimates of a study scatter about its truth, and true null hypotheses are rejected at the level of the test", {
  # a person's observed mean holds its true mean and the mean of its deviations: only where both have the same effect is the mean's effect estimated
  # without bias (Luedtke et al. 2008, Psychol Methods 13:203)
  run <- function(effect) {
    fixed <- list(list(parts = character(), value = 20), list(parts = "time", value = -0.5))
    for (part in c("within", "between")) fixed <- c(fixed, list(list(parts = part, value = effect)))
    study <- study_with(fixed = fixed, random = list(list(group = "patient", columns = list(character()), root = matrix(1))))
    engine_study(study, analysis_with(random = intercept_term()), study_options(2000L, tests = "satterthwaite"))
  }
  found <- run(-0.7)
  z <- (colMeans(found$beta) - c(20, -0.5, -0.7, -0.7)) / (apply(found$beta, 2L, stats::sd) / sqrt(2000))
  expect_lt(max(abs(z)), 4.5)
  expect_equal(sqrt(colMeans(found$se^2)), apply(found$beta, 2L, stats::sd), tolerance = 0.08)
  null <- run(0)
  p <- 2 * stats::pt(-abs(null$beta / null$se), null$df)
  expect_lt(max(abs(colMeans(p[, 3:4] < 0.05) - 0.05)), 4.5 * sqrt(0.05 * 0.95 / 2000))
})

test_that("what does not make sense is an error of its class", {
  run <- function(study, analysis = analysis_with(), tests = "none") engine_study(study, analysis, study_options(1L, tests = tests))
  expect_error(run(study_with(missing = 2)), class = "hlm_error_design")
  expect_error(run(study_with(fixed = list(list(parts = "mood", value = 1)))), class = "hlm_error_design")
  expect_error(run(study_with(), analysis_with(fixed = list("moderator"))), class = "hlm_error_design")
  expect_error(run(study_with(), analysis_with(random = intercept_term("therapist"))), class = "hlm_error_design")
  expect_error(run(study_with(), analysis_with(reml = FALSE), "kenward-roger"), class = "hlm_error_design")
  expect_error(engine_study_data(study_with(), -1, 1), class = "hlm_error_design")
})

test_that("a condition of the progress callback stops it, as an interrupt does", {
  seen <- 0
  options <- study_options(100000L)
  options$progress <- function(done) {
    seen <<- done
    stop("enough")
  }
  expect_error(engine_study(study_with(), analysis_with(), options), "enough")
  expect_lt(seen, 100000)
  options$progress <- NULL
  options$nsim <- 2L
  expect_identical(dim(engine_study(study_with(), analysis_with(), options)$beta)[[1L]], 2L)
})
