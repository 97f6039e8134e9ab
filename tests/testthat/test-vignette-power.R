# The vignette "How many patients, how many sessions?" is run as it stands, and what its text states is held against what it computed.

run_power_vignette <- function() {
  for (needed in c("knitr", "ggplot2")) skip_if_not_installed(needed)
  folder <- c(test_path("..", "..", "vignettes"), system.file("doc", package = "wbhlm"))
  folder <- folder[file.exists(file.path(folder, "power.Rmd"))]
  skip_if(!length(folder), "the vignette is not at hand")
  script <- withr::local_tempfile(fileext = ".R")
  withr::local_options(knitr.purl.inline = FALSE)
  knitr::purl(file.path(folder[[1L]], "power.Rmd"), script, documentation = 0L, quiet = TRUE)
  withr::local_pdf(NULL)
  withr::local_output_sink(withr::local_tempfile())
  made <- new.env(parent = globalenv())
  source(script, local = made)
  made
}

test_that("the text of the vignette says what it computed", {
  skip_on_cran()
  made <- run_power_vignette()
  of <- function(result, name, ...) {
    table <- as.data.frame(result)
    for (column in names(list(...))) table <- table[table[[column]] == list(...)[[column]], ]
    as.list(table[table$effect == name, ])
  }
  # power high for within, fair for between, little more than 5 % for the interaction; wrong sign one time in ten, five times too large
  expect_gt(of(made$posthoc, "ans_within")$power, 0.9)
  between <- of(made$posthoc, "ans_between")$power
  expect_true(between > 0.75 && between < 0.9)
  interaction <- of(made$posthoc, "ans_within:ans_between")
  expect_true(interaction$power > 0.05 && interaction$power < 0.1)
  expect_true(interaction$type_s > 0.05 && interaction$type_s < 0.2)
  expect_true(interaction$type_m > 4 && interaction$type_m < 6)
  # an interaction as large as the within effect: missed about as often as found
  expect_equal(-0.126, fixef(made$fit)[["ans_within"]], tolerance = 0.01)
  expect_true(made$whatif_row$power > 0.4 && made$whatif_row$power < 0.6)
  # biases: towards zero for within, towards the within effect for between
  expect_gt(of(made$planned, "within")$bias_lower, 0)
  expect_gt(of(made$planned, "between")$bias_lower, 0)
  # sessions help the within effect, hardly the between effect; the interaction needs both
  at <- function(name, n, m) of(made$grid, name, n_patients = n, n_sessions = m)$power
  expect_true(at("within", 80, 4) > 0.5 && at("within", 80, 4) < 0.65)
  expect_gt(at("within", 80, 15), 0.9)
  expect_lt(at("between", 80, 15) - at("between", 80, 4), 0.15)
  expect_gt(at("between", 160, 4), at("between", 80, 15))
  expect_true(at("interaction", 80, 15) < 0.8 && at("interaction", 240, 4) < 0.8 && at("interaction", 240, 15) > 0.8)
  # runners-up cost hardly more
  expect_lt(made$found$candidates$cost[[3L]] / made$found$candidates$cost[[1L]], 1.05)
  expect_s3_class(made$found$design, "hlm_study")
  # 22 % dropout costs the within effect about a fifth of the patients, the between effect less
  leaving <- function(name, n, dropout) of(made$leaving, name, n_patients = n, dropout = dropout)$power
  expect_lt(abs(leaving("within", 80, "none") - leaving("within", 100, "mcar 22% by session 4")), 0.06)
  loss <- function(name) leaving(name, 80, "none") - leaving(name, 80, "mcar 22% by session 4")
  expect_gt(loss("within"), loss("between") + 0.03)
  # errors of measurement hit the within effect, whatever the sessions; more sessions help the between effect
  measured <- function(name, r, m) of(made$measured, name, reliability = r, n_sessions = m)
  expect_lt(measured("within", 0.7, 4)$estimate / measured("between", 0.7, 4)$estimate, 0.2)
  expect_lt(abs(measured("within", 0.8, 4)$estimate - measured("within", 0.8, 10)$estimate), 0.01)
  expect_lt(measured("within", 0.8, 10)$coverage, measured("within", 0.8, 4)$coverage)
  expect_lt(measured("between", 0.8, 10)$estimate, measured("between", 0.8, 4)$estimate)
})
