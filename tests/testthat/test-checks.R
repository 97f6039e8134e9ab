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
