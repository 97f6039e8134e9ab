test_that("SDs of each level: pooled within, of persons' means, of persons around their therapist", {
  d <- synthetic_sessions()
  fit <- suppressMessages(hlm(y ~ wb(x, level = "therapist") + (1 | therapist / patient), d, id = patient))
  chain <- scale_chain(fit)
  expect_equal(vapply(chain, `[[`, "", "name"), c("patient:therapist", "therapist"))
  expect_equal(level_sd(d$x, 1L, chain), sqrt(sum((d$x - ave(d$x, d$patient))^2) / (nrow(d) - 12)))
  person <- tapply(d$x, d$patient, mean)
  therapist <- tapply(d$therapist, d$patient, unique)
  expect_equal(level_sd(d$x, 2L, chain), sqrt(sum((person - ave(person, therapist))^2) / 8))
  expect_equal(level_sd(d$x, 3L, chain), sd(tapply(person, therapist, mean)))
  # with two levels: of the means themselves
  expect_equal(level_sd(d$x, 2L, chain[1L]), sd(person))
})

test_that("a person's own SD; one row or no variation gives none", {
  person <- list(codes = c(1L, 1L, 1L, 2L, 3L, 3L), levels = c("a", "b", "c"))
  x <- c(1, 2, 4, 9, 0.1 + 0.2, 0.3)
  expect_equal(person_sd(x, person), c(sd(x[1:3]), NA, 0))
})

test_that("the variance of a sum of deviations is that of dense algebra, for two and three levels", {
  check <- function(fit, name, place) {
    x <- stats::model.matrix(fit)
    z <- as.matrix(stats::model.matrix(fit, "random"))
    g <- stats::sigma(fit)^2 * tcrossprod(as.matrix(getME(fit, "Lambda")))
    v <- z %*% g %*% t(z) + diag(stats::sigma(fit)^2 / design_weights(fit$design))
    inverse <- solve(v)
    p <- inverse - inverse %*% x %*% solve(t(x) %*% inverse %*% x, t(x) %*% inverse)
    weights <- seq_len(length(scale_chain(fit)[[1L]]$levels)) / 100
    m <- numeric(ncol(z))
    for (piece in place(fit, weights)) m[piece$at] <- piece$value
    expect_equal(deviation_variance(fit, name, weights), drop(t(m) %*% g %*% t(z) %*% p %*% z %*% g %*% m), tolerance = 1e-8)
  }
  check(fit_therapy(), "alliance_within", function(fit, w) list(list(at = seq(2, 80, 2), value = w)))
  three <- hlm(distress ~ wb(alliance) + (1 + within(alliance) | therapist / patient), therapy_data(), id = patient)
  check(three, "alliance_within", function(fit, w) {
    group <- fit$design$groups
    of_person <- group[[2L]]$codes[match(seq_along(w), group[[1L]]$codes)]
    list(list(at = seq(2, 80, 2), value = w), list(at = 80 + seq(2, 16, 2), value = as.numeric(rowsum(w, of_person))))
  })
})

test_that("a person's deviation adds up the slopes of all its levels", {
  three <- hlm(distress ~ wb(alliance) + (1 + within(alliance) | therapist / patient), therapy_data(), id = patient)
  b <- ranef(three, condVar = FALSE)
  person <- scale_chain(three)[[1L]]
  therapist <- sub(".*:", "", person$levels)
  expect_equal(
    person_deviation(three, "alliance_within", person),
    b[[1]][person$levels, "alliance_within"] + b$therapist[therapist, "alliance_within"]
  )
  expect_equal(person_deviation(three, "alliance_between", person), numeric(40))
})
