with_gaps <- function() {
  d <- synthetic_sessions()
  d$y[c(2, 30)] <- NA
  d$x[c(2, 11, 12)] <- NA
  d
}

test_that("missing rows are dropped, counted per variable, and marked as lm() marks them", {
  d <- with_gaps()
  fit <- front(y ~ x + (1 | patient), d)
  expect_equal(fit$dropped, c(y = 2L, x = 3L))
  expect_equal(fit$na.action, stats::na.action(stats::lm(y ~ x, d)))
  expect_equal(fit$rows, setdiff(seq_len(nrow(d)), c(2, 11, 12, 30)))
  expect_s3_class(front(y ~ x + (1 | patient), d, na.action = na.exclude)$na.action, "exclude")
  expect_s3_class(front(y ~ x + (1 | patient), d, na.action = "na.exclude")$na.action, "exclude")
})

test_that("na.fail and na.pass are errors when there is something missing", {
  d <- with_gaps()
  expect_error(front(y ~ x + (1 | patient), d, na.action = na.fail), "na.fail", class = "hlm_error_data")
  expect_error(front(y ~ x + (1 | patient), d, na.action = na.pass), class = "hlm_error_data")
  expect_s3_class(front(y ~ x + (1 | patient), synthetic_sessions(), na.action = na.fail), "hlm")
  expect_error(front(y ~ x + (1 | patient), d, na.action = mean), class = "hlm_error_data")
})

test_that("missing groups, weights and offsets lose their rows, too", {
  d <- synthetic_sessions()
  d$patient[3] <- NA
  weights <- replace(rep(1, nrow(d)), 5, NA)
  fit <- front(y ~ x + (1 | patient), d, inputs = list(weights = weights))
  expect_equal(fit$dropped, c(patient = 1L, weights = 1L))
  expect_length(fit$design$weights, nrow(d) - 2)
  expect_length(fit$design$groups[[1]]$levels, 12)
})

test_that("unused levels and groups that lose all rows disappear", {
  d <- synthetic_sessions()
  d$patient <- factor(d$patient, levels = c(0:12, "extra"))
  d$y[d$patient == 4] <- NA
  fit <- front(y ~ wb(x) + (1 | patient), d)
  expect_equal(fit$design$groups[[1]]$levels, as.character(setdiff(1:12, 4)))
  expect_equal(fit$means$x$persons, as.character(setdiff(1:12, 4)))
})

test_that("peers: within scores of the analysed rows average zero per person", {
  d <- with_gaps()
  fit <- front(y ~ wb(x) + (1 | patient), d)
  rows <- d[fit$rows, ]
  within <- design_matrix_x(fit)[, "x_within"]
  expect_equal(within, rows$x - ave(rows$x, rows$patient), ignore_attr = TRUE)
  expect_lt(max(abs(tapply(within, rows$patient, sum))), 1e-12)
})

test_that("means = 'available' takes all rows with x", {
  d <- with_gaps()
  fit <- front(y ~ wb(x) + (1 | patient), d, control = hlm_control(means = "available"))
  all <- ave(d$x, d$patient, FUN = function(v) mean(v, na.rm = TRUE))
  x <- design_matrix_x(fit)
  expect_equal(x[, "x_within"], (d$x - all)[fit$rows], ignore_attr = TRUE)
  persons <- tapply(all[fit$rows], d$patient[fit$rows], mean)
  expect_equal(x[, "x_between"], all[fit$rows] - mean(persons), ignore_attr = TRUE)
})

test_that("weighting = 'rows' centres at the mean over rows", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x) + (1 | patient), d, control = hlm_control(weighting = "rows"))
  expect_equal(design_matrix_x(fit)[, "x_between"], ave(d$x, d$patient) - mean(d$x), ignore_attr = TRUE)
})

test_that("transformations are computed before rows are dropped, as lm() does", {
  d <- with_gaps()
  fit <- front(y ~ scale(w) + poly(session, 2) + x + (1 | patient), d)
  expect_equal(
    design_matrix_x(fit), stats::model.matrix(stats::lm(y ~ scale(w) + poly(session, 2) + x, d)),
    ignore_attr = TRUE
  )
})

test_that("no complete row is an error that counts what is missing", {
  d <- synthetic_sessions()
  d$x <- NA_real_
  expect_error(front(y ~ x + (1 | patient), d), "x \\(67\\)", class = "hlm_error_data")
})

test_that("persons with too few sessions to detrend are left out, named and counted", {
  d <- synthetic_sessions()
  d <- d[!(d$patient == 5 & d$session > 1), ]
  expect_warning(
    fit <- front(y ~ wb(x, detrend = TRUE) + (1 | patient), d, time = "session"), "\\(`patient`\\): 5",
    class = "hlm_warning_data"
  )
  expect_equal(fit$dropped, c("trend of x" = 1L))
  expect_false("5" %in% fit$means$x$persons)
})
