# The analyses of processes in models with a residual structure.

ar_reciprocal <- function() fit_once("ar_reciprocal", function() {
  suppressMessages(suppressWarnings(reciprocal(
    implement, wai, bai, id, session, lags = c(xy = 1, yx = 0), covariates = session, residual = "ar1"
  )))
})

test_that("reciprocal() hands the structure to both models", {
  both <- ar_reciprocal()
  hand <- list(
    xy = suppressWarnings(hlm(
      bai ~ wb(lagged(wai)) + lagged(bai) + session + (1 + within(lagged(wai)) | id), implement, time = session, residual = "ar1"
    )),
    yx = suppressWarnings(hlm(wai ~ wb(bai) + lagged(wai) + session + (1 + within(bai) | id), implement, time = session, residual = "ar1"))
  )
  for (way in names(hand)) {
    fit <- both$fits[[way]]
    expect_equal(fit$core$criterion, hand[[way]]$core$criterion, tolerance = 1e-10)
    expect_equal(fixef(fit)[names(fixef(hand[[way]]))], fixef(hand[[way]]), tolerance = 1e-5)
    expect_equal(fit$core$residual$free, hand[[way]]$core$residual$free, tolerance = 1e-4)
  }
  # formulas for independent residuals are not shown
  expect_true(all(vapply(both$nickell, is.null, NA)))
  expect_error(nickell_bias(both$fits$xy), "not available", class = "hlm_error_covariance")
})

test_that("both directions are those of nlme on rows lagged by hand", {
  for (path in fixture_files("^directions-residual-.*[.]json$")) {
    fixture <- read_fixture(path)
    both <- suppressWarnings(reciprocal(
      implement, wai, bai, id, session, lags = c(xy = 1, yx = 0), random = "intercept", residual = fixture$residual,
      autoregression = fixture$autoregression
    ))
    for (way in c("xy", "yx")) {
      fit <- both$fits[[way]]
      reference <- fixture[[way]]
      expect_identical(nobs(fit), reference$rows)
      expect_lt(fit$core$criterion, reference$criterion + 1e-6)
      expect_equal(fit$core$criterion, reference$criterion, tolerance = 1e-8)
      effects <- both$effects[both$effects$direction == way, ]
      expect_setequal(effects$role, names(reference$fixef))
      expect_equal(effects$estimate, unlist(reference$fixef[effects$role], use.names = FALSE), tolerance = 1e-5, info = fixture$name)
      expect_equal(effects$std.error, unlist(reference$se[effects$role], use.names = FALSE), tolerance = 1e-5, info = fixture$name)
      expect_equal(unname(fit$core$residual$natural), reference$phi, tolerance = 1e-5)
      expect_equal(sigma(fit), reference$sigma, tolerance = 1e-5)
      # a variance of zero, which nlme comes near to
      expect_lt(abs(fit$core$theta * sigma(fit) - reference$sd), 1e-4 * sigma(fit))
    }
  }
})

test_that("the test of the difference takes each person's correlated rows together", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, residual = "ar1"))
  made <- list(fit = fit, roles = list(within = "wai_within"))
  psi <- cross_influence(made, default_cluster(fit))
  # s e'M X_j'V_j^-1 e_j by dense algebra; the weights s are one number here
  x <- as.matrix(getME(fit, "X"))
  z <- as.matrix(getME(fit, "Z")) %*% as.matrix(getME(fit, "Lambda"))
  root <- whiten_rows(fit, diag(n_rows(fit)), forward = FALSE)
  inverse <- solve(tcrossprod(z) + tcrossprod(root))
  m <- solve(crossprod(x, inverse %*% x))
  e <- drop(fit$design$y - x %*% fixef(fit))
  pull <- drop(inverse %*% e)
  code <- fit$design$groups[[1L]]$codes
  dense <- drop(rowsum(x * pull, code) %*% m[, colnames(x) == "wai_within"])
  expect_equal(unname(psi), unname(dense * sum(cross_weights(fit, "wai_within"))), tolerance = 1e-6)
})

test_that("with random slopes and prior weights a person's contribution is the estimator at the person's residuals alone", {
  d <- implement
  d$w <- rep_len(c(1, 2, 1.5), nrow(d))
  fit <- suppressWarnings(hlm(
    bai ~ session + wb(wai) + (0 + within(wai) | id), d, time = session, weights = w, residual = ar1 + hetero(session > 6)
  ))
  expect_gt(fit$core$theta, 0.01)
  psi <- cross_influence(list(fit = fit, roles = list(within = "wai_within")), default_cluster(fit))
  weights <- cross_weights(fit, "wai_within")
  value <- function(y) {
    other <- fit
    other$design$y <- y
    core <- engine_at(known_design(other), TRUE, fit$core$theta)
    other$core[names(core)] <- core
    sum(weights * (fixef(other)[["wai_within"]] + person_deviation(other, "wai_within", cross_person(other))))
  }
  e <- fit$design$y - fixed_predictor(fit)
  for (j in c(1L, 20L, 41L)) expect_equal(psi[[j]], value(ifelse(fit$design$groups[[1L]]$codes == j, e, 0)), tolerance = 1e-6)
})

test_that("the bootstrap draws persons with the times of their own rows, and estimates the structure anew", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, residual = ar1 + hetero(session > 6)))
  person <- fit$design$groups[[1L]]
  drawn <- c(3L, 3L, 1L, 7:30, 55L)
  drawn_fit <- with_groups(fit, 1L, drawn)
  drawn_fit$core <- engine_fit(drawn_fit$design, TRUE, drawn_fit$control)
  # the same persons written out as data, with the parts of the predictor as they are in the fit
  rows <- lapply(seq_along(drawn), function(k) {
    own <- which(person$codes == drawn[[k]])
    data.frame(
      fit$data[fit$rows[own], c("session", "bai")], id = k, within = x_column(fit, "wai_within")[own], between = x_column(fit, "wai_between")[own]
    )
  })
  hand <- suppressWarnings(hlm(
    bai ~ session + within + between + (1 | id), do.call(rbind, rows), time = session, residual = ar1 + hetero(session > 6)
  ))
  expect_equal(drawn_fit$core$criterion, hand$core$criterion, tolerance = 1e-10)
  expect_equal(unname(drawn_fit$core$residual$free), unname(hand$core$residual$free), tolerance = 1e-5)
  expect_equal(unname(fixef(drawn_fit)), unname(fixef(hand)), tolerance = 1e-5)
  expect_false(isTRUE(all.equal(unname(drawn_fit$core$residual$free), unname(fit$core$residual$free))))
  # a stratum that no row of the draw belongs to has no variance to estimate
  early <- residual_of_rows(fit$design$residual, which(fit$data$session[fit$rows] <= 6))
  expect_length(early$parts, 1L)
  expect_identical(early$parts[[1L]]$name, "ar1")
})

test_that("scores and bootstrap of persons agree with correlated residuals", {
  d <- reciprocal_panel()
  both <- function(...) suppressWarnings(reciprocal(d, x, y, person, session, autoregression = "none", residual = "ar1", ...))
  scores <- both()
  boot <- both(test = "bootstrap", nsim = 200, seed = 4)
  expect_gt(scores$fits$xy$core$residual$natural, 0.3)
  expect_identical(boot$difference$estimate, scores$difference$estimate)
  # Monte Carlo error of an SD from 200 draws is 5 %, of a correlation 0.07
  expect_lt(abs(boot$difference$std.error[[1L]] / scores$difference$std.error[[1L]] - 1), 0.25)
  expect_lt(abs(boot$correlation - scores$correlation), 0.25)
  expect_true(all(is.finite(ar_reciprocal()$difference$std.error)))
})

test_that("the structure may differ between directions and be written in every way that hlm() takes", {
  d <- reciprocal_panel()
  d$late <- d$session > 6
  written <- function(made) vapply(made$fits, function(fit) if (is.null(fit$residual)) "none" else deparse1(fit$residual), "")
  structures <- function(...) written(suppressWarnings(reciprocal(d, x, y, person, session, random = "intercept", ...)))
  both <- c(xy = "~ar1(session)", yx = "~ar1(session)")
  expect_identical(structures(residual = ar1), both)
  expect_identical(structures(residual = ar1(session)), both)
  expect_identical(structures(residual = ~ ar1(session)), both)
  expect_identical(structures(residual = list(xy = hetero(late), yx = "car1")), c(xy = "~hetero(late)", yx = "~car1(session)"))
  expect_identical(structures(residual = list(yx = "ar1")), c(xy = "none", yx = "~ar1(session)"))
  expect_identical(structures(residual = list(xy = NULL, yx = NULL)), c(xy = "none", yx = "none"))
  held <- list(xy = ~ ar1 + hetero(late), yx = "ar1")
  made <- suppressWarnings(reciprocal(d, x, y, person, session, random = "intercept", residual = held))
  expect_identical(written(made), c(xy = "~hetero(late) + ar1(session)", yx = "~ar1(session)"))
  pass_on <- function(data, residual = NULL) {
    written(suppressWarnings(reciprocal(data, x, y, person, session, random = "intercept", residual = residual)))
  }
  expect_identical(pass_on(d), c(xy = "none", yx = "none"))
  expect_identical(pass_on(d, ar1(session)), both)
  expect_identical(pass_on(d, list(xy = ar1(session), yx = ar1)), both)
  refused <- function(code, words) expect_error(code, words, class = "hlm_error")
  refused(reciprocal(d, x, y, person, session, residual = "ar2"), "no structure of that name")
  refused(reciprocal(d, x, y, person, session, residual = list("ar1")), "must have the names")
  refused(reciprocal(d, x, y, person, session, residual = list(xz = "ar1")), "must have the names")
  refused(reciprocal(d, x, y, person, session, residual = car1(day)), "not in the data")
  refused(reciprocal(d, x, y, person, session, residual = 3), "class numeric")
})

test_that("a result with a structure shows it, and that the size of the bias from the earlier value is unknown", {
  out <- paste(capture.output(print(ar_reciprocal())), collapse = " ")
  out <- gsub(" +", " ", out)
  expect_match(out, "Residuals of xy Residual autocorrelation")
  expect_match(out, "Residuals of yx Residual autocorrelation")
  expect_match(out, "By how much is not known")
  fit <- ar_reciprocal()$fits$xy
  expect_match(summary(fit)$nickell, "bai_lag1.*residuals are correlated over time.*not known")
  expect_match(paste(capture.output(print(fit)), collapse = " "), "see summary\\(fit\\) on the bias")
  hetero <- hlm(bai ~ lagged(bai) + (1 | id), implement, time = session, residual = hetero(session > 6))
  expect_no_match(summary(hetero)$nickell, "correlated")
  none <- suppressWarnings(reciprocal(implement, wai, bai, id, session, residual = "ar1", autoregression = "none", random = "intercept"))
  expect_no_match(paste(capture.output(print(none)), collapse = " "), "By how much")
})

test_that("the residual SD under the picture names the rows that it belongs to", {
  made <- suppressWarnings(reciprocal(
    implement, wai, bai, id, session, random = "intercept", residual = list(xy = hetero(session > 6), yx = "ar1"),
    labels = c(x = "alliance", y = "anxiety")
  ))
  size <- function(way) sub("[.]$", "", formatC(sigma(made$fits[[way]]), digits = 2L, format = "fg", flag = "#"))
  expect_match(path_caption(made), paste0("anxiety (session > 6 FALSE) ", size("xy"), ", alliance ", size("yx")), fixed = TRUE)
})

test_that("gaps count: a session that is missing is a distance of two, and falkenstrom2013 goes through both directions", {
  made <- suppressWarnings(reciprocal(
    falkenstrom2013, wai, core, patient, session, lags = c(xy = 1, yx = 0), random = "intercept", residual = "ar1"
  ))
  hand <- suppressWarnings(hlm(core ~ lagged(core) + wb(lagged(wai)) + (1 | patient), falkenstrom2013, time = session, residual = "ar1"))
  expect_equal(made$fits$xy$core$criterion, hand$core$criterion, tolerance = 1e-10)
  # on sessions that are whole numbers CAR(1) is AR(1) where the correlation is positive
  d <- serial_data()
  d$other <- d$x
  serial <- lapply(c("ar1", "car1"), function(one) hlm(y ~ x + (1 | person), d, time = session, residual = one))
  expect_equal(serial[[1L]]$core$criterion, serial[[2L]]$core$criterion, tolerance = 1e-8)
})

test_that("variants of the split keep the structure", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session, residual = "ar1"))
  table <- as.data.frame(compare_disaggregation(fit, variants = "detrend_x_time"))
  hand <- suppressWarnings(hlm(bai ~ session + wb(wai, detrend = TRUE, at = 1) + (1 | id), implement, time = session, residual = "ar1"))
  row <- table[table$effect == "within" & table$x == "detrend" & table$time, ]
  expect_equal(row$estimate, fixef(hand)[["wai_within"]], tolerance = 1e-5)
  expect_equal(row$std.error, sqrt(vcov(hand)["wai_within", "wai_within"]), tolerance = 1e-5)
})

test_that("slopes of persons have the standard errors of the correlated rows", {
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (0 + within(wai) | id), implement, time = session, residual = "ar1"))
  slopes <- as.data.frame(person_slopes(fit))
  white <- whitened_fit(fit)
  x <- as.matrix(getME(white, "X"))
  z <- as.matrix(getME(white, "Z"))
  g <- sigma(fit)^2 * fit$core$theta^2
  c_inv <- rbind(cbind(crossprod(x), crossprod(x, z)), cbind(crossprod(z, x), crossprod(z) + diag(sigma(fit)^2 / g, ncol(z))))
  c_matrix <- sigma(fit)^2 * solve(c_inv)
  place <- which(colnames(x) == "wai_within")
  l <- cbind(matrix(as.double(seq_len(ncol(x)) == place), ncol(z), ncol(x), byrow = TRUE), diag(ncol(z)))
  expect_equal(slopes$se, sqrt(diag(l %*% c_matrix %*% t(l))), tolerance = 1e-6)
})

test_that("own lines of persons are generalised least squares with the residuals of the model", {
  d <- serial_data()
  both <- hlm(y ~ wb(x) + session + (1 + within(x) | person), d, time = session, weights = w, residual = ar1 + hetero(phase))
  own <- as.data.frame(person_slopes(both))
  r <- structured_r(both)
  x <- kept_x(both)
  codes <- both$design$groups[[1L]]$codes
  for (j in c(2L, 9L)) {
    rows <- which(codes == j)
    mine <- x[rows, c("(Intercept)", "x_within", "session")]
    inverse <- solve(r[rows, rows])
    v <- solve(crossprod(mine, inverse %*% mine))
    beta <- drop(v %*% crossprod(mine, inverse %*% both$design$y[rows]))
    e <- both$design$y[rows] - drop(mine %*% beta)
    s2 <- sum(e * (inverse %*% e)) / (length(rows) - 3)
    expect_equal(own$ols[[j]], beta[["x_within"]], tolerance = 1e-8)
    expect_equal(own$ols_se[[j]], sqrt(s2 * v["x_within", "x_within"]), tolerance = 1e-8)
    expect_equal(own$ols_df[[j]], length(rows) - 3)
  }
  # groups of groups: every person has a constant of its own, whitened like the rest
  d$team <- (d$person - 1) %/% 4
  nested <- suppressWarnings(hlm(y ~ within(x) + (1 + within(x) | team) + (1 | person), d, time = session, residual = "ar1"))
  own <- as.data.frame(person_slopes(nested, group = "team"))
  root <- whiten_rows(nested, diag(n_rows(nested)))
  data <- nested$data[nested$rows, ]
  rows <- which(data$team == 2)
  design <- cbind(x_column(nested, "x_within"), outer(data$person, unique(data$person[rows]), "=="))
  line <- stats::lm.fit((root %*% design)[rows, ], drop(root %*% nested$design$y)[rows])
  expect_equal(own$ols[own$person == "2"], unname(line$coefficients[[1L]]), tolerance = 1e-8)
})

test_that("a trend of the outcome is that of the rows of the model, those without a time of the structure left out", {
  d <- implement
  d$day <- d$session * 7
  d$day[seq(5, nrow(d), 29)] <- NA
  fit <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), d, time = session, residual = car1(day)))
  table <- function(fit) {
    made <- suppressWarnings(as.data.frame(compare_disaggregation(fit, variants = "detrend_y")))
    made[setdiff(names(made), "seconds")]
  }
  complete <- d[!is.na(d$day), ]
  short <- suppressWarnings(hlm(bai ~ session + wb(wai) + (1 | id), complete, time = session, residual = car1(day)))
  expect_equal(table(fit), table(short), tolerance = 1e-5)
})

test_that("slopes at values of a moderator are tests of coefficients with the model's own covariance", {
  fit <- suppressWarnings(hlm(bai ~ wb(wai) * session + (1 | id), implement, time = session, residual = "ar1"))
  slopes <- as.data.frame(simple_slopes(fit, "wai_within", "session", at = c(2, 9)))
  l <- matrix(0, 2L, length(fixef(fit)), dimnames = list(NULL, names(fixef(fit))))
  l[, "wai_within"] <- 1
  l[, grep("wai_within:session|session:wai_within", colnames(l))] <- c(2, 9)
  v <- as.matrix(vcov(fit))
  expect_equal(slopes$Estimate, drop(l %*% fixef(fit)), tolerance = 1e-8)
  expect_equal(slopes$`Std. Error`, sqrt(diag(l %*% v %*% t(l))), tolerance = 1e-8)
  limits <- johnson_neyman(fit, "wai_within", "session")
  at <- as.data.frame(simple_slopes(fit, "wai_within", "session", at = 5))
  expect_s3_class(limits, "hlm_johnson_neyman")
  expect_equal(at$Estimate, drop(l[1L, ] + (5 - 2) / 7 * (l[2L, ] - l[1L, ])) %*% fixef(fit), ignore_attr = TRUE, tolerance = 1e-8)
})

test_that("shifted courses have the intervals of contrasts of the fixed effects", {
  fit <- suppressWarnings(hlm(bai ~ wb(wai) + session + (1 | id), implement, time = session, residual = "ar1"))
  rows <- trajectory_rows(fit, list(), NULL, c(wai = 1), "within")
  expect_equal(unname(colMeans(rows$change$x)), as.double(names(fixef(fit)) == "wai_within"), tolerance = 1e-12)
  found <- population_trajectories(fit, trajectory_panels(fit, NULL), implement$session[fit$rows], NULL, c(wai = 1), "within", 0.95, NULL)
  expect_equal(found$overall$`Std. Error`, sqrt(vcov(fit)["wai_within", "wai_within"]), tolerance = 1e-8)
})

test_that("audit() looks at residuals freed of the structure, and says what it cannot check", {
  # persons are the units of the check: 40 of them
  d <- rbind(serial_data(1L), transform(serial_data(2L), person = person + 20L))
  plain <- audit(hlm(y ~ x + (1 | person), d, time = session))
  expect_true("residual_autocorrelation" %in% names(plain$findings))
  expect_true("variance_over_time" %in% names(plain$findings))
  both <- hlm(y ~ x + (1 | person), d, time = session, residual = ar1 + hetero(phase))
  made <- audit(both)
  expect_false("variance_over_time" %in% names(made$findings))
  expect_identical(sort(made$skipped$id[made$skipped$id %in% c("residual_autocorrelation", "fit_problems")]), c("fit_problems", "residual_autocorrelation"))
  expect_match(made$skipped$reason[made$skipped$id == "residual_autocorrelation"], "correlated residuals")
  # differences of variance alone: neighbours are still looked at, in units of each row's own SD, as if these were prior weights
  apart <- hlm(y ~ x + (1 | person), d, time = session, residual = hetero(phase))
  d$known <- NA
  d$known[apart$rows] <- residual_root(apart)^2
  weighted <- hlm(y ~ x + (1 | person), d, time = session, weights = known)
  correlation <- function(fit) residual_autocorrelation(new_audit_data(audit_source_fit(fit, list(columns = list(), others = list()))))
  expect_equal(correlation(apart), correlation(weighted), tolerance = 1e-5)
  expect_false("residual_autocorrelation" %in% audit(apart)$skipped$id)
  expect_match(audit(apart)$skipped$reason[audit(apart)$skipped$id == "fit_problems"], "residual structure")
})
