test_that("the design found needs as many patients as the closed form says", {
  # two arms, complete data: the t test of means of 4 sessions
  design <- hlm_design(40, 4, within = NULL, between = NULL, moderator = "binary", moderator_effect = 0.6, icc = 0.6, variances = "residual")
  found <- find_design(design, "moderator", power = 0.8, n_patients = c(20, 200), nsim = 300, confirm = 3000, seed = 1)
  exact <- 2 * stats::power.t.test(delta = 0.6, sd = sqrt(0.7), power = 0.8, strict = TRUE)$n
  expect_lt(abs(found$design$truth$n_patients / exact - 1), 0.1)
  best <- found$candidates[which(found$candidates$reached)[[1L]], ]
  expect_gte(best$power, 0.8)
  expect_true(best$n_lower <= best$n_patients && best$n_patients <= best$n_upper)
  # the curve is the truth, within its error
  curve <- found$curve[found$curve$n_patients > 30, ]
  truth <- stats::power.t.test(curve$n_patients / 2, 0.6, sqrt(0.7), strict = TRUE)$power
  expect_lt(max(abs(curve$power - truth)), 0.04)
})

test_that("costs decide between patients and sessions", {
  design <- hlm_design(40, 4, within = 0.25, between = 0.25)
  search <- function(cost) {
    find_design(design, "within", n_patients = c(15, 150), n_sessions = c(3, 8), cost = cost, nsim = 150, confirm = 500, seed = 2)
  }
  patients_dear <- search(function(n_patients, n_sessions) 1000 * n_patients + n_patients * n_sessions)
  sessions_dear <- search(function(n_sessions, n_patients) n_patients + 1000 * n_patients * n_sessions^1.5)
  expect_identical(patients_dear$design$truth$n_sessions, 8L)
  expect_identical(sessions_dear$design$truth$n_sessions, 3L)
  expect_false(is.unsorted(patients_dear$candidates$cost))
  expect_equal(patients_dear$candidates$cost[[1L]], with(patients_dear$candidates[1L, ], 1000 * n_patients + n_patients * n_sessions))
})

test_that("nothing found is said, and bad arguments are errors that name them", {
  design <- hlm_design(40, 4, within = 0.1, between = 0)
  none <- find_design(design, "within", n_patients = c(10, 14), nsim = 50, confirm = 50, seed = 1)
  expect_null(none$design)
  expect_output(print(none), "No design in the ranges")
  expect_error(find_design(design, "between"), "zero", class = "hlm_error_data")
  expect_error(find_design(design, "age"), "age", class = "hlm_error_data")
  expect_error(find_design(mtcars, "within"), "hlm_design", class = "hlm_error_data")
  expect_error(find_design(design, "within", power = 80), "power", class = "hlm_error_data")
  expect_error(find_design(design, "within", power = 0.03), "alpha", class = "hlm_error_data")
  expect_error(find_design(design, "within", n_patients = c(1.5, 20)), "n_patients", class = "hlm_error_data")
  expect_error(find_design(design, "within", n_therapists = c(5, 10)), "n_therapists", class = "hlm_error_data")
  expect_error(find_design(design, "within", cost = 5), "cost", class = "hlm_error_data")
  expect_error(find_design(design, "within", cost = function(patients) patients), "patients", class = "hlm_error_data")
  expect_error(find_design(design, "within", cost = function(n_patients) stop("too dear"), n_patients = c(150, 400), nsim = 20, confirm = 20), "too dear",
    class = "hlm_error_data")
})
