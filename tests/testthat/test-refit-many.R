# Every refit against refit() and summary(), one by one.
expect_refits <- function(fit, nsim = 3, ddf = "satterthwaite", tolerance = 1e-7) {
  y <- simulate(fit, nsim, seed = 7)
  many <- refit_many(fit, y, ddf = ddf)
  expect_s3_class(many, "hlm_refits")
  name <- c(satterthwaite = "Satterthwaite", `kenward-roger` = "Kenward-Roger", none = "none")[[ddf]]
  for (i in seq_len(nsim)) {
    one <- refit(fit, y[[i]])
    table <- coef(summary(one, ddf = name))
    column <- function(k) stats::setNames(table[, k], row.names(table))
    row <- function(values) stats::setNames(values[i, ], colnames(values))
    expect_equal(row(many$beta), column(1L), tolerance = tolerance)
    expect_equal(row(many$se), column(2L), tolerance = tolerance)
    if (ddf != "none") expect_equal(row(many$df), column("df"), tolerance = tolerance)
    expect_equal(row(many$p.value), column(ncol(table)), tolerance = tolerance)
    reference <- if (many$reml) as_reml(one) else one
    expect_equal(many$theta[i, ], reference$core$theta, tolerance = tolerance)
    expect_equal(many$sigma[[i]], sigma(reference), tolerance = tolerance)
    expect_equal(many$criterion[[i]], reference$core$criterion, tolerance = tolerance)
    expect_equal(as.character(many$status[[i]]), reference$core$status)
  }
  invisible(many)
}

test_that("every refit is that of refit() and summary()", {
  skip_if_not_installed("lme4")
  for (fit in every_fit()) expect_refits(fit)
})

test_that("with Kenward-Roger's tests, too, and after maximum likelihood by a refit by REML", {
  skip_if_not_installed("lme4")
  for (fit in list(fit_sleep(), fit_penicillin(), fit_gaps(), fit_therapy())) expect_refits(fit, 2, "kenward-roger")
  many <- expect_refits(hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, REML = FALSE), 2, "kenward-roger")
  expect_true(many$reml)
})

test_that("maximum likelihood, a rank-deficient model and the normal distribution", {
  d <- therapy_data()
  d$twice <- 2 * d$session
  ml <- hlm(distress ~ session + wb(alliance) + (1 | therapist / patient), d, REML = FALSE)
  expect_refits(ml)
  fit <- suppressMessages(hlm(distress ~ session + twice + wb(alliance) + (1 | patient), d))
  expect_equal(colnames(expect_refits(fit)$beta), c("(Intercept)", "session", "alliance_within", "alliance_between"))
  expect_true(all(expect_refits(ml, 2, "none")$df == Inf))
})

test_that("residual structures are estimated anew for every outcome", {
  d <- therapy_data()
  fit <- hlm(distress ~ session + wb(alliance) + (1 | patient), d, time = session, residual = "ar1")
  many <- expect_refits(fit, 2, tolerance = 1e-5)
  expect_true("phi__session" %in% colnames(many$parameters))
  expect_error(refit_many(fit, nsim = 2, ddf = "kenward-roger"), class = "hlm_error_covariance")
  expect_error(refit_many(fit, nsim = 2, reduced = TRUE), class = "hlm_error_covariance")
})

test_that("outcomes that are drawn are those of the parametric bootstrap, whatever the threads and the parts", {
  fit <- fit_therapy()
  many <- refit_many(fit, nsim = 30, seed = 4, threads = 1)
  two <- refit_many(fit, nsim = 30, seed = 4, threads = 2)
  expect_identical(many[names(many) != "fit"], two[names(two) != "fit"])
  boot <- bootstrap(fit, nsim = 30, seed = 4)
  usable <- boot_usable(many$status)
  expect_equal(many$parameters[usable, ], boot$t[usable, colnames(many$parameters)], tolerance = 1e-5)
  part <- engine_refit_many(fit$design, TRUE, fit$core, NULL, list(
    nsim = 10L, first = 20, seed = 4, tests = "satterthwaite", threads = 1L, max_iter = fit$control$max_iter, tol = fit$control$tol
  ))
  expect_identical(part$beta, unname(many$beta[21:30, ]))
  expect_identical(part$df, unname(many$df[21:30, ]))
})

test_that("set.seed() makes the result reproducible", {
  fit <- fit_therapy()
  a <- withr::with_seed(1, refit_many(fit, nsim = 5))
  b <- withr::with_seed(1, refit_many(fit, nsim = 5))
  expect_identical(a$beta, b$beta)
  expect_false(identical(a$beta, withr::with_seed(2, refit_many(fit, nsim = 5))$beta))
})

test_that("estimates of drawn outcomes scatter about the truth as their standard errors say, and tests of a true null reject at their level", {
  fit <- fit_therapy()
  # synthetic truth: no effect of being female
  fit$core$beta[[match("female", fit$design$x_names)]] <- 0
  many <- refit_many(fit, nsim = 2000, seed = 8)
  error <- sweep(many$beta, 2L, many$truth[colnames(many$beta)])
  spread <- apply(error, 2L, stats::sd)
  expect_lt(max(abs(colMeans(error)) / (spread / sqrt(2000))), 4)
  expect_equal(sqrt(colMeans(many$se^2)), spread, tolerance = 0.08)
  expect_lt(abs(mean(many$p.value[, "female"] < 0.05) - 0.05), 4 * sqrt(0.05 * 0.95 / 2000))
})

test_that("reduced models are fitted to the same outcomes", {
  skip_if_not_installed("lme4")
  fit <- fit_sleep()
  y <- simulate(fit, 3, seed = 5)
  many <- refit_many(fit, y, reduced = TRUE)
  smaller <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
  other <- refit_many(fit, y, reduced = list(intercepts = smaller))
  for (i in 1:3) expect_equal(many$lrt[i, 1L], ranova(refit(fit, y[[i]]))$LRT[2L], tolerance = 1e-7, ignore_attr = TRUE)
  expect_equal(other$lrt[, "intercepts"], many$lrt[, 1L], tolerance = 1e-7)
  linear <- refit_many(smaller, y, reduced = TRUE)
  for (i in 1:3) expect_equal(linear$lrt[i, 1L], ranova(refit(smaller, y[[i]]))$LRT[2L], tolerance = 1e-7, ignore_attr = TRUE)
  expect_equal(nrow(as.data.frame(many, what = "lrt")), 3)
  expect_error(as.data.frame(refit_many(fit, y), what = "lrt"), class = "hlm_error_data")
  expect_error(refit_many(smaller, y, reduced = fit), class = "hlm_error_design")
  expect_error(refit_many(fit, y, reduced = hlm(Reaction ~ 1 + (1 | Subject), lme4::sleepstudy)), "fixed effects", class = "hlm_error_design")
  expect_error(refit_many(fit, y, reduced = "a"), class = "hlm_error_data")
})

test_that("outcomes that cannot be fitted are counted, not dropped", {
  fit <- fit_therapy()
  y <- cbind(fit$design$y, 5, fit$design$y + 1)
  expect_warning(many <- refit_many(fit, y), class = "hlm_warning_bootstrap")
  expect_equal(as.character(many$status), c("converged", "unidentified", "converged"))
  expect_true(all(is.na(many$beta[2, ])))
  expect_true(all(is.na(many$p.value[2, ])))
  expect_output(print(many), "1 did not identify the model")
})

test_that("the data frames have one row per replicate, and per coefficient", {
  many <- refit_many(fit_therapy(), nsim = 4, seed = 1)
  long <- as.data.frame(many)
  expect_named(long, c("replicate", "status", "term", "estimate", "std.error", "df", "statistic", "p.value"))
  expect_equal(long$estimate[long$term == "session"], unname(many$beta[, "session"]))
  wide <- as.data.frame(many, what = "parameters")
  expect_equal(dim(wide), c(4L, 2L + ncol(many$parameters)))
})

test_that("arguments are checked", {
  fit <- fit_therapy()
  expect_error(refit_many(fit, nsim = 0), class = "hlm_error_data")
  expect_error(refit_many(fit, nsim = 2, seed = -1), class = "hlm_error_data")
  expect_error(refit_many(fit, nsim = 2, ddf = "between-within"), class = "hlm_error_data")
  expect_error(refit_many(fit, nsim = 2, ddf = "nonsense"), class = "hlm_error_data")
  expect_error(refit_many(fit, 1:3), class = "hlm_error_data")
  expect_error(refit_many(fit, fit$design$y, nsim = 5), class = "hlm_error_data")
  expect_error(refit_many(fit, list()), class = "hlm_error_data")
  expect_error(refit_many(1), class = "hlm_error_data")
  expect_error(refit_many(fit, matrix(c(NA, fit$design$y[-1]))), class = "hlm_error_data")
})

test_that("an interrupt stops many refits, and the session goes on", {
  skip_on_os("windows")
  skip_on_cran()
  script <- withr::local_tempfile(fileext = ".R", lines = c(
    "library(wbhlm)",
    "d <- data.frame(id = rep(1:500, each = 5), x = rep(1:5, 500))",
    "set.seed(1)",
    "d$y <- rnorm(500)[d$id] + rnorm(2500)",
    "fit <- hlm(y ~ x + (x | id), d)",
    "system(sprintf('(sleep 0.5; kill -INT %d) &', Sys.getpid()))",
    "start <- Sys.time()",
    "out <- tryCatch(refit_many(fit, nsim = 1e6), interrupt = function(cnd) 'stopped')",
    "cat(out, as.numeric(Sys.time() - start, units = 'secs') < 30, refit_many(fit, nsim = 7)$nsim, '\\n')"
  ))
  libs <- paste(.libPaths(), collapse = .Platform$path.sep)
  out <- withr::with_envvar(
    c(R_LIBS = libs),
    system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)), stdout = TRUE, stderr = TRUE)
  )
  expect_match(paste(out, collapse = "\n"), "stopped TRUE 7")
})
