# Runs the tests of the installed package and ends with the line "N passed, N failed, N skipped".
# An argument runs only the files whose name matches it.

options(width = 150)
filter <- commandArgs(TRUE)
results <- testthat::test_dir(
  "tests/testthat",
  filter = if (length(filter)) filter[1],
  package = "wbhlm",
  load_package = "installed",
  reporter = "check",
  stop_on_failure = FALSE
)
results <- as.data.frame(results)
failed <- sum(results$failed) + sum(results$error)
passed <- sum(results$passed)
skipped <- sum(results$skipped)

slow <- results[order(-results$real), c("file", "test", "real")]
cat("Slowest tests (seconds):\n")
print(utils::head(transform(slow, test = substr(test, 1, 60), real = round(real, 1)), 5), row.names = FALSE)
cat(sprintf("%d passed, %d failed, %d skipped\n", passed, failed, skipped))
if (failed > 0 || passed == 0) {
  quit("no", status = 1)
}
