test_that("Satterthwaite df are those of the dense reference", {
  fit <- fit_therapy()
  pieces <- dense_satterthwaite(fit$design, TRUE, fit$core$theta)
  ours <- prepare_inference(fit, "Satterthwaite")$df
  v <- fit$core$vcov
  for (k in seq_along(fixef(fit))) {
    l <- as.double(seq_along(fixef(fit)) == k)
    gradient <- vapply(pieces$jacobian, function(j) sum(l * (j %*% l)), 0)
    expect_equal(ours(l), drop(2 * v[k, k]^2 / (gradient %*% pieces$vcov_varpar %*% gradient)), tolerance = 1e-6)
  }
})

test_that("a balanced design gives the exact df", {
  skip_if_not_installed("lme4")
  # 18 persons with 10 common occasions: the slope has 17 df whatever the estimates.
  expect_equal(summary(fit_sleep())$coefficients[, "df"], c(`(Intercept)` = 17, Days = 17), tolerance = 1e-5)
})

test_that("combine_ddf() is lmerTest's rule", {
  skip_if_not_installed("lmerTest")
  theirs <- utils::getFromNamespace("get_Fstat_ddf", "lmerTest")
  for (nu in list(12, c(10, 10), c(3, 8, 20), c(1.5, 10))) expect_equal(combine_ddf(nu), theirs(nu))
  expect_equal(combine_ddf(c(Inf, Inf)), Inf)
})

test_that("every registered method gives df to every contrast", {
  for (name in ddf_names()) {
    df <- prepare_inference(fit_therapy(), name)$df
    expect_gt(df(c(1, rep(0, length(fixef(fit_therapy())) - 1L))), 0)
    expect_equal(match_ddf(toupper(name)), name)
  }
})

test_that("every registered method serves every test, and reports its name", {
  fit <- fit_therapy()
  p <- length(fixef(fit))
  for (name in ddf_names()) {
    inference <- prepare_inference(fit, name)
    table <- coef(summary(fit, ddf = name))
    expect_equal(table[, "Std. Error"], sqrt(diag(inference$vcov)), ignore_attr = TRUE)
    expect_equal(unname(table[, "df"]), apply(diag(p), 1L, inference$df))
    tidied <- tidy(fit, effects = "fixed", conf.int = TRUE, ddf = name)
    expect_equal(tidied$df, unname(table[, "df"]))
    limits <- confint(fit, ddf = name)
    expect_equal(unname(limits), unname(cbind(tidied$conf.low, tidied$conf.high)))
    for (type in 1:3) expect_true(all(anova(fit, type = type, ddf = name)$DenDF > 0))
    expect_true(all(drop1(fit, ddf = name)$DenDF > 0))
    expect_match(attr(anova(fit, ddf = name), "heading")[[1L]], inference$label, fixed = TRUE)
    # a joint test of one row is the square of its t test
    expect_equal(
      contest(fit, c(session = 1), ddf = name)$`F value`, contest(fit, c(session = 1), joint = FALSE, ddf = name)$`t value`^2
    )
  }
})

test_that("names may be written in any case, with or without hyphens and spaces, and shortened", {
  spelled <- list(
    Satterthwaite = c("satterthwaite", "SATT", "s"), `Kenward-Roger` = c("Kenward-Roger", "kenward roger", "KenwardRoger", "KR", "kr", "k"),
    `between-within` = c("between-within", "Between Within", "betweenwithin", "bw", "containment", "contain", "b"),
    residual = c("residual", "RES"), asymptotic = c("asymptotic", "none", "NONE", "z", "asym")
  )
  for (name in names(spelled)) for (word in spelled[[name]]) expect_identical(match_ddf(word), name, label = word)
  for (wrong in list("lme4", "", " ", NA_character_, 3, character(), "kenwood")) expect_error(match_ddf(wrong), class = "hlm_error_data")
})

test_that("the default comes from the option, and a wrong option is named", {
  fit <- fit_therapy()
  expect_identical(match_ddf(), "Satterthwaite")
  withr::with_options(list(wbhlm.ddf = "bw"), {
    asked <- coef(summary(fit, ddf = "between-within"))
    expect_identical(coef(summary(fit)), asked)
    expect_identical(summary(fit)$ddf, "between-within")
    expect_identical(anova(fit), anova(fit, ddf = "bw"))
    expect_identical(drop1(fit), drop1(fit, ddf = "bw"))
    expect_identical(contest(fit, c(session = 1)), contest(fit, c(session = 1), ddf = "bw"))
    expect_identical(confint(fit, method = "Wald"), confint(fit, ddf = "bw"))
    expect_identical(tidy(fit), tidy(fit, ddf = "bw"))
    expect_identical(coef(summary(fit, ddf = "residual"))[, "df"], coef(summary(fit, ddf = "RES"))[, "df"])
  })
  withr::local_options(wbhlm.ddf = "chance")
  expect_error(summary(fit), "wbhlm.ddf", class = "hlm_error_data")
  expect_no_error(summary(fit, ddf = "none"))
})

test_that("a covariance matrix may be given, as a matrix or as a function", {
  fit <- fit_therapy()
  v <- 2 * vcov(fit)
  own <- coef(summary(fit))
  given <- summary(fit, vcov = v)
  expect_equal(coef(given)[, "Std. Error"], sqrt(2) * own[, "Std. Error"])
  expect_equal(coef(given)[, "df"], own[, "df"])
  expect_equal(vcov(given), v)
  expect_match(given$inference, "covariance matrix given")
  expect_equal(coef(summary(fit, vcov = function(f) 2 * vcov(f))), coef(given))
  # by name, whatever the order; without names by position
  expect_equal(coef(summary(fit, vcov = v[6:1, 6:1])), coef(given))
  expect_equal(coef(summary(fit, vcov = unname(v))), coef(given))
  l <- rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0))
  expect_equal(contest(fit, l, vcov = v)$`F value`, contest(fit, l)$`F value` / 2)
  expect_equal(contest(fit, l, vcov = v, joint = FALSE)$`t value`, contest(fit, l, joint = FALSE)$`t value` / sqrt(2))
  expect_equal(anova(fit, vcov = v)$`F value`, anova(fit)$`F value` / 2)
  expect_equal(drop1(fit, vcov = v)$`F value`, drop1(fit)$`F value` / 2)
  expect_equal(
    unname(apply(confint(fit, vcov = v), 1L, diff)), unname(sqrt(2) * apply(confint(fit, method = "Wald"), 1L, diff))
  )
  expect_equal(tidy(fit, effects = "fixed", vcov = v)$std.error, unname(coef(given)[, "Std. Error"]))
})

test_that("with a matrix given, Kenward-Roger gives its degrees of freedom but neither its covariance nor its scaling", {
  fit <- fit_therapy()
  own <- prepare_inference(fit, "KR")
  given <- resolve_inference(fit, "KR", vcov(fit))
  expect_equal(given$vcov, unname(vcov(fit)))
  l <- rbind(c(0, 1, 0, 0, 0, 0), c(0, 0, 1, 0, 0, 0))
  expect_equal(given$df(l[1, ]), own$df(l[1, ]))
  distance <- drop(l %*% fixef(fit))
  expect_equal(
    contest(fit, l, ddf = "KR", vcov = vcov(fit))$`F value`, sum(distance * solve(l %*% vcov(fit) %*% t(l), distance)) / 2
  )
})

test_that("matrices that are none are refused", {
  fit <- fit_therapy()
  v <- vcov(fit)
  asymmetric <- v
  asymmetric[1, 2] <- asymmetric[1, 2] + 1
  missing <- v
  missing[1, 1] <- NA
  for (wrong in list(v[-1, -1], unname(v)[-1, -1], v[, -1], asymmetric, missing, -v, 3, list(v), function(f) "no")) {
    expect_error(summary(fit, vcov = wrong), class = "hlm_error_data")
  }
  expect_error(summary(fit, cluster = "patient"), "CR2", class = "hlm_error_data")
})

test_that("a cluster-robust covariance goes through robust_inference()", {
  fit <- fit_therapy()
  robust <- get("robust_inference", asNamespace("wbhlm"))(fit, "CR2", NULL, "Satterthwaite")
  ours <- summary(fit, vcov = "cr2")
  expect_equal(unname(vcov(ours)), unname(as.matrix(robust$vcov)))
  expect_equal(ours$inference, robust$label)
  # the default of the session is for model-based tests
  withr::with_options(list(wbhlm.ddf = "KR"), expect_equal(coef(summary(fit, vcov = "CR2")), coef(ours)))
  expect_equal(summary(fit, vcov = "CR2", ddf = "clusters")$ddf, "clusters")
  expect_error(summary(fit, vcov = "HC3"), class = "hlm_error_data")
  expect_error(summary(fit, vcov = "CR2", ddf = "KR"), class = "hlm_error_data")
  # a column that happens to be called like the argument is not taken for it
  d <- therapy_data()
  d$cluster <- d$session
  named <- hlm(distress ~ cluster + (1 | therapist / patient), d)
  expect_equal(
    coef(summary(named, vcov = "CR2", cluster = "therapist")), coef(summary(named, vcov = "CR2", cluster = d$therapist[!is.na(d$distress)]))
  )
})
