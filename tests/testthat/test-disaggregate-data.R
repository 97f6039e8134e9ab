test_that("disaggregate() gives the columns of the model", {
  d <- synthetic_sessions()
  out <- disaggregate(d, x, w, id = patient)
  x <- front_columns(y ~ wb(x) + wb(w) + (1 | patient), d)
  for (name in c("x_within", "x_between", "w_within", "w_between")) expect_equal(out[[name]], x[[name]])
  expect_equal(names(out), c(names(d), "x_within", "x_between", "w_within", "w_between"))
})

test_that("detrended and three-level columns are those of the model", {
  d <- synthetic_sessions()
  out <- disaggregate(d, x, id = patient, time = session, method = "detrend", at = 1, level = "therapist")
  x <- front_columns(y ~ wb(x, detrend = TRUE, at = 1, level = "therapist") + (1 | therapist / patient), d, time = "session")
  for (name in c("x_within", "x_between", "x_between_therapist")) expect_equal(out[[name]], x[[name]])
})

test_that("id, time and level may be names, strings or combinations", {
  d <- synthetic_sessions()
  plain <- disaggregate(d, x, id = patient)
  expect_equal(disaggregate(d, "x", id = "patient"), plain)
  who <- "patient"
  expect_equal(disaggregate(d, x, id = who), plain)
  d$number <- (d$patient - 1) %% 3 + 1
  combined <- disaggregate(d, x, id = therapist:number)
  expect_equal(combined$x_within, plain$x_within)
  expect_equal(
    disaggregate(d, x, id = patient, level = therapist), disaggregate(d, x, id = patient, level = "therapist")
  )
})

test_that("the class of the data is kept", {
  d <- synthetic_sessions()
  expect_identical(class(disaggregate(d, x, id = patient)), "data.frame")
  skip_if_not_installed("tibble")
  out <- disaggregate(tibble::as_tibble(d), x, id = patient)
  expect_s3_class(out, "tbl_df")
  expect_equal(out$x_within, disaggregate(d, x, id = patient)$x_within)
})

test_that("a data.table is copied, never changed by reference", {
  skip_if_not_installed("data.table")
  d <- data.table::as.data.table(synthetic_sessions())
  before <- names(d)
  out <- disaggregate(d, x, id = patient)
  expect_s3_class(out, "data.table")
  expect_equal(names(d), before)
  expect_equal(names(out), c(before, "x_within", "x_between"))
})

test_that("rows: all with x by default, or those with all variables", {
  d <- synthetic_sessions()
  d$x[3] <- NA
  d$w[10] <- NA
  known <- function(v) mean(v, na.rm = TRUE)
  available <- disaggregate(d, x, w, id = patient)
  expect_equal(available$x_within, d$x - ave(d$x, d$patient, FUN = known))
  expect_false(anyNA(available$x_between))
  analysis <- disaggregate(d, x, w, id = patient, means = "analysis")
  both <- ifelse(is.na(d$w), NA, d$x)
  expect_equal(analysis$x_within, d$x - ave(both, d$patient, FUN = known))
})

test_that("a missing id has missing parts", {
  d <- synthetic_sessions()
  d$patient[4] <- NA
  out <- disaggregate(d, x, id = patient)
  expect_true(is.na(out$x_within[4]) && is.na(out$x_between[4]))
  expect_false(anyNA(out$x_within[-4]))
})

test_that("persons with too few sessions to detrend are named and get missing values", {
  d <- synthetic_sessions()
  d <- d[!(d$patient == 5 & d$session > 1), ]
  expect_warning(
    out <- disaggregate(d, x, id = patient, time = session, method = "detrend", at = 1), "\\(`patient`\\): 5",
    class = "hlm_warning_data"
  )
  expect_equal(which(is.na(out$x_within)), which(d$patient == 5))
})

test_that("mistakes are errors with advice", {
  d <- synthetic_sessions()
  expect_error(disaggregate(d, x), "identifies the person", class = "hlm_error_formula")
  expect_error(disaggregate(d, id = patient), "Name the variables", class = "hlm_error_formula")
  expect_error(disaggregate(d, log(x), id = patient), class = "hlm_error_formula")
  expect_error(disaggregate(d, nothere, id = patient), class = "hlm_error_data")
  expect_error(disaggregate(d, x, id = nothere), class = "hlm_error_data")
  expect_error(disaggregate(d, x, id = patient, method = "detrend"), "time", class = "hlm_error_formula")
  expect_error(disaggregate(d, x, id = patient, level = "nothere"), class = "hlm_error_data")
  expect_error(disaggregate(d, treatment, id = patient), "a factor", class = "hlm_error_data")
  expect_error(disaggregate(d, x, id = patient, method = "median"), class = "hlm_error_design")
  d$x[1] <- Inf
  expect_error(disaggregate(d, x, id = patient), "infinite", class = "hlm_error_data")
})
