# The shipped data sets: structure, and every figure that the synthetic one has to return.

published_figures <- function() {
  skip_if_not_installed("jsonlite")
  path <- system.file("published", "manubens2023.json", package = "wbhlm")
  expect_true(nzchar(path))
  jsonlite::fromJSON(path)
}

# Three limits that contradict other figures of the paper, and one p value (.63 for .64); design/0002 says why.
not_met <- c("hybrid.within.upper", "detrended.within.lower", "detrended.within.upper", "interactive.product.p")

# One row per patient.
patients_of <- function(d, variables) unique(d[c("patient", variables)])

# The same figures from any software: `tables` are coefficient tables in lmerTest's shape, `tests` likelihood-ratio tests.
collect_figures <- function(figures, d, tables, tests, icc) {
  described <- c(
    ans.m = mean(d$ans), ans.sd = sd(d$ans), oq.m = mean(d$oq), oq.sd = sd(d$oq), r = cor(d$ans, d$oq),
    icc = icc[["patient"]], icc.therapist = icc[["therapist"]]
  )
  one <- function(id, analysis, term, quantity) {
    if (id %in% names(described)) return(described[[id]])
    if (startsWith(term, "LRT")) return(tests[[analysis]][[if (startsWith(quantity, "chi2")) "Chisq" else "Pr(>Chisq)"]][2])
    row <- tables[[analysis]][term, ]
    limit <- qnorm(0.975) * row[["Std. Error"]]
    switch(quantity,
      estimate = row[["Estimate"]], SE = row[["Std. Error"]], df = row[["df"]], t = row[["t value"]], p = row[["Pr(>|t|)"]],
      `CI lower` = row[["Estimate"]] - limit, `CI upper` = row[["Estimate"]] + limit
    )
  }
  unname(mapply(one, figures$id, figures$analysis, figures$term, figures$quantity))
}

expect_published <- function(value, figures) {
  expect_false(anyNA(value))
  below <- grepl("below", figures$quantity)
  met <- ifelse(below, value < figures$published, abs(value - figures$published) <= figures$tolerance + 1e-6)
  missed <- figures$id[!met]
  # Degrees of freedom have no tolerance of their own: "as near as possible", the table says how near.
  expect_setequal(setdiff(missed, figures$id[figures$quantity == "df"]), not_met)
  # And nothing but the shipped data stands behind the table.
  expect_lt(max(abs(value - figures$synthetic) / pmax(1, abs(figures$synthetic))), 1e-3)
}

test_that("implement has the published structure", {
  expect_s3_class(implement, "data.frame")
  expect_identical(names(implement), c("id", "therapist", "session", "wai", "task", "goal", "bond", "bai"))
  expect_identical(dim(implement), c(855L, 8L))
  expect_identical(sort(unique(implement$id)), 1:57)
  expect_identical(sort(unique(implement$therapist)), 1:13)
  expect_true(all(table(implement$id) == 15L))
  # No number is used for patients of two therapists.
  expect_identical(nrow(unique(implement[c("id", "therapist")])), 57L)
  missing <- vapply(implement, function(x) sum(is.na(x)), 0L)
  expect_identical(missing, c(
    id = 0L, therapist = 0L, session = 0L, wai = 139L, task = 153L, goal = 154L, bond = 193L, bai = 75L
  ))
  complete <- stats::complete.cases(implement[c("task", "goal", "bond")])
  expect_equal(implement$wai[complete], rowMeans(implement[complete, c("task", "goal", "bond")]), ignore_attr = TRUE)
})

test_that("the CSV copy of implement holds the same values", {
  path <- system.file("extdata", "implement.csv", package = "wbhlm")
  expect_true(nzchar(path))
  expect_equal(utils::read.csv(path), implement, tolerance = 1e-13)
})

test_that("implement is the source file", {
  source_file <- file.path("..", "..", "..", "shared", "data", "implement.csv")
  skip_if_not(file.exists(source_file))
  expect_identical(utils::read.csv(source_file)[names(implement)], implement)
})

test_that("hoebeke2022 has the published structure", {
  d <- hoebeke2022
  items <- c("activity", "negativity", "criticism", "brooding", "replaying", "att_control")
  expect_identical(names(d), c("id", "day", "beep", "occasion", "hour", items))
  expect_identical(dim(d), c(2102L, 11L))
  expect_identical(sort(unique(d$id)), 1:40)
  expect_identical(range(table(d$id)), c(42L, 56L))
  expect_identical(anyDuplicated(d[c("id", "occasion")]), 0L)
  expect_identical(order(d$id, d$occasion), seq_len(nrow(d)))
  expect_true(all(unlist(d[items]) >= 0 & unlist(d[items]) <= 100, na.rm = TRUE))
  # Forms left empty are empty in all items.
  expect_identical(c(table(rowSums(is.na(d[items])))), c(`0` = 2062L, `6` = 40L))
  expect_true(all(d$day >= 1L & d$day <= 14L & d$beep >= 1L & d$beep <= 4L))
})

test_that("the running times of hoebeke2022 keep the nights apart, or do not", {
  d <- hoebeke2022
  expect_identical(d$occasion, 4L * (d$day - 1L) + d$beep)
  expect_identical(d$hour %/% 24L, d$day - 1L)
  expect_identical(d$hour %% 24L, c(9L, 13L, 17L, 21L)[d$beep])
  # Four hours before: the same day, so never for the first beep. The beep before: for the first one the evening before.
  by_hour <- hlm(negativity ~ lagged(brooding, n = 4) + (1 | id), data = d, time = hour)
  by_beep <- hlm(negativity ~ lagged(brooding) + (1 | id), data = d, time = occasion)
  answered <- d[!is.na(d$brooding), ]
  pairs <- paste(answered$id, answered$occasion + 1L) %in% paste(answered$id, answered$occasion)
  expect_equal(nobs(by_beep), sum(pairs))
  # The pairs that cross a night start with the last beep of a day.
  expect_equal(nobs(by_hour), sum(pairs & answered$beep < 4L))
  expect_lt(nobs(by_hour), nobs(by_beep))
})

test_that("hoebeke2022 is the source file but for the codes", {
  source_file <- file.path("..", "..", "..", "shared", "data", "hoebeke2022.csv.gz")
  if (!file.exists(source_file)) source_file <- file.path("..", "..", "..", "..", "shared", "data", "hoebeke2022.csv.gz")
  skip_if_not(file.exists(source_file))
  published <- utils::read.csv(source_file)
  published$id <- match(published$id, unique(published$id))
  expect_identical(hoebeke2022[names(published)], published)
})

test_that("manubens2023 has the design of the study", {
  expect_identical(names(manubens2023), c("patient", "therapist", "session", "ans", "oq", "female", "age", "dropout"))
  expect_identical(nrow(manubens2023), 331L)
  expect_identical(sort(unique(manubens2023$patient)), 1:96)
  expect_false(anyNA(manubens2023))
  persons <- patients_of(manubens2023, c("therapist", "female", "age", "dropout"))
  expect_identical(nrow(persons), 96L)
  expect_identical(range(table(persons$therapist)), c(5L, 27L))
  expect_length(unique(persons$therapist), 8L)
  expect_equal(round(100 * mean(persons$female), 1), 61.5)
  expect_equal(round(c(mean(persons$age), sd(persons$age)), 2), c(36.44, 11.84))
  expect_identical(sum(persons$dropout), 22L)
  # Those who left, and only they, have fewer than four sessions, without gaps.
  sessions <- split(manubens2023$session, manubens2023$patient)
  expect_true(all(vapply(sessions, function(s) identical(s, seq_along(s) - 1L), NA)))
  expect_identical(unname(lengths(sessions) < 4L), persons$dropout[order(persons$patient)] == 1L)
})

test_that("manubens2023 has values that the instruments can give", {
  expect_true(all(manubens2023$ans >= 1 & manubens2023$ans <= 7))
  expect_true(all(manubens2023$oq >= 0 & manubens2023$oq <= 4))
  expect_equal(12 * manubens2023$ans, round(12 * manubens2023$ans), tolerance = 1e-12)
  expect_equal(45 * manubens2023$oq, round(45 * manubens2023$oq), tolerance = 1e-12)
})

test_that("lme4 and lmerTest return every published figure from manubens2023", {
  skip_if_not_installed("lmerTest")
  published <- published_figures()
  d <- manubens2023
  person_mean <- tapply(d$ans, d$patient, mean)
  own <- person_mean[as.character(d$patient)]
  d$ans_within <- d$ans - as.vector(own)
  d$ans_between <- as.vector(own) - mean(person_mean)
  fits <- lapply(published$models, function(m) lmerTest::lmer(as.formula(m$lme4), data = d))
  tables <- lapply(fits, function(f) coef(summary(f)))
  lrt <- function(small, large) suppressMessages(anova(fits[[small]], fits[[large]]))
  tests <- list(
    time = lrt("unconditional", "time"), hybrid = lrt("unconditional", "hybrid"), interactive = lrt("additive", "interactive")
  )
  expect_identical(tests$time$Df[2], 3)
  expect_identical(tests$hybrid$Df[2], 2)
  expect_identical(tests$interactive$Df[2], 1)
  share <- function(fit, group) {
    v <- as.data.frame(lme4::VarCorr(fit))
    sum(v$vcov[v$grp == group]) / sum(v$vcov)
  }
  icc <- c(patient = share(fits$unconditional, "patient"), therapist = share(fits[["three-level"]], "therapist"))
  expect_published(collect_figures(published$figures, d, tables, tests, icc), published$figures)
})

test_that("hlm() returns every published figure from manubens2023", {
  published <- published_figures()
  d <- manubens2023
  fits <- lapply(published$models, function(m) hlm(as.formula(m$hlm), data = d))
  tables <- lapply(fits, function(f) summary(f)$coefficients)
  tests <- list(
    time = anova(fits$unconditional, fits$time), hybrid = anova(fits$unconditional, fits$hybrid),
    interactive = anova(fits$additive, fits$interactive)
  )
  share <- function(fit, group) {
    v <- icc(fit)
    v$icc[v$group == group]
  }
  levels <- c(patient = share(fits$unconditional, "patient"), therapist = share(fits[["three-level"]], "therapist"))
  expect_published(collect_figures(published$figures, d, tables, tests, levels), published$figures)
})
