verdict_of <- function(estimate, p, settings) {
  n <- length(estimate)
  base <- data.frame(
    variant = paste0("v", seq_len(n)), label = paste("L", seq_len(n)), x = "mean", y = "observed", time = TRUE, lag = 0L, means = "analysis",
    weighting = "persons", corrected = FALSE, status = "converged", same_as = NA_character_, stringsAsFactors = FALSE
  )
  base[names(settings)] <- settings
  effects <- data.frame(variable = "x", variant = base$variant, label = base$label, effect = "within", estimate = estimate, p.value = p)
  comparison_verdict(base, effects, 0.95)
}

test_that("the verdict counts signs and significance", {
  all <- verdict_of(c(-1, -2, -3), c(0.01, 0.02, 0.03), list())
  expect_match(all$text, "^negative and significant in all 3 specifications \\(p < 0.05\\)\\. Smallest -1.00 \\(L 1\\), largest -3.00 \\(L 3\\)\\.$")
  none <- verdict_of(c(1, 2), c(0.2, 0.3), list())
  expect_match(none$text, "^positive in all 2 specifications, significant in none")
  some <- verdict_of(c(-1, -2, -3), c(0.2, 0.02, 0.03), list(x = c("detrend", "mean", "mean")))
  expect_match(some$text, "negative in all 3 specifications, significantly so in 2 (p < 0.05), not when x is detrended (L 1).", fixed = TRUE)
  one <- verdict_of(-1, 0.2, list())
  expect_match(one$text, "negative, not significant (p < 0.05) in the only specification there is.", fixed = TRUE)
})

test_that("the verdict says under which choice the sign changes", {
  turned <- verdict_of(c(-1, -2, 0.5, 0.4), c(0.01, 0.02, 0.3, 0.2), list(lag = c(0L, 0L, 1L, 1L)))
  expect_match(turned$text, "The sign changes when x is of the session before (2): positive, not significant.", fixed = TRUE)
  expect_match(turned$text, "^negative in 2 of 4 specifications, significantly so in 2 \\(p < 0.05\\)\\. The sign")
  expect_identical(c(turned$negative, turned$positive, turned$significant), c(2L, 2L, 2L))
  # no single choice tells them apart: their names
  mixed <- verdict_of(c(-1, -2, -1, 0.4), c(0.01, 0.02, 0.3, 0.01), list(time = c(TRUE, TRUE, FALSE, FALSE)))
  expect_match(mixed$text, "The sign changes in: L 4: positive, significant.", fixed = TRUE)
})

test_that("other forms of the same model, failed ones and the raw variable do not count", {
  counted <- verdict_of(c(-1, -1, 5, 6), c(0.01, 0.01, 0.01, 0.01), list(
    same_as = c(NA, "v1", NA, NA), status = c("converged", "converged", "failed", "converged"), x = c("mean", "contextual", "mean", "raw")
  ))
  expect_identical(counted$specifications, 1L)
  expect_identical(counted$positive, 0L)
})

test_that("the verdict of a comparison agrees with its table", {
  comparison <- compare_disaggregation(comparison_fits[["slope-ml"]]())
  table <- as.data.frame(comparison)
  counted <- table[table$effect == "within" & is.na(table$same_as) & table$status %in% c("converged", "boundary"), ]
  verdict <- comparison$verdict[comparison$verdict$effect == "within", ]
  expect_identical(verdict$specifications, nrow(counted))
  expect_identical(verdict$significant, sum(counted$p.value < 0.05))
  expect_identical(c(verdict$lowest, verdict$highest), range(counted$estimate))
})
