test_that("bounds, bands and the FDR's critical t are those of 'interactions' when the degrees of freedom agree", {
  for (case in probe_fixture()$regions) {
    fit <- probe_case_fit(case$formula)
    range <- range(johnson_neyman(fit, case$pred, case$modx)$observed)
    runs <- list(
      normal = list(ddf = "none"), residual = list(ddf = "residual"), strict = list(ddf = "none", alpha = 0.01),
      fdr = list(ddf = "residual", adjust = "fdr", grid = seq(range[[1]], range[[2]], length.out = 1001))
    )
    for (name in names(runs)) {
      found <- do.call(johnson_neyman, c(list(fit, case$pred, case$modx), runs[[name]]))
      reference <- case[[name]]
      # they report -Inf to Inf for no bounds
      theirs <- suppressWarnings(as.numeric(unlist(reference$bounds)))
      theirs <- theirs[is.finite(theirs)]
      expect_within(found$bounds$bound, theirs, 1e-4 * max(1, abs(theirs)), paste("bounds,", case$name, name))
      bands <- lapply(reference$bands, unlist)
      own <- johnson_neyman_at(fit, case, bands$modx, found)
      width <- bands$upper - bands$lower
      expect_within(own$estimate, bands$estimate, 1e-4 * width, paste("slopes,", case$name, name))
      expect_within(own$lower, bands$lower, 2e-4 * width, paste("band,", case$name, name))
      if (name == "fdr") {
        expect_within(stats::qt(1 - found$rules$alpha / 2, found$curve$df[[1]]), unlist(reference$t), 1e-4, paste("critical t,", case$name))
      }
    }
  }
})

test_that("with constant degrees of freedom the bounds solve Johnson and Neyman's quadratic equation", {
  fit <- fit_simple_moderated()
  b <- fixef(fit)[c("alliance_within", "alliance_within:severity")]
  for (ddf in c("none", "residual", "bw")) {
    found <- johnson_neyman(fit, alliance_within, severity, ddf = ddf)
    v <- as.matrix(stats::vcov(fit))[names(b), names(b)]
    c2 <- stats::qt(0.975, found$curve$df[[1]])^2
    roots <- polyroot(c(c2 * v[1, 1] - b[[1]]^2, 2 * (c2 * v[1, 2] - b[[1]] * b[[2]]), c2 * v[2, 2] - b[[2]]^2))
    expect_equal(found$bounds$bound, sort(Re(roots)), tolerance = 1e-9)
    expect_true(found$rules$closed)
  }
})

test_that("with its own df at each value, p is exactly alpha at every bound", {
  for (ddf in c("Satterthwaite", "KR")) {
    for (alpha in c(0.05, 0.001)) {
      found <- johnson_neyman(fit_simple_moderated(), alliance_within, severity, ddf = ddf, alpha = alpha)
      expect_false(found$rules$closed)
      expect_equal(nrow(found$bounds), 2L)
      p <- 2 * stats::pt(-abs(found$bounds$Estimate / found$bounds$`Std. Error`), found$bounds$df)
      expect_equal(p, rep(alpha, 2), tolerance = 1e-6)
      at <- simple_slopes(fit_simple_moderated(), alliance_within, severity, at = found$bounds$bound, ddf = ddf)$slopes
      expect_equal(at$`Pr(>|t|)`, rep(alpha, 2), tolerance = 1e-6)
    }
  }
  robust <- johnson_neyman(fit_simple_moderated(), alliance_within, severity, vcov = "CR2")
  at <- simple_slopes(fit_simple_moderated(), alliance_within, severity, at = robust$bounds$bound, vcov = "CR2")$slopes
  expect_equal(at$`Pr(>|t|)`, rep(0.05, 2), tolerance = 1e-6)
})

test_that("regions: signs, shares of persons counted once, every region as significant as its slopes", {
  fit <- fit_simple_moderated()
  found <- johnson_neyman(fit, alliance_within, severity)
  persons <- tapply(probe_therapies()$severity, probe_therapies()$patient, `[`, 1)
  expect_equal(sort(found$observed), sort(as.vector(persons)))
  regions <- found$regions
  expect_equal(regions$from[-1], found$bounds$bound)
  expect_equal(sum(regions$n), 60L)
  expect_equal(regions$n, vapply(seq_len(nrow(regions)), function(i) sum(persons >= regions$from[i] & persons < regions$to[i]), 0L))
  expect_equal(regions$share, regions$n / 60)
  slopes <- simple_slopes(fit, alliance_within, severity, at = seq(10, 28, 0.25))$slopes
  place <- findInterval(slopes$modx, regions$from)
  expect_equal(slopes$`Pr(>|t|)` < 0.05, regions$significant[place])
  expect_equal(regions$sign[regions$significant], c("positive", "negative"))
})

test_that("the false discovery rate is Benjamini and Hochberg's, over each observed value once", {
  fit <- fit_moderated()
  found <- johnson_neyman(fit, alliance_within, severity, adjust = "fdr", alpha = 0.02)
  values <- unique(probe_therapies()$severity)
  p <- simple_slopes(fit, alliance_within, severity, at = values)$slopes$`Pr(>|t|)`
  adjusted <- stats::p.adjust(p, "BH") <= 0.02
  expect_equal(found$rules$tests, length(values))
  expect_equal(p <= found$rules$alpha, adjusted)
  expect_equal(found$regions$significant[findInterval(values, found$regions$from)], adjusted)
  expect_lt(found$rules$alpha, 0.02)
  # nothing significant: alpha / n
  none <- johnson_neyman(probe_case_fit(probe_fixture()$regions[[3]]$formula), wai_within, sev, adjust = "fdr")
  expect_equal(none$rules$alpha, 0.05 / none$rules$tests)
  expect_false(any(none$regions$significant))
})

test_that("the simultaneous band is Scheffe's: it is touched where the joint test is", {
  fit <- fit_simple_moderated()
  found <- johnson_neyman(fit, alliance_within, severity, adjust = "simultaneous", ddf = "none")
  expect_equal(found$rules$limit, sqrt(stats::qchisq(0.95, 2)))
  # the largest t^2 over all values of the moderator is Wald's statistic of both coefficients, here as 2 F
  l <- rbind(c(0, 1, 0, 0, 0), c(0, 0, 0, 0, 1))
  joint <- contest(fit, l, ddf = "none")$`F value` * 2
  t2 <- function(m) simple_slopes(fit, alliance_within, severity, at = m, ddf = "none")$slopes$`t value`^2
  top <- stats::optimize(t2, c(10, 100), maximum = TRUE, tol = 1e-8)$objective
  expect_equal(top, joint, tolerance = 1e-6)
  # the df of a test of two rows depend (Satterthwaite) on how they are written: at the middle of the range, and the change to its end
  range <- range(found$observed)
  l <- rbind(c(0, 1, 0, 0, mean(range)), c(0, 0, 0, 0, diff(range) / 2))
  for (ddf in c("Satterthwaite", "KR")) {
    found <- johnson_neyman(fit, alliance_within, severity, adjust = "simultaneous", ddf = ddf)
    test <- contest(fit, l, ddf = ddf)
    wald <- sum((l %*% fixef(fit)) * solve(l %*% resolve_inference(fit, ddf)$vcov %*% t(l), l %*% fixef(fit)))
    limit <- sqrt(wald / test$`F value` * stats::qf(0.95, 2, test$DenDF))
    expect_equal(found$rules$limit, limit)
    expect_gt(found$rules$limit, 2.4)
  }
  # wider than the pointwise region of no significance
  plain <- johnson_neyman(fit, alliance_within, severity)$bounds$bound
  expect_true(found$bounds$bound[[1]] < plain[[1]] && found$bounds$bound[[2]] > plain[[2]])
})

test_that("no bound, one bound, the whole line", {
  d <- probe_therapies()
  b <- fixef(fit_simple_moderated())
  nothing <- hlm(mood ~ within(alliance) * severity + (1 | patient), d)
  found <- johnson_neyman(nothing, alliance_within, severity)
  expect_equal(nrow(found$bounds), 0L)
  expect_equal(nrow(found$regions), 1L)
  expect_false(found$regions$significant)
  expect_equal(c(found$regions$from, found$regions$to), c(-Inf, Inf))
  # the same effect at all values
  d$even <- 20 - 2 * d$alliance + d$mood
  even <- johnson_neyman(hlm(even ~ within(alliance) * severity + (1 | patient), d), alliance_within, severity)
  expect_true(all(even$regions$significant[even$regions$data != "none"]))
  expect_output(print(even), "differs from zero at all observed values of severity")
  # one of two bounds beyond the data
  far <- johnson_neyman(fit_simple_moderated(), alliance_within, severity, range = c(16, 30))
  expect_true(all(far$bounds$bound >= 16))
  expect_equal(range(c(far$regions$from, far$regions$to)), c(16, 30))
  expect_equal(b[["alliance_within"]] > 0, TRUE)
})

test_that("regions that lie outside the data are marked and said", {
  d <- probe_therapies()
  d <- d[d$severity > 20, ]
  d$shifted <- d$distress
  fit <- hlm(shifted ~ within(alliance) * severity + (1 | patient), d)
  found <- johnson_neyman(fit, alliance_within, severity)
  expect_false(any(found$bounds$inside))
  outside <- found$regions[found$regions$data == "none", ]
  expect_gt(nrow(outside), 0L)
  expect_equal(outside$n, rep(0L, nrow(outside)))
  expect_output(print(found), "outside the data: nothing can be concluded there")
})

test_that("a curved slope: all roots within the data", {
  d <- probe_therapies()
  d$wave <- d$distress - 3 * d$mood * sin(d$session * 2)
  fit <- hlm(wave ~ mood * poly(session, 4) + (1 | patient), d)
  found <- johnson_neyman(fit, mood, session)
  expect_gt(nrow(found$bounds), 2L)
  p <- 2 * stats::pt(-abs(found$bounds$Estimate / found$bounds$`Std. Error`), found$bounds$df)
  expect_equal(p, rep(0.05, nrow(found$bounds)), tolerance = 1e-6)
  expect_equal(range(c(found$regions$from, found$regions$to)), c(1, 6))
  grid <- seq(1, 6, length.out = 400)
  p <- simple_slopes(fit, mood, session, at = grid)$slopes$`Pr(>|t|)`
  expect_equal(p < 0.05, found$regions$significant[findInterval(grid, found$regions$from)])
})

test_that("three-way: one set of regions for each value of the second moderator", {
  fit <- fit_moderated()
  found <- johnson_neyman(fit, alliance_within, severity, group)
  expect_equal(unique(found$regions$mod2), c("CBT", "PDT"))
  one <- johnson_neyman(fit, alliance_within, severity, at = list(group = "PDT"))
  expect_equal(found$bounds$bound[found$bounds$mod2 == "PDT"], one$bounds$bound)
  expect_error(johnson_neyman(fit, alliance_within, group, mod2 = severity), class = "hlm_error_data")
  # a group's regions hold the patients of that group
  d <- probe_therapies()
  patients <- d[!duplicated(d$patient), ]
  for (k in seq_len(nrow(found$regions))) {
    row <- found$regions[k, ]
    own <- patients$severity[patients$group == row$mod2]
    expect_identical(row$n, sum(own >= row$from & own < row$to))
    expect_equal(row$share, row$n / length(own))
  }
  fit <- hlm(distress ~ within(alliance) * severity * session + (1 | patient), d)
  expect_equal(
    johnson_neyman(fit, alliance_within, severity, session, at = c(1, 6))$bounds, johnson_neyman(fit, alliance_within, severity, session, at2 = c(1, 6))$bounds
  )
  expect_equal(unique(johnson_neyman(fit, alliance_within, severity, session)$regions$mod2_label), c("mean - 1 SD", "mean", "mean + 1 SD"))
})

test_that("a categorical predictor: regions of each difference", {
  found <- johnson_neyman(fit_moderated(), group, severity)
  expect_equal(unique(found$regions$contrast), "PDT - CBT")
  at <- simple_slopes(fit_moderated(), group, severity, at = c(15, 25))$slopes
  expect_equal(stats::approx(found$curve$modx, found$curve$Estimate, c(15, 25))$y, at$Estimate)
})

test_that("more than a thousand values are replaced by an even grid; the whole takes seconds for 100,000 rows", {
  d <- withr::with_seed(1, {
    d <- data.frame(id = rep(1:10000, each = 10), t = rep(1:10, 10000))
    d$z <- stats::rnorm(10000)[d$id]
    d$x <- stats::rnorm(1e5)
    d$y <- d$x * (0.2 + 0.1 * d$z) + stats::rnorm(10000)[d$id] + stats::rnorm(1e5)
    d
  })
  fit <- hlm(y ~ within(x) * z + (1 | id), d)
  seconds <- system.time(found <- johnson_neyman(fit, x_within, z, adjust = "fdr"))[["elapsed"]]
  expect_lt(seconds, 20)
  expect_equal(found$rules$tests, 1001L)
  expect_equal(sum(found$regions$n), 10000L)
})

test_that("what cannot be done says what to do instead", {
  fit <- fit_moderated()
  expect_error(johnson_neyman(fit, alliance_within, group), "simple_slopes", class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_between, severity), "alliance_between:severity", class = "hlm_error_no_interaction")
  expect_error(johnson_neyman(fit, alliance_within, alliance_within), "alliance_within\\^2", class = "hlm_error_no_interaction")
  expect_error(johnson_neyman(fit, alliance_within, severity, at = 3), "simple_slopes", class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_within, severity, at = list(severity = 3)), "all values", class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_within, severity, level = 95), class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_within, severity, alpha = 5), class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_within, severity, range = 3), "two numbers", class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_within, severity, grid = 1:3), "fdr", class = "hlm_error_data")
  expect_error(johnson_neyman(fit, alliance_within, severity, adjust = "bonferroni"), class = "hlm_error_design")
  d <- probe_therapies()
  d$copy <- d$severity
  aliased <- suppressMessages(hlm(distress ~ within(alliance) * severity + within(alliance):copy + (1 | patient), d))
  expect_error(johnson_neyman(aliased, alliance_within, copy), class = "hlm_error_data")
})

test_that("a moderator with two values is pointed out", {
  d <- probe_therapies()
  d$female <- d$patient %% 2
  fit <- hlm(distress ~ within(alliance) * female + (1 | patient), d)
  expect_match(paste(johnson_neyman(fit, alliance_within, female)$notes, collapse = " "), "only the values 0 and 1")
})

test_that("tidy() and as.data.frame()", {
  found <- johnson_neyman(fit_moderated(), alliance_within, severity, group)
  table <- as.data.frame(tidy(found))
  expect_named(table, c("term", "contrast", "modx", "mod2", "mod2.value", "from", "to", "significant", "sign", "n", "share", "data"))
  expect_equal(table$from, found$regions$from)
  expect_identical(as.data.frame(found, what = "bounds"), found$bounds)
  expect_identical(as.data.frame(found, what = "curve"), found$curve)
})
