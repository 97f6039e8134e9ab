test_that("slopes, standard errors and df are those of emmeans::emtrends() on lmerTest fits", {
  for (case in probe_fixture()$slopes) {
    fit <- probe_case_fit(case$formula, case$contrasts)
    names <- names(case$at)
    at <- lapply(case$at, unlist)
    for (method in c("satterthwaite", "kenward")) {
      found <- if (length(names) == 1L) {
        simple_slopes(fit, case$pred, names, at = at, ddf = method)
      } else {
        simple_slopes(fit, case$pred, names[[1]], names[[2]], at = at, ddf = method)
      }
      reference <- case[[method]]
      expect_equal(found$slopes$modx, unlist(reference[[names[[1]]]]))
      expect_slopes(found$slopes, reference, paste(case$name, method))
    }
  }
})

test_that("differences between categories of a predictor are those of emmeans' pairs", {
  reference <- probe_fixture()$categories
  fit <- probe_case_fit(reference$formula)
  for (method in c("satterthwaite", "kenward")) {
    found <- simple_slopes(fit, tx, session, at = c(1, 15), ddf = method)$slopes
    theirs <- reference[[method]]
    place <- match(paste(unlist(theirs$contrast), unlist(theirs$session)), paste(found$contrast, found$modx))
    expect_false(anyNA(place))
    expect_slopes(found[place, ], theirs, method)
  }
})

test_that("a product of two within variables: the slope at a value of the other, whatever the product is centred at", {
  reference <- probe_fixture()$product
  fit <- probe_case_fit(reference$formula)
  for (method in c("satterthwaite", "kenward")) {
    found <- simple_slopes(fit, within(wai), within(task), at = unlist(reference$at), ddf = method)
    expect_slopes(found$slopes, reference[[method]], method)
  }
  expect_match(paste(found$notes, collapse = " "), "centred at each id's mean once more")
  expect_equal(unname(found$L[1, ]), c(0, 1, 0, -0.5))
})

test_that("peers' fault 3: slopes of a within-person predictor differ along its moderator (panelr gives the same at every value)", {
  fit <- fit_moderated()
  by_severity <- simple_slopes(fit, within(alliance), severity, at = list(severity = c(12, 20, 28), group = "CBT"))$slopes
  b <- fixef(fit)
  expect_equal(by_severity$Estimate, unname(b["alliance_within"] + b["alliance_within:severity"] * c(12, 20, 28)))
  expect_gt(min(abs(diff(by_severity$Estimate))), 0.5)
  by_group <- simple_slopes(fit, within(alliance), group)$slopes
  severity <- mean(probe_therapies()$severity)
  change <- unname(b["alliance_within:groupPDT"] + b["alliance_within:severity:groupPDT"] * severity)
  expect_equal(diff(by_group$Estimate), change)
  expect_gt(abs(change), 0.001)
})

test_that("every test is contest()'s, with any df and any covariance", {
  fit <- fit_simple_moderated()
  values <- c(15, 20)
  l <- unname(cbind(0, 1, 0, 0, values))
  for (arguments in list(list(ddf = "KR"), list(ddf = "bw"), list(ddf = "none"), list(vcov = "CR2"), list(vcov = "CR1", cluster = "patient"))) {
    found <- do.call(simple_slopes, c(list(fit, "alliance_within", "severity", at = values, level = 0.9), arguments))
    theirs <- do.call(contest, c(list(fit, l, joint = FALSE, level = 0.9), arguments))
    expect_equal(found$slopes[names(theirs)], theirs, ignore_attr = TRUE)
    change <- do.call(contest, c(list(fit, c(0, 0, 0, 0, 1), joint = FALSE, level = 0.9), arguments))
    expect_equal(found$differences[names(change)], change, ignore_attr = TRUE)
  }
})

test_that("differences between categories of the moderator, and the F test that there are none", {
  case <- probe_fixture()$slopes[[2]]
  fit <- probe_case_fit(case$formula, case$contrasts)
  found <- simple_slopes(fit, wai_within, tx)
  expect_equal(found$differences$modx, c("B - A", "C - A", "C - B"))
  expect_equal(found$differences$Estimate, found$slopes$Estimate[c(2, 3, 3)] - found$slopes$Estimate[c(1, 1, 2)])
  interaction <- grep("wai_within:tx", names(fixef(fit)), value = TRUE)
  l <- t(vapply(interaction, function(name) as.numeric(names(fixef(fit)) == name), numeric(length(fixef(fit)))))
  expect_equal(found$joint$`F value`, contest(fit, l)$`F value`)
  # Satterthwaite's df of several rows depend on how the rows are written; these are differences to the first category
  expect_equal(found$joint$DenDF, contest(fit, found$L[2:3, ] - found$L[c(1, 1), ])$DenDF)
  expect_equal(found$joint$NumDF, 2)
})

test_that("three-way: the joint test of the same moderation is that of the three-way terms", {
  case <- probe_fixture()$slopes[[3]]
  fit <- probe_case_fit(case$formula)
  found <- simple_slopes(fit, wai_within, sev, tx)
  three <- which(lengths(strsplit(names(fixef(fit)), ":")) == 3L)
  l <- diag(length(fixef(fit)))[three, ]
  last <- found$joint[nrow(found$joint), ]
  expect_equal(last$`F value`, contest(fit, l)$`F value`)
  expect_match(last$hypothesis, "same moderation at all values of tx")
  expect_equal(nrow(found$slopes), 9L)
})

test_that("a curved predictor: the slope along itself, and at its mean along another moderator", {
  d <- probe_data()
  fit <- hlm(bai ~ session + I(session^2) + session:sev + I(session^2):sev + sev + (1 | id), d)
  own <- simple_slopes(fit, session, session, at = c(1, 5, 15))$slopes
  b <- fixef(fit)
  sev <- mean(d$sev[!duplicated(d$id)])
  at <- c(1, 5, 15)
  expect_equal(own$Estimate, unname(
    b["session"] + 2 * at * b["I(session^2)"] + sev * (b["session:sev"] + 2 * at * b["I(session^2):sev"])
  ))
  other <- simple_slopes(fit, session, sev, at = list(sev = c(15, 25), session = 3))
  expect_equal(other$slopes$Estimate, unname(
    b["session"] + 6 * b["I(session^2)"] + c(15, 25) * (b["session:sev"] + 6 * b["I(session^2):sev"])
  ))
  expect_match(paste(other$notes, collapse = " "), "changes along session itself; it is taken at session = 3")
  centred <- simple_slopes(fit, session, sev, at = c(15, 25))
  expect_match(paste(centred$notes, collapse = " "), "the mean")
  # the same model by orthogonal polynomials
  poly <- hlm(bai ~ poly(session, 2) * sev + (1 | id), d)
  expect_equal(simple_slopes(poly, session, session, at = at)$slopes$Estimate, own$Estimate, tolerance = 1e-5)
  expect_equal(simple_slopes(poly, session, session, at = at)$slopes$`Std. Error`, own$`Std. Error`, tolerance = 1e-5)
})

test_that("no interaction: the same slope everywhere, said in words, no differences", {
  fit <- hlm(distress ~ wb(alliance) + severity + (1 | patient), probe_therapies())
  found <- simple_slopes(fit, alliance_within, severity)
  expect_equal(found$slopes$Estimate, rep(fixef(fit)[["alliance_within"]], 3))
  expect_null(found$differences)
  expect_null(found$joint)
  expect_output(print(found), "no interaction of alliance_within with severity")
})

test_that("slopes that cannot be estimated are missing, the others not", {
  d <- probe_therapies()
  d$site <- factor(rep(c("x", "y", "z"), each = 120))
  d$dose <- ifelse(d$site == "z", 0, d$mood)
  fit <- suppressMessages(hlm(distress ~ dose * site + (1 | patient), d))
  found <- simple_slopes(fit, dose, site)$slopes
  expect_equal(is.na(found$Estimate), c(FALSE, FALSE, TRUE))
  expect_output(print(simple_slopes(fit, dose, site)), "not estimable")
})

test_that("logical and character moderators, names with blanks, unsorted rows, tibbles and crossed groups", {
  d <- probe_therapies()
  d$`my score` <- d$alliance
  d$cbt <- d$group == "CBT"
  d$rater <- rep(1:4, length.out = nrow(d))
  plain <- hlm(distress ~ alliance * group + (1 | patient) + (1 | rater), d)
  d <- d[withr::with_seed(3, sample(nrow(d))), ]
  if (requireNamespace("tibble", quietly = TRUE)) d <- tibble::as_tibble(d)
  fit <- hlm(distress ~ `my score` * cbt + (1 | patient) + (1 | rater), d)
  found <- simple_slopes(fit, `my score`, cbt)$slopes
  expect_equal(found$modx, c("FALSE", "TRUE"))
  expect_equal(rev(found$Estimate), simple_slopes(plain, alliance, group)$slopes$Estimate, tolerance = 1e-5)
  split <- hlm(distress ~ within(`my score`) * cbt + (1 | patient), d)
  expect_equal(simple_slopes(split, within(`my score`), cbt)$slopes$Estimate, simple_slopes(split, "my score_within", "cbt")$slopes$Estimate)
})

test_that("weights, offset, ML and boundary fits", {
  d <- probe_therapies()
  d$w <- 1 + d$session %% 3
  fit <- hlm(distress ~ within(alliance) * severity + offset(mood) + (1 | patient), d, weights = w, REML = FALSE)
  found <- simple_slopes(fit, alliance_within, severity, at = 20)$slopes
  expect_equal(found$Estimate, contest(fit, c(alliance_within = 1, `alliance_within:severity` = 20), joint = FALSE)$Estimate)
  boundary <- fit_slope_boundary()
  expect_equal(simple_slopes(boundary, x, x, at = 0)$slopes$Estimate, fixef(boundary)[["x"]])
})

test_that("the result needs nothing but itself", {
  found <- simple_slopes(fit_simple_moderated(), alliance_within, severity)
  again <- unserialize(serialize(found, NULL))
  expect_identical(again$slopes, found$slopes)
  expect_lt(length(serialize(found, NULL)), 2e5)
})

test_that("tidy() and as.data.frame()", {
  found <- simple_slopes(fit_moderated(), alliance_within, severity, group)
  table <- as.data.frame(tidy(found))
  expect_named(table, c(
    "term", "contrast", "modx", "modx.value", "mod2", "mod2.value", "estimate", "std.error", "df", "statistic", "p.value", "conf.low", "conf.high"
  ))
  expect_equal(table$estimate, found$slopes$Estimate)
  expect_identical(as.data.frame(found, what = "differences"), found$differences)
})

test_that("a transformation that stands alone is a predictor or moderator of its own", {
  d <- probe_therapies()
  d$dose <- exp(d$mood)
  fit <- hlm(distress ~ log(dose) * severity + factor(session) + (1 | patient), d)
  whole <- simple_slopes(fit, "log(dose)", severity, at = c(10, 20))$slopes
  expect_equal(whole$Estimate, unname(fixef(fit)["log(dose)"] + c(10, 20) * fixef(fit)["log(dose):severity"]))
  inner <- simple_slopes(fit, dose, severity, at = list(severity = c(10, 20), dose = 2))$slopes
  expect_equal(inner$Estimate, whole$Estimate / 2)
  by_dose <- simple_slopes(fit, severity, log(dose), at = c(-1, 1))$slopes
  expect_equal(by_dose$Estimate, unname(fixef(fit)["severity"] + c(-1, 1) * fixef(fit)["log(dose):severity"]))
  sessions <- simple_slopes(fit, session, severity, at = 20)$slopes
  expect_equal(sessions$Estimate[1:2], unname(fixef(fit)[c("factor(session)2", "factor(session)3")]))
})
