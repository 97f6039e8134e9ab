by_hand <- function(d) {
  mean_person <- ave(d$x, d$patient)
  persons <- d[!duplicated(d$patient), ]
  value <- mean_person[!duplicated(d$patient)]
  therapist <- tapply(value, persons$therapist, mean)[as.character(d$therapist)]
  list(
    within = d$x - mean_person, grand = mean(value), person = mean_person, therapist = as.vector(therapist)
  )
}

test_that("within and between are those computed by hand", {
  d <- synthetic_sessions()
  hand <- by_hand(d)
  x <- front_columns(y ~ wb(x) + (1 | patient), d)
  expect_equal(x$x_within, hand$within)
  expect_equal(x$x_between, hand$person - hand$grand)
})

test_that("they agree with datawizard::demean()", {
  skip_if_not_installed("datawizard")
  d <- synthetic_sessions()
  theirs <- suppressWarnings(datawizard::demean(d, select = "x", group = "patient"))
  x <- front_columns(y ~ wb(x) + (1 | patient), d)
  expect_equal(x$x_within, theirs$x_within, ignore_attr = TRUE)
  expect_equal(diff(x$x_between), diff(theirs$x_between), ignore_attr = TRUE)
})

test_that("invariants: parts add up, within sums to zero, between is constant per person", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x, level = "therapist") + (1 | therapist / patient), d)
  x <- as.data.frame(design_matrix_x(fit))
  total <- x$x_within + x$x_between + x$x_between_therapist + fit$means$x$columns$x_between$grand
  expect_equal(total, d$x, tolerance = 1e-14)
  expect_lt(max(abs(tapply(x$x_within, d$patient, sum))), 1e-13)
  expect_true(all(tapply(x$x_between, d$patient, function(v) length(unique(v))) == 1))
  expect_true(all(tapply(x$x_between_therapist, d$therapist, function(v) length(unique(v))) == 1))
})

test_that("three levels: persons count once in the therapist's mean", {
  d <- synthetic_sessions()
  hand <- by_hand(d)
  x <- front_columns(y ~ between(x, level = "therapist") + (1 | therapist / patient), d)
  expect_equal(x$x_between, hand$person - hand$therapist)
  expect_equal(x$x_between_therapist, hand$therapist - hand$grand)
})

test_that("weighting = 'rows' weights persons by their rows in therapists' means", {
  d <- synthetic_sessions()
  fit <- front(y ~ between(x, level = "therapist") + (1 | therapist / patient), d,
    control = hlm_control(weighting = "rows")
  )
  x <- as.data.frame(design_matrix_x(fit))
  expect_equal(x$x_between_therapist, ave(d$x, d$therapist) - mean(d$x))
})

test_that("four levels form a chain", {
  d <- synthetic_sessions()
  d$clinic <- ifelse(d$therapist <= 2, "north", "south")
  # two clinics, and a predictor that tells them apart
  expect_warning(
    fit <- front(y ~ wb(x, level = c("therapist", "clinic")) + (1 | clinic / therapist / patient), d), "2 groups of `clinic`",
    class = "hlm_warning_design"
  )
  x <- as.data.frame(design_matrix_x(fit))
  hand <- by_hand(d)
  once <- !duplicated(d$patient)
  clinic <- as.vector(tapply(hand$person[once], d$clinic[once], mean)[d$clinic])
  expect_equal(x$x_between, hand$person - hand$therapist)
  expect_equal(x$x_between_therapist, hand$therapist - clinic)
  expect_equal(x$x_between_clinic, clinic - hand$grand)
})

test_that("a level must contain whole persons", {
  d <- synthetic_sessions()
  d$therapist[1] <- 99
  expect_error(
    front(y ~ between(x, level = "therapist") + (1 | patient), d), paste0("several: ", d$patient[1]),
    class = "hlm_error_data"
  )
})

test_that("peers: panelr detrend returns the contextual model; ours is the person's own line", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x, detrend = TRUE, at = 1) + (1 | patient), d, time = "session")
  x <- as.data.frame(design_matrix_x(fit))
  lines <- lapply(split(d, d$patient), function(p) stats::lm(x ~ session, p))
  residual <- unsplit(lapply(lines, stats::residuals), d$patient)
  start <- vapply(lines, function(m) sum(stats::coef(m)), 0)
  expect_equal(x$x_within, unname(residual), tolerance = 1e-12)
  expect_equal(x$x_between, unname(start[as.character(d$patient)] - mean(start)), tolerance = 1e-12)
  expect_false(isTRUE(all.equal(x$x_within, by_hand(d)$within)))
})

test_that("detrend = k fits the person's own polynomial, whatever the origin of time", {
  d <- synthetic_sessions()
  d$year <- 1990 + d$session
  fit <- front(y ~ wb(x, detrend = 2, at = 1992) + (1 | patient), d, time = "year")
  x <- as.data.frame(design_matrix_x(fit))
  curves <- lapply(split(d, d$patient), function(p) stats::lm(x ~ session + I(session^2), p))
  expect_equal(x$x_within, unname(unsplit(lapply(curves, stats::residuals), d$patient)), tolerance = 1e-9)
  level <- vapply(curves, function(m) sum(stats::coef(m) * c(1, 2, 4)), 0)
  expect_equal(x$x_between, unname(level[as.character(d$patient)] - mean(level)), tolerance = 1e-9)
})

test_that("a level far outside the observed time is pointed out", {
  d <- synthetic_sessions()
  d$year <- 1990 + d$session
  expect_warning(
    front(y ~ between(x, detrend = TRUE) + (1 | patient), d, time = "year"), "far from the observed",
    class = "hlm_warning_data"
  )
})

test_that("double-demeaning: centre, multiply, centre again", {
  d <- synthetic_sessions()
  x <- front_columns(y ~ within(x) * within(w) + (1 | patient), d)
  product <- (d$x - ave(d$x, d$patient)) * (d$w - ave(d$w, d$patient))
  expect_equal(x[["x_within:w_within"]], product - ave(product, d$patient))
})

test_that("within:between is a plain product, in any order", {
  d <- synthetic_sessions()
  x <- front_columns(y ~ between(w):within(x) + (1 | patient), d)
  hand <- by_hand(d)
  expect_equal(x[["w_between:x_within"]], x$`w_between:x_within`)
  w <- ave(d$w, d$patient)
  expect_equal(x[["w_between:x_within"]], hand$within * (w - mean(w[!duplicated(d$patient)])))
})

test_that("columns without variation are errors that name the slip", {
  d <- synthetic_sessions()
  d$age <- d$patient + 20
  expect_error(front(y ~ wb(age) + (1 | patient), d), "never varies within", class = "hlm_error_data")
  d$thirds <- d$patient / 3 + 0.1
  expect_error(front(y ~ within(thirds) + (1 | patient), d), "never varies within", class = "hlm_error_data")
  balanced <- expand.grid(session = 1:4, patient = 1:6)
  balanced$y <- sin(seq_len(24))
  expect_error(front(y ~ wb(session) + (1 | patient), balanced), "same mean", class = "hlm_error_data")
  expect_s3_class(front(y ~ within(session) + (1 | patient), balanced), "hlm")
  expect_s3_class(front(y ~ between(age) + (1 | patient), d), "hlm")
})

test_that("a small variation on a large level is kept", {
  d <- synthetic_sessions()
  d$large <- 1e6 + d$x / 100
  x <- front_columns(y ~ wb(large) + (1 | patient), d)
  # a mean near 1e6 is itself only known to the last digit of a double
  expect_lt(max(abs(x$large_within - (d$large - ave(d$large, d$patient)))), 2 * 1e6 * .Machine$double.eps)
})

test_that("several within variables in one model keep their own means", {
  d <- synthetic_sessions()
  x <- front_columns(y ~ wb(x) + wb(w) + within(log(session)) + (1 | patient), d)
  expect_equal(x$w_within, d$w - ave(d$w, d$patient))
  expect_equal(x$log_session_within, log(d$session) - ave(log(d$session), d$patient))
})

test_that("the frozen means say what they are", {
  d <- synthetic_sessions()
  means <- front(y ~ wb(x) + (1 | patient), d)$means$x
  expect_equal(means$persons, as.character(1:12))
  expect_equal(means$coef[, 1], as.vector(tapply(d$x, d$patient, mean)))
  expect_equal(means$count, as.vector(table(d$patient)))
  expect_equal(means$rows, "analysis")
})

test_that("a person whose values lie on the trend has no deviation from it, in any unit", {
  # with as many values as coefficients, or a straight line; rounding alone would leave deviations of 1e-16, and a person with an SD
  n <- 200L
  d <- withr::with_seed(31L, {
    sessions <- rep(c(2L, 6L), n / 2L)
    data.frame(
      id = rep(seq_len(n), sessions), t = sequence(sessions) * 1.7, x = stats::rnorm(sum(sessions), 40, 8) / 7, y = stats::rnorm(sum(sessions))
    )
  })
  line <- d$id %in% c(2L, 4L)
  d$x[line] <- 0.1 + d$t[line] / 3
  fit <- hlm(y ~ within(x, detrend = TRUE) + (1 | id), d, time = t)
  column <- x_column(fit, "x_within")
  none <- line | d$id %% 2L == 1L
  expect_identical(column[none], numeric(sum(none)))
  expect_true(all(column[!none] != 0))
  expect_identical(suppressMessages(predict(fit, newdata = d[d$id == 2L, ], re.form = NA)), rep(fixef(fit)[[1L]], 6L), ignore_attr = TRUE)
  standard <- as.data.frame(standardize(fit, "within-person"))
  deviation <- stats::ave(seq_len(nrow(d)), d$id, FUN = function(r) stats::residuals(stats::lm(d$x[r] ~ d$t[r])))
  own <- vapply(setdiff(unique(d$id[!none]), 0L), function(i) stats::sd(deviation[d$id == i]) / stats::sd(d$y[d$id == i]), 0)
  expect_equal(standard$estimate[standard$term == "x_within"], fixef(fit)[["x_within"]] * mean(own), tolerance = 1e-10)
})
