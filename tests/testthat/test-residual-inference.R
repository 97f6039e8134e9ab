# Criterion: never above nlme's. Parameters of the structure 1e-5; fixed effects, standard errors and SDs relative 1e-5, and to nlme's own
# convergence where it is worse (weak identification: sets in which nlme stops 1e-9 short).
test_that("estimates, standard errors and likelihoods are nlme's", {
  files <- fixture_files("^residual-.*[.]json$")
  expect_gte(length(files), 20L)
  for (file in files) {
    fixture <- read_fixture(file)
    skip_if_not_installed(fixture$data$package)
    fit <- residual_fixture_fit(fixture)
    reference <- fixture$reference
    near <- function(ours, theirs, tolerance, what) {
      expect_equal(unname(unlist(ours)), unname(unlist(theirs)), tolerance = tolerance, info = paste(fixture$name, what))
    }
    expect_lte(fit$core$criterion, reference$criterion + 1e-6)
    expect_equal(attr(logLik(fit), "df"), reference$npar)
    # nlme stopped short by more than 1e-6: its estimates are not the target
    if (reference$criterion - fit$core$criterion > 1e-6) next
    table <- residual_parameters(fit)
    serial <- table$structure != "hetero"
    # ten ratios at once: nlme stops where the criterion is flat to 4e-9
    wide <- if (length(reference$ratio) > 5L) 5 else 1
    if (any(serial)) near(table$estimate[serial], reference$phi, 1e-5, "phi")
    if (any(!serial)) near(table$estimate[!serial], reference$ratio, 1e-5 * wide, "ratios")
    near(fixef(fit), reference$fixef, 1e-6 * wide, "fixed effects")
    near(sqrt(diag(vcov(fit))), reference$se, 5e-6 * wide, "standard errors")
    near(sigma(fit), reference$sigma, 5e-6 * wide, "sigma")
    near(lapply(VarCorr(fit), attr, "stddev"), reference$sd, 1e-5 * wide, "SDs")
    near(fitted(fit), reference$fitted, 1e-5 * wide, "fitted")
    if (length(reference$normalized)) near(residuals(fit, "normalized"), reference$normalized, 1e-4, "normalized residuals")
    # nlme differentiates numerically: where phi is small and variances differ it keeps two digits only
    if (length(reference$phi_se)) near(table$std.error[serial], reference$phi_se, if (any(!serial)) 0.05 else 5e-3, "SE of phi")
  }
})

test_that("criterion, covariance matrices and modes are those of the dense matrices", {
  for (fit in list(fit_serial(), fit_both(), fit_hetero())) {
    s2 <- sigma(fit)^2
    v <- structured_v(fit)
    r <- structured_r(fit)
    x <- kept_x(fit)
    z <- as.matrix(getME(fit, "Z"))
    e <- fit$design$y - drop(x %*% fixef(fit))
    xx <- crossprod(x, solve(v, x))
    nu <- nrow(x) - ncol(x)
    r2 <- sum(e * solve(v, e))
    criterion <- as.double(determinant(v)$modulus + determinant(xx)$modulus) + nu * (1 + log(2 * pi * r2 / nu))
    expect_equal(fit$core$criterion, criterion, tolerance = 1e-11)
    expect_equal(as.double(-2 * logLik(fit, REML = FALSE)), as.double(determinant(v)$modulus) + nrow(x) * (1 + log(2 * pi * r2 / nrow(x))), tolerance = 1e-11)
    expect_equal(s2, r2 / nu, tolerance = 1e-10)
    expect_equal(unname(vcov(fit)), unname(s2 * solve(xx)), tolerance = 1e-9)
    lambda <- as.matrix(getME(fit, "Lambda"))
    b <- tcrossprod(lambda) %*% crossprod(z, solve(v, e))
    expect_equal(getME(fit, "b"), drop(b), tolerance = 1e-8, ignore_attr = TRUE)
    expect_equal(drop(lambda %*% getME(fit, "u")), drop(b), tolerance = 1e-6, ignore_attr = TRUE)
    given <- s2 * lambda %*% solve(crossprod(z %*% lambda, solve(r, z %*% lambda)) + diag(ncol(z)), t(lambda))
    variances <- attr(ranef(fit)[[1L]], "postVar")
    expect_equal(as.double(apply(variances, 3L, diag)), diag(given), tolerance = 1e-8)
    spread <- level_residuals(fit, "person")
    expect_equal(as.double(t(matrix(spread$se^2, nrow = 20L))), diag(s2 * tcrossprod(lambda) - given), tolerance = 1e-7)
    expect_equal(level_residuals(fit)$standardized * sigma(fit) * sqrt(diag(r)), unname(e - drop(z %*% b)), tolerance = 1e-8)
    # standard errors of predictions: Henderson's equations
    a <- cbind(x, z %*% lambda)
    m <- crossprod(a, solve(r, a)) + diag(rep(c(0, 1), c(ncol(x), ncol(z))))
    expect_equal(unname(predict(fit, se.fit = TRUE)$se.fit), unname(sqrt(s2 * diag(a %*% solve(m, t(a))))), tolerance = 1e-8)
    cmp <- getME(fit, "devcomp")$cmp
    expect_equal(cmp[["ldL2"]], as.double(determinant(v)$modulus - determinant(r)$modulus), tolerance = 1e-9)
    expect_equal(cmp[["wrss"]] + sum(getME(fit, "u")^2), cmp[["pwrss"]], tolerance = 1e-8)
  }
})

# Satterthwaite's df and the standard errors of variances with the whole matrix of second derivatives of the dense criterion.
test_that("degrees of freedom and standard errors include the uncertainty of the residual parameters", {
  skip_if_not_installed("numDeriv")
  for (fit in list(fit_serial(), fit_hetero())) {
    x <- kept_x(fit)
    y <- fit$design$y
    nu <- nrow(x) - ncol(x)
    pieces <- function(par) {
      v <- structured_v(fit, par[[1L]], par[-(1:2)])
      xx <- crossprod(x, solve(v, x))
      e <- y - drop(x %*% solve(xx, crossprod(x, solve(v, y))))
      list(
        criterion = as.double(determinant(v)$modulus + determinant(xx)$modulus) + 2 * nu * log(par[[2L]]) + sum(e * solve(v, e)) / par[[2L]]^2,
        vcov = diag(par[[2L]]^2 * solve(xx))
      )
    }
    at <- unname(c(fit$core$theta, sigma(fit), fit$core$residual$free))
    hessian <- numDeriv::hessian(function(par) pieces(par)$criterion, at)
    slope <- numDeriv::jacobian(function(par) pieces(par)$vcov, at)
    covariance <- 2 * solve(hessian)
    df <- 2 * diag(vcov(fit))^2 / rowSums((slope %*% covariance) * slope)
    expect_equal(unname(coef(summary(fit))[, "df"]), unname(df), tolerance = 1e-5)
    table <- residual_parameters(fit)
    free <- fit$core$residual$free[[1L]]
    se <- sqrt(covariance[3L, 3L])
    to <- if (table$structure == "ar1") tanh else exp
    expect_equal(c(table$lower, table$upper), to(free + c(-1, 1) * stats::qnorm(0.975) * se), tolerance = 1e-5)
    expect_equal(table$std.error, numDeriv::grad(to, free) * se, tolerance = 1e-5)
    # SD of the persons: theta sigma; residual: sigma
    sds <- varcomp(fit, scale = "sd")
    gradient <- c(at[[2L]], at[[1L]])
    expect_equal(sds$std.error[[1L]], sqrt(sum(gradient * (covariance[1:2, 1:2] %*% gradient))), tolerance = 1e-5)
    expect_equal(sds$std.error[[2L]], sqrt(covariance[2L, 2L]), tolerance = 1e-5)
  }
})

test_that("natural parameters are the core's, and the start of the search does not matter", {
  for (fit in list(fit_serial(), fit_both(), fit_hetero())) {
    table <- residual_estimates(fit)
    ours <- vapply(seq_len(nrow(table)), function(k) residual_registry()[[table$structure[[k]]]]$natural(fit$core$residual$free[[k]]), 0)
    expect_equal(ours, table$estimate, tolerance = 1e-14)
    expect_lt(max(abs(fit$core$residual$gradient)), 1e-3)
    again <- update(fit, start = 3 * fit$core$theta)
    expect_equal(again$core$criterion, fit$core$criterion, tolerance = 1e-9)
  }
})

test_that("models are compared with their residual parameters counted", {
  d <- serial_data()
  both <- hlm(y ~ x + (1 | person), d, time = session, residual = ar1 + hetero(phase))
  plain <- update(both, residual = NULL)
  serial <- update(both, residual = ar1(session))
  continuous <- update(both, residual = car1(session))
  table <- anova(plain, serial, both, refit = FALSE)
  expect_equal(table$npar, c(4, 5, 6))
  expect_equal(table$Df[-1L], c(1, 1))
  expect_equal(table$Chisq[-1L], c(plain$core$criterion - serial$core$criterion, serial$core$criterion - both$core$criterion))
  expect_equal(table$`Pr(>Chisq)`[[3L]], stats::pchisq(table$Chisq[[3L]], 1, lower.tail = FALSE))
  expect_match(attr(table, "heading"), "residual = ~hetero(phase) + ar1(session)", fixed = TRUE, all = FALSE)
  expect_equal(AIC(both), -2 * as.double(logLik(both)) + 12)
  # REML fits are fitted again by ML, phi too
  ml <- anova(plain, both)
  expect_equal(ml$logLik[[2L]], as.double(logLik(update(both, REML = FALSE))), tolerance = 1e-10)
  expect_error(anova(continuous, both), "residual structures differ", class = "hlm_error_design")
  expect_match(attr(compare(continuous, both), "tests")$note, "residual structures differ")
  # random effects that differ: no mixture, and it says so
  slope <- update(both, . ~ . - (1 | person) + (x | person))
  expect_true(all(is.na(anova(both, slope, refit = FALSE)$weights)))
  expect_output(print(anova(both, slope, refit = FALSE)), "larger than the right p value")
  expect_equal(drop1(both, test = "Chisq")$npar[[2L]], 1)
  without <- update(both, . ~ . - x, REML = FALSE)
  expect_equal(drop1(both, test = "Chisq")$LRT[[2L]], without$core$criterion - update(both, REML = FALSE)$core$criterion, tolerance = 1e-6)
})

test_that("simulated outcomes have the structure, and refits estimate it again", {
  fit <- fit_both()
  draws <- simulate(fit, 2000, seed = 3, re.form = NULL)
  spread <- stats::cov(t(as.matrix(draws)))
  r <- structured_r(fit) * sigma(fit)^2
  # 2000 draws: the error of a covariance is about its size / sqrt(1000)
  expect_lt(max(abs(spread - r)) / max(r), 6 / sqrt(1000))
  expect_gt(stats::cor(spread[upper.tri(spread)], r[upper.tri(r)]), 0.9)
  again <- refit(fit, draws$sim_1)
  expect_equal(residuals(again), draws$sim_1 - fitted(again), ignore_attr = TRUE, tolerance = 1e-10)
  expect_false(identical(again$core$residual$free, fit$core$residual$free))
  expect_equal(refit(again, fit$design$y)$core$residual$free, fit$core$residual$free, tolerance = 1e-7)
})

test_that("the parametric bootstrap has columns of the structure, with intervals and statistics", {
  fit <- fit_serial()
  boot <- bootstrap(fit, 60, seed = 2, statistic = function(f) c(phi = f$core$residual$natural[["phi"]], loglik = as.double(logLik(f))))
  expect_equal(boot$t0[["phi__session"]], fit$core$residual$natural[["phi"]])
  usable <- boot$status %in% c("converged", "boundary")
  expect_equal(boot$t[usable, "phi"], boot$t[usable, "phi__session"])
  expect_equal(-2 * boot$t[usable, "loglik"], boot$criterion[usable], tolerance = 1e-10)
  expect_equal(boot$t0[["loglik"]], as.double(logLik(fit)), tolerance = 1e-12)
  limits <- confint(boot, "phi__session")
  expect_true(limits[[1L]] < boot$t0[["phi__session"]] && limits[[2L]] > boot$t0[["phi__session"]])
  tidied <- tidy(fit, "ran_pars", conf.int = TRUE, conf.method = "boot", nsim = 60, seed = 2)
  expect_equal(as.double(tidied[tidied$term == "phi__session", c("conf.low", "conf.high")]), as.double(limits))
})

test_that("shares of variance: the mean of correlated rows is less reliable", {
  fit <- update(fit_serial(), weights = NULL)
  r <- structured_r(fit)
  error <- mean(vapply(split(seq_len(nrow(r)), fit$design$groups[[1L]]$codes), function(rows) sum(r[rows, rows]) / length(rows)^2, 0))
  between <- VarCorr(fit)$person[[1L]]
  expect_equal(icc(fit)$icc2[[1L]], between / (between + sigma(fit)^2 * error), tolerance = 1e-10)
  expect_equal(icc(fit)$icc[[1L]], between / (between + sigma(fit)^2), tolerance = 1e-10)
  limits <- icc(fit, conf.int = TRUE)
  expect_true(limits$icc_lower[[1L]] < limits$icc[[1L]] && limits$icc[[1L]] < limits$icc_upper[[1L]])
  # the model-implied variance of a row is that of independent rows with the same components
  found <- r2(fit)$components
  expect_equal(found$variance[found$source == "residual"], sigma(fit)^2)
  expect_equal(r2(fit, "reduction")$measures$estimate[[2L]], 1 - sigma(fit)^2 / null_fit(fit)$core$sigma^2, tolerance = 1e-8)
})

test_that("standardised slopes use the covariance matrix with the structure", {
  fit <- fit_both()
  fit <- update(fit, . ~ . - (1 + session | person) + (1 + within(x) | person))
  table <- standardize(fit)
  parts <- standardized_parts(fit, "within-person")
  place <- match("x_within", table$term)
  # Var(m'b-hat) = w'Pw sigma^2, w = V-part of the slopes, P from the dense V
  v <- structured_v(fit)
  x <- kept_x(fit)
  p <- solve(v) - solve(v, x) %*% solve(crossprod(x, solve(v, x)), t(solve(v, x)))
  z <- as.matrix(getME(fit, "Z"))
  slopes <- rep(parts$weights[[place]], each = 2L) * rep(c(0, 1), 20L)
  w <- z %*% tcrossprod(as.matrix(getME(fit, "Lambda"))) %*% slopes
  given <- (parts$scale[[place]] * sqrt(vcov(fit)["x_within", "x_within"]))^2 + sigma(fit)^2 * drop(crossprod(w, p %*% w))
  expect_equal(table$std.error[[place]], sqrt(given), tolerance = 1e-7)
})

test_that("a correlation that goes to zero or a phi without sign is said in words", {
  d <- lme4::sleepstudy
  d$Reaction <- d$Reaction - 30 * (-1)^d$Days
  fit <- hlm(Reaction ~ Days + (1 | Subject), d, residual = car1(Days))
  expect_equal(fit$core$status, "boundary")
  expect_output(print(fit), "autocorrelation over Days is estimated as zero")
  expect_true(all(is.na(residual_parameters(fit)[c("std.error", "lower", "upper")])))
  plain <- update(fit, residual = NULL)
  expect_equal(fit$core$criterion, plain$core$criterion, tolerance = 1e-9)
  expect_equal(coef(summary(fit)), coef(summary(plain)), tolerance = 1e-5)
  expect_lt(update(fit, residual = ar1(Days))$core$residual$natural[["phi"]], 0)
})

test_that("print, summary and tables show the structure", {
  expect_snapshot(print(fit_both()))
  expect_snapshot(print(summary(fit_serial())))
  expect_snapshot(print(summary(fit_hetero())))
  expect_snapshot(print(VarCorr(fit_both())))
  expect_output(print(hlm(y ~ x + (1 | person), serial_data(), residual = car1(session))), "CAR\\(1\\)")
  tidied <- as.data.frame(tidy(fit_both(), "ran_pars", conf.int = TRUE))
  expect_equal(utils::tail(tidied$term, 2L), c("sd_ratio__phase.late", "phi__session"))
  last <- tidied[startsWith(tidied$group, "Residual"), ]
  expect_true(all(last$conf.low < last$estimate & last$estimate < last$conf.high))
  expect_equal(glance(fit_both())$residual, "hetero(phase) + ar1(session)")
  expect_equal(summary(fit_both())$residual$estimate, unname(fit_both()$core$residual$natural))
})

test_that("Wald intervals are the default, and other packages read such fits", {
  fit <- fit_serial()
  expect_equal(confint(fit), confint(fit, method = "Wald"))
  skip_if_not_installed("emmeans")
  means <- as.data.frame(emmeans::emtrends(fit, ~1, var = "session"))
  expect_equal(means$SE, sqrt(vcov(fit)["session", "session"]), tolerance = 1e-6)
  expect_equal(means$df, coef(summary(fit))["session", "df"], tolerance = 1e-4)
})

test_that("a fit survives saveRDS() with its structure", {
  file <- withr::local_tempfile(fileext = ".rds")
  saveRDS(fit_both(), file)
  back <- readRDS(file)
  expect_equal(summary(back)$residual, summary(fit_both())$residual)
})

# The late rows are those of one person and lie on a line: a slope and a level reproduce them, and the likelihood has no maximum.
test_that("a variance that goes to zero is no result, and the warning says why", {
  d <- data.frame(
    person = rep(1:6, c(3, 3, 2, 4, 2, 4)), session = c(1, 2, 3, 1, 2, 4, 1, 2, 1, 2, 3, 4, 2, 3, 1, 2, 3, 4), y = cos(1:18) + rep(c(0, 2, 1), 6)
  )
  d$phase <- ifelse(d$person == 1, "late", "early")
  d$y[d$phase == "late"] <- 3 + 0.25 * d$session[d$phase == "late"]
  expect_warning(fit <- hlm(y ~ session + (1 | person), d, REML = FALSE, residual = hetero(phase)), "end of its range", class = "hlm_warning_convergence")
  expect_true(fit$core$residual$at_limit)
})
