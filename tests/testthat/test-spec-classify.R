types <- function(formula, data = synthetic_sessions(), ...) {
  coefs <- front(formula, data, ...)$spec$coefs
  stats::setNames(paste(coefs$type, coefs$level), coefs$name)
}

test_that("coefficients are classified from their terms", {
  found <- types(y ~ session + wb(x) * treatment + within(x):between(w) + within(x):session + (1 | patient), time = "session")
  expect_equal(found, c(
    "(Intercept)" = "other 1", session = "time 1", x_within = "within 1", x_between = "between patient",
    treatmentcontrol = "other patient", "x_within:treatmentcontrol" = "cross-level 1",
    "x_between:treatmentcontrol" = "between patient", "x_within:w_between" = "cross-level 1",
    "session:x_within" = "within 1"
  )[names(found)])
})

test_that("contextual form: x carries the within effect, the mean the contextual one", {
  found <- types(y ~ cx(x) + (1 | patient))
  expect_equal(found[["x"]], "within 1")
  expect_equal(found[["x_between"]], "contextual patient")
})

test_that("three levels are told apart", {
  found <- types(y ~ wb(x, level = "therapist") + (1 | therapist / patient))
  expect_equal(found[["x_between"]], "between patient:therapist")
  expect_equal(found[["x_between_therapist"]], "between therapist")
})

test_that("the level of an unsplit variable is exact, not guessed from sums", {
  data <- synthetic_sessions()
  # peers: grand-mean-centred x sums to zero over all rows; it is not cluster-centred
  data$x_grand <- data$x - mean(data$x)
  data$th_size <- data$therapist^2
  data$nearly <- data$patient + c(1e-12, rep(0, nrow(data) - 1))
  found <- types(y ~ x_grand + th_size + nearly + (1 | therapist / patient), data)
  expect_equal(found[["x_grand"]], "other 1")
  expect_equal(found[["th_size"]], "other therapist")
  expect_equal(found[["nearly"]], "other 1")
})

test_that("dropping a row does not change a classification", {
  data <- synthetic_sessions()
  formula <- y ~ wb(x) + session + (1 | patient)
  expect_equal(types(formula, data), types(formula, data[-5, ]))
})

test_that("a lag is level 1 and functions of time are time", {
  found <- types(y ~ lagged(x) + log(session) + poly(session, 2) + (1 | patient), time = "session")
  expect_equal(unname(found[2:5]), c("other 1", "time 1", "time 1", "time 1"))
})

test_that("the level of an unsplit variable is its own, whatever stands before it in the formula", {
  # derived columns were appended to the list of variables, so that the level was looked up in the wrong one
  found <- types(y ~ wb(x) + w + (1 | patient))
  expect_equal(found[["w"]], "other 1")
  expect_equal(types(y ~ wb(x) + treatment + (1 | patient))[["treatmentcontrol"]], "other patient")
})
