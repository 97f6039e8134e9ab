# falkenstrom2013 and hoffart2013: design, values that the instruments can give, the seeded scripts, and every published finding by hlm()
# beside what lme4 gave on hand-lagged, hand-detrended rows (inst/published/*.json, written by data-raw/).

read_published <- function(name) {
  skip_if_not_installed("jsonlite")
  path <- system.file("published", paste0(name, ".json"), package = "wbhlm")
  expect_true(nzchar(path))
  jsonlite::fromJSON(path)
}

# Too few sessions for a line, rank and convergence are no news here.
quiet_fit <- function(formula, data, time) {
  suppressWarnings(
    suppressMessages(eval(bquote(hlm(.(stats::as.formula(formula)), data = data, id = patient, time = .(as.name(time)))))),
    classes = "hlm_warning_data"
  )
}

# One row of the coefficient table, whichever way round a product is written.
table_row <- function(fit, term) {
  table <- as.data.frame(summary(fit)$coefficients)
  sorted <- function(x) vapply(strsplit(x, ":", fixed = TRUE), function(parts) paste(sort(parts), collapse = ":"), "")
  table[match(sorted(term), sorted(rownames(table))), ]
}

expect_finding <- function(row, finding) {
  expect_equal(row[["Estimate"]], finding$estimate, tolerance = 1e-4, info = finding$id)
  expect_equal(row[["Std. Error"]], finding$se, tolerance = 1e-4, info = finding$id)
  p <- row[["Pr(>|t|)"]]
  if (finding$expected == "none") {
    expect_gt(p, 0.05, label = finding$id)
  } else {
    expect_lt(p, 0.05, label = finding$id)
    expect_identical(sign(row[["Estimate"]]), if (finding$expected == "negative") -1 else 1, info = finding$id)
  }
}

# The process of data-raw, run again with the seed of the script; the generator is left as it was.
regenerate <- function(name, simulate, seed) {
  root <- test_path("..", "..", "data-raw")
  skip_if_not(dir.exists(root))
  scripts <- new.env()
  for (file in c(file.path("manubens2023", "persons.R"), file.path(name, "simulate.R"))) sys.source(file.path(root, file), scripts)
  withr::local_seed(seed, .rng_kind = "Mersenne-Twister", .rng_normal_kind = "Inversion", .rng_sample_kind = "Rejection")
  simulate(scripts)
}

test_that("falkenstrom2013 has the design of the study", {
  d <- falkenstrom2013
  expect_identical(names(d), c("patient", "therapist", "session", "wai", "core", "female", "personality"))
  expect_identical(dim(d), c(4552L, 7L))
  persons <- unique(d[c("patient", "therapist", "female", "personality")])
  expect_identical(persons$patient, 1:646)
  expect_identical(sum(persons$female), 491L)
  expect_equal(round(100 * mean(persons$female)), 76)
  expect_identical(sum(persons$personality), 228L)
  expect_setequal(persons$therapist, 1:60)
  expect_identical(range(table(persons$therapist)), c(2L, 41L))
  expect_identical(anyDuplicated(d[c("patient", "session")]), 0L)
  expect_identical(order(d$patient, d$session), seq_len(nrow(d)))
})

test_that("falkenstrom2013 has therapies of different length, gaps and missing forms", {
  d <- falkenstrom2013
  last <- tapply(d$session, d$patient, max)
  rows <- tapply(d$session, d$patient, length)
  expect_identical(range(last), c(2L, 20L))
  expect_equal(stats::median(last), 6)
  expect_true(all(tapply(d$session, d$patient, min) == 1L))
  expect_identical(sum(last > rows), 142L)
  expect_identical(c(sum(is.na(d$wai)), sum(is.na(d$core))), c(342L, 183L))
  # A row has at least one form.
  expect_false(any(is.na(d$wai) & is.na(d$core)))
  # Symptoms fall, the alliance rises.
  ends <- function(x) c(mean(x[d$session == 1L], na.rm = TRUE), mean(x[d$session == last[d$patient]], na.rm = TRUE))
  expect_lt(diff(ends(d$core)), -4)
  expect_gt(diff(ends(d$wai)), 0.3)
})

test_that("falkenstrom2013 has values that the instruments can give", {
  wai <- stats::na.omit(falkenstrom2013$wai)
  core <- stats::na.omit(falkenstrom2013$core)
  expect_true(all(wai >= 1 & wai <= 7))
  expect_true(all(core >= 0 & core <= 40))
  # 12 items of 1 to 7; 34 items of 0 to 4, the mean times 10; two decimals.
  expect_equal(as.vector(wai), round(round(12 * as.vector(wai)) / 12, 2), tolerance = 1e-12)
  expect_equal(as.vector(core), round(round(3.4 * as.vector(core)) / 3.4, 2), tolerance = 1e-12)
  # No pile at the ends of the scales.
  expect_lt(mean(wai == 7), 0.06)
  expect_lt(mean(core == 0), 0.02)
})

test_that("the script gives falkenstrom2013 again", {
  seed <- read_published("falkenstrom2013")$seed
  again <- regenerate("falkenstrom2013", function(scripts) scripts$simulate_falkenstrom(), seed)
  expect_equal(again, falkenstrom2013, tolerance = 1e-12)
})

test_that("hlm() returns every finding of falkenstrom2013", {
  published <- read_published("falkenstrom2013")
  expect_true(all(published$findings$met))
  fits <- lapply(published$models, function(m) quiet_fit(m$hlm, falkenstrom2013, "session"))
  coefficients <- published$findings[published$findings$quantity == "coefficient", ]
  # Both directions, both centrings, with and without the outcome's own past, and the moderator.
  expect_identical(nrow(coefficients), 10L)
  for (i in seq_len(nrow(coefficients))) {
    expect_finding(table_row(fits[[coefficients$analysis[i]]], coefficients$term[i]), coefficients[i, ])
  }
})

test_that("the within-patient effect of falkenstrom2013 varies considerably in both centrings", {
  published <- read_published("falkenstrom2013")
  slopes <- published$findings[published$findings$quantity == "SD of the slopes", ]
  expect_identical(slopes$id, c("slope.mean", "slope.line"))
  for (i in 1:2) {
    formula <- published$models[[slopes$analysis[i]]]$hlm
    fit <- quiet_fit(formula, falkenstrom2013, "session")
    v <- as.data.frame(VarCorr(fit))
    sd <- v$sdcor[v$var1 %in% slopes$term[i] & is.na(v$var2)]
    expect_equal(sd, slopes$estimate[i], tolerance = 1e-4)
    # The SD between patients exceeds the mean effect: for many patients the sign is the other one.
    expect_gt(sd, abs(table_row(fit, slopes$term[i])[["Estimate"]]))
    test <- as.data.frame(ranova(fit))
    expect_lt(max(test[[ncol(test)]], na.rm = TRUE), 1e-4)
    expect_lt(slopes$p[i], 1e-4)
  }
})

test_that("hoffart2013 has the design of the study", {
  d <- hoffart2013
  expect_identical(names(d), c("patient", "treatment", "week", "task", "goal", "bond", "ptsd", "female", "age"))
  expect_identical(dim(d), c(650L, 9L))
  expect_identical(d$patient, rep(1:65, each = 10L))
  expect_identical(d$week, rep(0:9, times = 65L))
  persons <- unique(d[c("patient", "treatment", "female", "age")])
  expect_identical(nrow(persons), 65L)
  expect_identical(c(table(persons$female)), c(`0` = 27L, `1` = 38L))
  expect_equal(round(c(mean(persons$age), stats::sd(persons$age)), 1), c(45.2, 9.7))
  expect_identical(c(table(persons$treatment)), c(IR = 32L, IE = 33L))
  expect_identical(colSums(is.na(d[c("task", "goal", "bond", "ptsd")])), c(task = 14, goal = 14, bond = 14, ptsd = 20))
})

test_that("hoffart2013 has values that the instruments can give", {
  for (part in c("task", "goal", "bond")) {
    x <- stats::na.omit(hoffart2013[[part]])
    expect_true(all(x >= 1 & x <= 7), info = part)
    expect_identical(as.vector(4 * x), round(as.vector(4 * x)), info = part)
  }
  expect_type(hoffart2013$ptsd, "integer")
  expect_true(all(hoffart2013$ptsd >= 0L & hoffart2013$ptsd <= 51L, na.rm = TRUE))
})

test_that("the script gives hoffart2013 again", {
  seed <- read_published("hoffart2013")$seed
  again <- regenerate("hoffart2013", function(scripts) {
    rows <- scripts$simulate_hoffart()
    scripts$add_persons(rows)
  }, seed)
  expect_equal(again, hoffart2013, tolerance = 1e-12)
})

test_that("hlm() returns every finding of hoffart2013", {
  published <- read_published("hoffart2013")
  expect_true(all(published$findings$met))
  fits <- lapply(published$models, function(m) quiet_fit(m$hlm, hoffart2013, "week"))
  coefficients <- published$findings[published$findings$quantity == "coefficient", ]
  expect_setequal(coefficients$expected, c("negative", "none"))
  for (i in seq_len(nrow(coefficients))) {
    expect_finding(table_row(fits[[coefficients$analysis[i]]], coefficients$term[i]), coefficients[i, ])
  }
  # The effect is there in imaginal exposure and stronger than in rescripting, where it does not turn round.
  within <- table_row(fits$treatment, "task_lag1_within")[["Estimate"]]
  more <- table_row(fits$treatment, "task_lag1_within:treatmentIE")[["Estimate"]]
  expect_lt(within + more, -1)
  expect_lt(abs(within), abs(within + more))
})

test_that("the within-person task effect of hoffart2013 explains about 4 % of the outcome's variance", {
  published <- read_published("hoffart2013")
  share <- published$findings[published$findings$id == "task.explained", ]
  fit <- quiet_fit(published$models[["task"]]$hlm, hoffart2013, "week")
  without <- quiet_fit(published$models[["task, without"]]$hlm, hoffart2013, "week")
  reduction <- r2(fit, method = "reduction", baseline = without)$measures
  found <- reduction$estimate[reduction$measure == "Residual"]
  expect_length(found, 1L)
  expect_equal(found, share$estimate, tolerance = 1e-4)
  expect_equal(round(found, 2), 0.04)
})
