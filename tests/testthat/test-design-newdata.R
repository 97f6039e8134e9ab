test_that("poly, ns and scale keep the basis of the fit", {
  d <- synthetic_sessions()
  formula <- y ~ poly(session, 2) + splines::ns(w, 3) + scale(x) + (poly(session, 2) | patient)
  fit <- front(formula, d)
  few <- d[c(2, 9), ]
  new <- design_newdata(fit, few)
  expect_equal(new$x, design_matrix_x(fit)[c(2, 9), ], ignore_attr = TRUE, tolerance = 1e-12)
  expect_equal(new$z[[1]][, 2:3], design_matrix_x(fit)[c(2, 9), 2:3], ignore_attr = TRUE, tolerance = 1e-12)
  reference <- stats::predict(stats::lm(y ~ poly(session, 2) + splines::ns(w, 3) + scale(x), d), few)
  beta <- stats::coef(stats::lm(y ~ poly(session, 2) + splines::ns(w, 3) + scale(x), d))
  expect_equal(drop(new$x %*% beta), reference, ignore_attr = TRUE)
})

test_that("factors keep the levels and contrasts of the fit", {
  d <- synthetic_sessions()
  fit <- front(y ~ treatment * x + (treatment | therapist), d, contrasts = list(treatment = "contr.sum"))
  new <- d[d$treatment == "control", ][1:3, ]
  new$treatment <- as.character(new$treatment)
  expect_equal(design_newdata(fit, new)$x[, "treatment1"], c(-1, -1, -1))
  new$treatment <- "waiting list"
  expect_error(design_newdata(fit, new), "waiting list", class = "hlm_error_data")
  new$treatment <- NA
  expect_true(all(is.na(design_newdata(fit, new)$x[, "treatment1"])))
})

test_that("groups that the fit does not know have code NA", {
  d <- synthetic_sessions()
  fit <- front(y ~ x + (1 | therapist / patient), d)
  new <- data.frame(x = 1, therapist = c(1, 1, 9), patient = c(1, 99, 1))
  found <- design_newdata(fit, new)
  expect_equal(found$codes, list(c(1L, NA, NA), c(1L, 1L, NA)))
  expect_equal(found$labels[[1]], c("1:1", "99:1", "1:9"))
  expect_null(design_newdata(fit, new["x"], random = FALSE)$z)
  expect_error(design_newdata(fit, new["x"]), "lacks", class = "hlm_error_data")
})

test_that("offsets are computed from the new rows", {
  d <- synthetic_sessions()
  fit <- front(y ~ x + offset(2 * w) + (1 | patient), d, inputs = list(offset = d$session),
    extra = list(offset_expr = quote(session))
  )
  expect_equal(design_newdata(fit, d[1:3, ])$offset, (2 * d$w + d$session)[1:3])
  expect_equal(design_newdata(fit)$offset, fit$design$offset)
})

test_that("mistakes in newdata are said", {
  d <- synthetic_sessions()
  fit <- front(y ~ x + (1 | patient), d)
  expect_error(design_newdata(fit, list(x = 1)), class = "hlm_error_data")
  expect_error(design_newdata(fit, data.frame(patient = 1)), "lacks `x`", class = "hlm_error_data")
  expect_error(design_newdata(fit, data.frame(patient = 1, x = "a")), "is a number in the model", class = "hlm_error_data")
})

test_that("constants of the formula travel with the fit", {
  d <- synthetic_sessions()
  make <- function() {
    power <- 2
    twice <- function(v) 2 * v
    front(y ~ I(x^power) + twice(w) + (1 | patient), d)
  }
  fit <- unserialize(serialize(make(), NULL))
  expect_equal(design_newdata(fit, d[1:3, ])$x[, -1], cbind(d$x^2, 2 * d$w)[1:3, ], ignore_attr = TRUE)
})

test_that("peers: slopes differ by moderator, since products are real model terms", {
  d <- synthetic_sessions()
  fit <- front(y ~ within(x) * between(w) + (1 | patient), d)
  expect_equal(attr(fit$spec$terms$object, "term.labels"), c("x_within", "w_between", "x_within:w_between"))
  grid <- expand.grid(x_within = 0:1, w_between = c(-1, 2))
  x <- design_newdata(fit, grid, random = FALSE)$x
  slopes <- x[c(2, 4), ] - x[c(1, 3), ]
  expect_equal(slopes[, "x_within:w_between"], c(-1, 2), ignore_attr = TRUE)
})

test_that("an offset must be a number in new data too", {
  d <- spaced_data()
  d$o <- d$session / 10
  text <- transform(d, o = factor(o))
  expect_error(predict(hlm(y ~ x + offset(o) + (1 | patient), d), text), "is a number in the model", class = "hlm_error_data")
  expect_error(predict(hlm(y ~ x + (1 | patient), d, offset = o), text), "is a number in the model", class = "hlm_error_data")
})

test_that("dates and durations of new data are converted to those of the fit, anything else is an error", {
  d <- spaced_data()
  d$day <- as.Date("2024-01-01") + 7 * d$session
  d$since <- as.difftime(7 * d$session, units = "days")
  fit <- hlm(y ~ day + (1 | patient), d)
  timed <- transform(d, day = as.POSIXct(format(day), tz = "UTC"))
  expect_equal(predict(fit, d), fitted(fit), ignore_attr = TRUE)
  expect_equal(predict(fit, timed), predict(fit, d))
  expect_equal(predict(hlm(y ~ day + (1 | patient), timed), d), predict(fit, d), tolerance = 1e-6)
  expect_true(all(is.na(predict(fit, transform(d, day = NA)))))
  for (bad in list(as.double(d$day), as.character(d$day), d$since)) {
    expect_error(predict(fit, replace(d, "day", list(bad))), "is a date in the model", class = "hlm_error_data")
  }
  plain <- hlm(y ~ session + (1 | patient), d)
  expect_error(predict(plain, transform(d, session = day)), "is a number in the model", class = "hlm_error_data")
  lasting <- hlm(y ~ since + (1 | patient), d)
  expect_equal(predict(lasting, transform(d, since = as.difftime(session, units = "weeks"))), predict(lasting, d))
  expect_error(predict(lasting, transform(d, since = session)), "a duration", class = "hlm_error_data")
})
