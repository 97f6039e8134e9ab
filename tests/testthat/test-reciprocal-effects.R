test_that("standardised effects are standardize()'s, and the confidence limits follow from estimate, SE and df", {
  r <- both_panel()
  for (way in c("xy", "yx")) {
    reference <- standardize(r$fits[[way]])
    rows <- r$effects[r$effects$direction == way, ]
    place <- match(rows$term, reference$term)
    expect_equal(rows$std.estimate, reference$estimate[place])
    expect_equal(rows$std.error.std, reference$std.error[place])
    expect_equal(rows$std.low, reference$conf.low[place])
    expect_equal(rows$conf.low, rows$estimate - stats::qt(0.975, rows$df) * rows$std.error)
  }
  name <- "x_lag1_within"
  expect_equal(cross_value(r$fits$xy, name), r$effects$std.estimate[r$effects$term == name])
})

test_that("the within-person standardised effect is the mean of persons' own ones, by hand", {
  r <- both_panel()
  fit <- r$fits$xy
  frame <- stats::model.frame(fit)
  person <- as.character(frame$person)
  own <- coef(fit)$person
  value <- vapply(rownames(own), function(p) {
    rows <- person == p
    own[p, "x_lag1_within"] * stats::sd(frame$x_lag1_within[rows]) / stats::sd(frame$y[rows])
  }, 0)
  expect_equal(r$effects$std.estimate[r$effects$term == "x_lag1_within"], mean(value[is.finite(value)]))
})

test_that("the share of the other sign and its interval are the closed form, the count that of coef()", {
  r <- both_panel()
  slope <- r$slopes[1L, ]
  row <- r$effects[r$effects$term == "x_lag1_within", ]
  sd <- attr(VarCorr(r$fits$xy)$person, "stddev")[["x_lag1_within"]]
  expect_equal(slope$sd, sd)
  expect_equal(slope$share, stats::pnorm(-abs(row$estimate) / sd))
  table <- varcomp(r$fits$xy, scale = "sd")
  mine <- table[table$group == "person" & table$var1 %in% "x_lag1_within" & is.na(table$var2), ]
  expect_equal(c(slope$sd.low, slope$sd.high), c(mine$lower, mine$upper))
  z <- abs(row$estimate) / sd
  se <- sqrt(row$std.error^2 / sd^2 + row$estimate^2 * mine$std.error^2 / sd^4)
  expect_equal(c(slope$share.low, slope$share.high), stats::pnorm(-z + c(-1, 1) * stats::qnorm(0.975) * se))
  expect_identical(slope$other.sign, sum(coef(r$fits$xy)$person$x_lag1_within > 0))
  expect_identical(slope$persons, 60L)
})

test_that("with a factor moderator the share is averaged over persons at their own group", {
  d <- reciprocal_panel()
  r <- reciprocal(d, x, y, person, session, moderators = group)
  fit <- r$fits$xy
  beta <- fixef(fit)
  person <- d[match(rownames(ranef(fit)$person), d$person), ]
  average <- beta[["x_lag1_within"]] + ifelse(person$group == "b", beta[["x_lag1_within:groupb"]], 0) +
    ifelse(person$group == "c", beta[["x_lag1_within:groupc"]], 0)
  sd <- attr(VarCorr(fit)$person, "stddev")[["x_lag1_within"]]
  expect_equal(r$slopes$share[[1L]], mean(stats::pnorm(average / sd)))
  expect_equal(r$slopes$estimate[[1L]], mean(average))
  expect_setequal(r$effects$role, c("within", "between", "autoregression", "moderation", "moderator"))
  expect_identical(sum(r$effects$role == "moderation"), 4L)
})
