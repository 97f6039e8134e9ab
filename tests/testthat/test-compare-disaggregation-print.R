# the time taken differs from run to run
still <- function(lines) sub("models in .*", "models in some ms.", lines)

test_that("the printed comparison is one table, notes and sentences", {
  local_reproducible_output(width = 90)
  expect_snapshot(compare_disaggregation(comparison_fits[["slope-ml"]]()), transform = still)
})

test_that("three levels, refusals and interactions print what they are", {
  local_reproducible_output(width = 90)
  fit <- hlm(
    bai ~ session * within(wai) + between(wai, level = "therapist") + (1 | therapist / id), implement, time = session
  )
  expect_snapshot(compare_disaggregation(fit, ddf = "bw"), transform = still)
})

test_that("no line is wider than the window", {
  for (case in c("slope-ml", "three-levels", "weights-moderator")) {
    lines <- withr::with_options(list(width = 90), capture.output(print(compare_disaggregation(comparison_fits[[case]]()))))
    expect_lte(max(nchar(lines)), 90L)
    expect_true(any(grepl("^ 1[12] models in [0-9]+ (ms|s)\\.$", lines)))
  }
})

test_that("as.data.frame() and tidy() join effects and specifications", {
  comparison <- compare_disaggregation(comparison_fits$intercept(), variants = c("detrend_x", "raw"))
  table <- as.data.frame(comparison)
  expect_identical(nrow(table), nrow(comparison$effects))
  expect_identical(table$x[table$variant == "detrend_x"], rep("detrend", 3L))
  expect_true(all(c("estimate", "std.error", "p.value", "rows", "status", "formula") %in% names(table)))
  expect_equal(as.data.frame(tidy(comparison)), table)
})
