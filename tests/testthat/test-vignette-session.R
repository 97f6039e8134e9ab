# The vignette "Session by session" is run as it stands, and what its text states is held against what it computed and what Falkenström et al. (2013) told.
# (The coefficients of the findings are tested against lme4 in test-data-published.R.)

run_session <- function() {
  for (needed in c("knitr", "ggplot2", "jsonlite")) skip_if_not_installed(needed)
  folder <- c(test_path("..", "..", "vignettes"), system.file("doc", package = "wbhlm"))
  folder <- folder[file.exists(file.path(folder, "session-by-session.Rmd")) & file.exists(file.path(folder, "findings.R"))]
  skip_if(!length(folder), "the vignette is not at hand")
  withr::local_dir(folder[[1L]])
  script <- withr::local_tempfile(fileext = ".R")
  withr::local_options(knitr.purl.inline = FALSE)
  knitr::purl("session-by-session.Rmd", script, documentation = 0L, quiet = TRUE)
  withr::local_pdf(NULL)
  withr::local_output_sink(withr::local_tempfile())
  made <- new.env(parent = globalenv())
  suppressWarnings(source(script, local = made), classes = "hlm_warning")
  made
}

test_that("the vignette finds what was published, and its text says what it computed", {
  session <- run_session()
  coefficient <- function(fit, term = "wai_lag1_within") as.list(summary(fit)$coefficients[term, ])
  expect_negative <- function(row) {
    expect_lt(row$Estimate, 0)
    expect_lt(row[["Pr(>|t|)"]], 0.001)
  }

  # published: better alliance than usual, fewer symptoms at the next session; with deviations from mean and line, with AR(1) residuals, with therapists
  for (fit in c("own_mean", "own_line", "own_line_ar1", "three_levels")) expect_negative(coefficient(session[[fit]]))

  # published: the effect varies considerably between patients
  expect_gt(session$slopes$sd, abs(fixef(session$own_line)[["wai_lag1_within"]]))
  expect_lt(session$slope_test[["Pr(>chibar)"]], 0.001)
  # the text: a quarter or so of the other sign, but few of the single estimates, and hardly any of them clear
  other <- 1 - session$slopes$share_below
  counted <- session$slopes$slopes
  expect_gt(other, 0.2)
  expect_gt(other, mean(counted$slope > 0))
  expect_lt(mean(counted$clear), 0.05)

  # published: stronger with personality problems; the text: there in both groups
  simple <- as.data.frame(session$simple)
  expect_identical(simple$modx, c(0, 1))
  expect_true(all(simple$upper < 0))
  expect_lt(simple$Estimate[2L], simple$Estimate[1L])
  expect_negative(coefficient(session$by_personality, "wai_lag1_within:personality"))

  # the text on Johnson-Neyman: negative at every observed value with personality problems, without them from about 0 to 1; no moderation by the alliance
  regions <- as.data.frame(session$regions)
  clear <- regions[regions$significant & regions$data != "none", ]
  expect_identical(clear$mod2, c(0, 1))
  expect_identical(clear$sign, c("negative", "negative"))
  observed <- range(session$regions$observed)
  expect_lt(clear$from[2L], observed[1L])
  expect_gt(clear$to[2L], observed[2L])
  expect_true(clear$from[1L] > -0.3 && clear$from[1L] < 0.3)
  expect_true(clear$to[1L] > 0.8 && clear$to[1L] < min(1.3, observed[2L]))
  expect_gt(coefficient(session$by_alliance, "wai_lag1_within:wai_lag1_between")[["Pr(>|t|)"]], 0.05)

  # published: both directions; without and with the trends removed
  for (both in list(session$both, session$both_lines)) {
    cross <- both$effects[both$effects$role == "within", ]
    expect_identical(cross$direction, c("xy", "yx"))
    expect_true(all(cross$conf.high < 0))
    expect_true(all(cross$std.high < 0))
    expect_true(all(cross$p.value < 0.001))
  }
  # the text: only the effect of the symptoms hardly differs between patients
  spread <- session$both$slopes
  expect_gt(spread$share[spread$direction == "xy"], 0.15)
  expect_lt(spread$share[spread$direction == "yx"], 0.01)
  # and the earlier value of the outcome is biased downwards, deviations from means being what they are
  for (bias in session$both$nickell) expect_lt(bias$table$bias, 0)

  # the text on the middle way: one sign, and the largest effect without time
  verdict <- session$ways$verdict[session$ways$verdict$effect == "within", ]
  expect_gte(verdict$specifications, 9L)
  expect_identical(c(verdict$negative, verdict$positive, verdict$significant), c(verdict$specifications, 0L, verdict$specifications))
  ways <- session$ways$effects[session$ways$effects$effect == "within" & session$ways$effects$variant != "raw", ]
  expect_identical(ways$variant[which.min(ways$estimate)], "mean")

  # the text on the two checks: residuals alike, therapists differ
  expect_gt(AIC(session$own_line), AIC(session$own_line_ar1) + 20)
  expect_gt(session$therapists$variances$share_lower, 0)
  expect_equal(fixef(session$three_levels)[["wai_lag1_within"]], fixef(session$own_mean)[["wai_lag1_within"]], tolerance = 0.02)
  # the text on the audit
  found <- as.data.frame(session$review)
  expect_true(all(c("common_trend", "dropout_related") %in% found$id[found$severity == "high"]))

  # every row of "Published and found" agrees
  expect_identical(nrow(session$table), 7L)
  expect_identical(unique(session$table$Published), "negative")
  expect_identical(unique(session$table$Agrees), "yes")
})
