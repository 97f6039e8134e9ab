bootmer_fixtures <- function() lapply(test_path("fixtures", c("bootstrap-sleepstudy.json", "bootstrap-pastes-ml.json")), read_fixture)

bootmer_fit <- function(fixture) {
  d <- getExportedValue("lme4", fixture$data)
  hlm(stats::as.formula(fixture$formula, env = globalenv()), d, REML = fixture$REML)
}

replicates_of <- function(boot, kinds = c("fixed", "sdcor")) boot$t[, boot$kind %in% kinds, drop = FALSE]

test_that("parametric replicates are distributed as those of lme4::bootMer", {
  skip_if_not_installed("lme4")
  for (fixture in bootmer_fixtures()) {
    boot <- bootstrap(bootmer_fit(fixture), fixture$nsim, seed = 77)
    t <- replicates_of(boot)
    expect_equal(ncol(t), length(fixture$mean))
    for (k in seq_len(ncol(t))) {
      ours <- t[is.finite(t[, k]), k]
      # The share of our replicates below their quantile is binomial with a mean that is binomial, too: 4.5 standard errors of the difference.
      # The two packages may differ by lme4's stopping rule, about 1e-5 of a residual SD: ties at zero count in the range.
      slack <- 1e-4 * boot$t0[["sigma"]] * !grepl("^cor_", colnames(t)[[k]])
      width <- 4.5 * sqrt(fixture$probability * (1 - fixture$probability) * (1 / length(ours) + 1 / fixture$used[[k]]))
      below <- vapply(fixture$quantiles[k, ], function(q) c(mean(ours < q - slack), mean(ours <= q + slack)), c(0, 0))
      expect_true(all(below[1L, ] <= fixture$probability + width & below[2L, ] >= fixture$probability - width), label = colnames(t)[[k]])
      expect_lt(abs(mean(ours) - fixture$mean[[k]]), 4.5 * fixture$sd[[k]] * sqrt(2 / length(ours)))
      # an SD's standard error is about sd / sqrt(2n), more for heavy tails; 3 % is 4.2 standard errors of the difference at n = 10,000
      expect_lt(abs(stats::sd(ours) / fixture$sd[[k]] - 1), 0.03)
      if (startsWith(colnames(t)[[k]], "sd_")) {
        share <- mean(abs(ours) < 1e-2 * boot$t0[["sigma"]])
        expect_lt(abs(share - fixture$at_zero[[k]]), 4.5 * sqrt(0.5 / length(ours)))
      }
    }
  }
})

test_that("no replicate ends above lme4's fit of the same outcome", {
  skip_without_lme4()
  boot <- bootstrap(fit_pastes(), 15, seed = 3)
  samples <- engine_bootstrap_samples(fit_pastes()$design, TRUE, fit_pastes()$core, boot_options(boot), 1:15)
  for (i in seq_along(samples)) {
    peer <- suppressWarnings(suppressMessages(lme4::refit(ref_pastes(), samples[[i]])))
    expect_lt(boot$criterion[[i]], lme4::REMLcrit(peer) + 1e-6)
    if (abs(boot$criterion[[i]] - lme4::REMLcrit(peer)) < 1e-7) {
      expect_equal(unname(boot$theta[i, ]), unname(lme4::getME(peer, "theta")), tolerance = 1e-3)
    }
  }
})

test_that("set.seed() or a seed fixes the result, whatever the number of threads", {
  skip_if_not_installed("lme4")
  for (type in c("parametric", "residual", "cases")) {
    one <- withr::with_seed(4, bootstrap(fit_sleep(), 40, type, threads = 1))
    two <- withr::with_seed(4, bootstrap(fit_sleep(), 40, type, threads = 2))
    expect_identical(one, two)
    expect_identical(bootstrap(fit_sleep(), 40, type, seed = one$seed)$t, one$t)
    expect_false(identical(bootstrap(fit_sleep(), 40, type, seed = 9)$t, one$t))
    # more replicates go on where fewer stopped
    expect_identical(bootstrap(fit_sleep(), 60, type, seed = one$seed)$t[1:40, ], one$t)
  }
  before <- withr::with_seed(1, {
    bootstrap(fit_sleep(), 5, seed = 3)
    stats::runif(1)
  })
  expect_identical(before, withr::with_seed(1, stats::runif(1)))
})

test_that("estimates and replicates carry the names and values of VarCorr", {
  for (fit in every_fit()) {
    boot <- bootstrap(fit, 3, seed = 1)
    expect_identical(boot$t0[boot$kind == "fixed"], fixef(fit))
    rows <- as.data.frame(VarCorr(fit), order = "lower.tri")
    expect_equal(unname(boot$t0[boot$kind == "sdcor"]), rows$sdcor)
    expect_equal(unname(boot$t0[boot$kind == "vcov"]), rows$vcov)
    expect_identical(colnames(boot$t), names(boot$t0))
  }
  skip_if_not_installed("lme4")
  expect_identical(
    names(bootstrap(fit_sleep(), 2, seed = 1)$t0)[3:6],
    c("sd_(Intercept)|Subject", "cor_Days.(Intercept)|Subject", "sd_Days|Subject", "sigma")
  )
})

test_that("a replicate is what a new fit to the same outcome gives", {
  skip_if_not_installed("lme4")
  for (fit in list(fit_gaps(), fit_penicillin(), fit_therapy())) {
    for (type in c("parametric", "residual")) {
      boot <- bootstrap(fit, 3, type, seed = 8)
      samples <- engine_bootstrap_samples(fit$design, isTRUE(fit$REML), fit$core, boot_options(boot), 1:3)
      for (i in 1:3) {
        again <- refit(fit, samples[[i]])
        expect_equal(boot$criterion[[i]], again$core$criterion, tolerance = 1e-9)
        expect_equal(unname(boot$t[i, boot$kind == "fixed"]), unname(fixef(again)), tolerance = 1e-6)
        expect_equal(unname(boot$t[i, "sigma"]), sigma(again), tolerance = 1e-6)
      }
    }
  }
})

test_that("a replicate of cases is what a fit to the drawn rows gives", {
  skip_if_not_installed("lme4")
  data <- sleep_gaps()
  fit <- fit_gaps()
  boot <- bootstrap(fit, 3, "cases", seed = 8)
  draws <- engine_bootstrap_samples(fit$design, TRUE, fit$core, boot_options(boot), 1:3)
  for (i in 1:3) {
    pieces <- lapply(seq_along(draws[[i]]), function(k) {
      transform(data[data$Subject == levels(data$Subject)[[draws[[i]][[k]]]], ], Subject = k)
    })
    again <- hlm(Reaction ~ Days + (Days || Subject), do.call(rbind, pieces), weights = w, offset = known)
    expect_equal(boot$criterion[[i]], again$core$criterion, tolerance = 1e-9)
    expect_equal(unname(boot$t[i, 1:2]), unname(fixef(again)), tolerance = 1e-6)
  }
  # three levels: therapists by default, or patients within their therapist
  therapists <- bootstrap(fit_therapy(), 2, "cases", seed = 1)
  expect_identical(therapists$group, "therapist")
  patients <- bootstrap(fit_therapy(), 2, "cases", group = "patient", seed = 1)
  drawn <- engine_bootstrap_samples(fit_therapy()$design, TRUE, fit_therapy()$core, boot_options(patients), 1)[[1L]]
  expect_equal(as.integer(table((sort(drawn) - 1L) %/% 5L)), rep(5L, 8))
})

test_that("a statistic sees the fit of the replicate", {
  skip_if_not_installed("lme4")
  statistic <- function(fit) c(slope = unname(fixef(fit)[["Days"]]), first = fit$core$theta[[1L]], rows = nobs(fit), icc = icc(fit)$icc[[1L]])
  for (type in c("parametric", "residual", "cases")) {
    boot <- bootstrap(fit_sleep(), 4, type, seed = 2, statistic = statistic)
    expect_equal(boot$t[, "slope"], boot$t[, "Days"], tolerance = 1e-8)
    expect_equal(boot$t[, "first"], boot$t[, "sd_(Intercept)|Subject"] / boot$t[, "sigma"], tolerance = 1e-8)
    expect_equal(boot$t[, "rows"], rep(180, 4))
    expect_gt(stats::sd(boot$t[, "icc"]), 0)
    expect_equal(unname(utils::tail(boot$t0, 4)), unname(statistic(fit_sleep())))
  }
  # nested groups get names of their own with the group that was drawn twice
  counts <- bootstrap(fit_therapy(), 3, "cases", seed = 2, statistic = function(fit) ngrps(fit))
  expect_equal(unname(counts$t[, c("patient", "therapist")]), matrix(c(40, 8), 3, 2, byrow = TRUE))
  expect_warning(
    some <- bootstrap(fit_sleep(), 6, seed = 2, statistic = function(fit) if (fixef(fit)[[1L]] > 251.5) stop("too large") else 1),
    "too large", class = "hlm_warning_bootstrap"
  )
  expect_identical(is.na(some$t[, "statistic"]), some$t[, "(Intercept)"] > 251.5)
  expect_error(bootstrap(fit_sleep(), 4, statistic = function(fit) "a"), class = "hlm_error_data")
})

test_that("a bootstrap of cases has the standard errors of the cluster-robust covariance", {
  # Synthetic: the slopes of half of the persons vary, which the fitted model leaves out, so that its own standard error is far too small.
  d <- withr::with_seed(31, {
    d <- data.frame(id = rep(1:150, each = 6), x = rep(-2:3, 150))
    d$y <- d$x * (0.5 + stats::rnorm(150)[d$id] * (d$id %% 2)) + stats::rnorm(150)[d$id] + stats::rnorm(900)
    d
  })
  fit <- hlm(y ~ x + (1 | id), d)
  setup <- dense_setup(fit$design, TRUE)
  state <- dense_state(setup, fit$core$theta)
  residual <- setup$y - drop(setup$x %*% state$beta)
  scores <- rowsum(t(state$xtv) * residual, d$id)
  robust <- sqrt(diag(state$xvx_inv %*% crossprod(scores) %*% state$xvx_inv))
  boot <- bootstrap(fit, 4000, "cases", seed = 5)
  se <- apply(boot$t[, 1:2], 2L, stats::sd)
  # Monte Carlo error of a standard deviation from 4,000: 1.1 %; the two differ by terms of order 1/150
  expect_equal(unname(se), unname(robust), tolerance = 0.04)
  expect_gt(robust[[2L]] / sqrt(vcov(fit)[2L, 2L]), 1.5)
})

test_that("the residual bootstrap keeps a skewed distribution and its variances", {
  # Synthetic: exponential residuals and random effects.
  d <- withr::with_seed(32, {
    d <- data.frame(id = rep(1:120, each = 5))
    d$y <- 3 * stats::rexp(120)[d$id] + stats::rexp(600)
    d
  })
  fit <- hlm(y ~ 1 + (1 | id), d)
  boot <- bootstrap(fit, 400, "residual", seed = 6)
  y <- unlist(engine_bootstrap_samples(fit$design, TRUE, fit$core, boot_options(boot), 1:400))
  skew <- mean((y - mean(y))^3) / stats::sd(y)^3
  expect_gt(skew, 1)
  total <- sigma(fit)^2 * (1 + fit$core$theta^2)
  # the variance of 400 sets of 120 independent persons: a kurtosis of 9 gives a standard error of 1.3 % of it
  expect_equal(stats::var(y), total, tolerance = 0.05)
  # kurtosis makes a variance less certain than the normal theory of the parametric bootstrap has it
  normal <- bootstrap(fit, 400, seed = 6)
  expect_gt(stats::sd(boot$t[, "sigma"]), 1.3 * stats::sd(normal$t[, "sigma"]))
})

test_that("fits on the boundary can be bootstrapped", {
  skip_if_not_installed("lme4")
  fit <- hlm(Yield ~ 1 + (1 | Batch), lme4::Dyestuff2)
  expect_identical(fit$core$theta, 0)
  boot <- bootstrap(fit, 400, seed = 1)
  # under a variance of zero the REML estimate is zero with probability P(F(5, 24) <= 1) = 0.56; 4 standard errors
  expect_lt(abs(mean(boot$status == "boundary") - stats::pf(1, 5, 24)), 4 * sqrt(0.25 / 400))
  expect_true(all(boot$t[boot$status == "boundary", "sd_(Intercept)|Batch"] == 0))
  expect_true(all(is.finite(bootstrap(fit, 20, "residual", seed = 1)$t)))
  expect_true(all(is.finite(bootstrap(fit, 20, "cases", seed = 1)$t)))
})

test_that("samples that do not identify the model are counted and said", {
  # one person of eight was treated: samples without that person know nothing of the treatment
  d <- withr::with_seed(33, data.frame(id = rep(1:8, each = 4), treated = rep(c(1, 0), c(4, 28)), y = stats::rnorm(32) + stats::rnorm(8)[rep(1:8, each = 4)]))
  fit <- hlm(y ~ treated + (1 | id), d)
  expect_warning(boot <- bootstrap(fit, 50, "cases", seed = 1), "did not identify", class = "hlm_warning_bootstrap")
  draws <- engine_bootstrap_samples(fit$design, TRUE, fit$core, boot_options(boot), 1:50)
  # all drawn persons treated is as bad as none
  bad <- vapply(draws, function(drawn) !1L %in% drawn || all(drawn == 1L), TRUE)
  expect_identical(boot$status == "unidentified", bad)
  expect_identical(is.na(boot$t[, "treated"]), bad)
  expect_output(print(boot), paste(sum(bad), "replicates not used"))
})

test_that("columns left out of the model, ML and several terms of a factor are handled", {
  skip_if_not_installed("lme4")
  d <- lme4::sleepstudy
  d$twice <- 2 * d$Days
  full <- suppressMessages(hlm(Reaction ~ Days + twice + (Days | Subject), d, REML = FALSE))
  part <- hlm(Reaction ~ Days + (Days | Subject), d, REML = FALSE)
  expect_equal(bootstrap(full, 5, seed = 1)$t, bootstrap(part, 5, seed = 1)$t, tolerance = 1e-7)
  expect_equal(colnames(bootstrap(full, 5, "cases", seed = 1)$t)[1:2], c("(Intercept)", "Days"))
  split <- hlm(Reaction ~ Days + (Days || Subject), d)
  expect_false(any(grepl("^cor_", names(bootstrap(split, 5, "residual", seed = 1)$t0))))
})

test_that("arguments out of range are refused", {
  skip_if_not_installed("lme4")
  expect_error(bootstrap(fit_sleep(), 1), class = "hlm_error_data")
  expect_error(bootstrap(fit_sleep(), 10, type = "wild"), class = "hlm_error_data")
  expect_error(bootstrap(fit_sleep(), 10, seed = -1), class = "hlm_error_data")
  expect_error(bootstrap(fit_sleep(), 10, group = "Subject"), class = "hlm_error_data")
  expect_error(bootstrap(fit_sleep(), 10, "cases", group = "clinic"), class = "hlm_error_data")
  expect_error(bootstrap(fit_penicillin(), 10, "cases"), "crossed", class = "hlm_error_data")
})

test_that("the printed result and the data frame", {
  skip_if_not_installed("lme4")
  boot <- bootstrap(fit_sleep(), 200, seed = 1)
  frame <- as.data.frame(boot)
  expect_identical(names(frame), c("replicate", "status", names(boot$t0)))
  expect_identical(frame$Days, unname(boot$t[, "Days"]))
  shown <- utils::capture.output(print(boot))
  expect_match(shown[[1L]], "Parametric bootstrap: 200 replicates, seed 1", fixed = TRUE)
  expect_match(paste(shown, collapse = "\n"), "Name +Estimate +Bias +SE")
  expect_output(print(bootstrap(fit_therapy(), 10, "cases", seed = 1)), "groups of therapist")
  copy <- withr::local_tempfile()
  saveRDS(boot, copy)
  expect_equal(confint(readRDS(copy)), confint(boot))
})
