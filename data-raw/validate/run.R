# `make validate`: fits the matrix with this package, compares with the peers, writes inst/validation/. Exit status 1 on any failure.
# Run from the repository root with the package installed. The peers' results are kept in data-raw/validate/cache (not in git); the
# first run fits them and takes about an hour.
# Arguments: names of models or classes to run only those, or `cached` for the models whose peers are in the cache (nothing is
# written then).

suppressPackageStartupMessages(library(wbhlm))
for (file in c("data-raw/fixtures/lme4-best.R", paste0("data-raw/validate/", c("generate.R", "fit-peers.R", "compare.R", "report.R")))) source(file)

cache <- "data-raw/validate/cache"
dir.create(cache, showWarnings = FALSE, recursive = TRUE)
grid <- model_grid()
wanted <- commandArgs(trailingOnly = TRUE)
if ("cached" %in% wanted) grid <- grid[file.exists(file.path(cache, paste0(grid$name, ".rds"))), ]
chosen <- setdiff(wanted, "cached")
if (length(chosen)) grid <- grid[grid$name %in% chosen | grid$class %in% chosen, ]

results <- do.call(rbind, lapply(seq_len(nrow(grid)), function(i) {
  peers <- cached_peers(grid[i, ], cache)
  row <- compare_model(generate_model(grid[i, ]), peers)
  if (row$verdict %in% failures) cat(sprintf("%-26s %-16s shortfall %.3g  %s\n", row$name, row$verdict, row$shortfall, row$detail))
  row
}))

versions <- c(peer_versions(), wbhlm = as.character(utils::packageVersion("wbhlm")))
summary <- if (length(wanted)) summarise_results(results) else write_report(results, "inst/validation", versions)
options(width = 200)
columns <- c("class", "models", "wbhlm_best", "lme4_best", "lme4_default_best", "nlme_best", "glmmTMB_best", "wbhlm_worst_shortfall",
  "lme4_worst_shortfall", "nlme_worst_shortfall", "glmmTMB_worst_shortfall", "failures")
print(summary[columns], row.names = FALSE)
failed <- sum(results$verdict %in% failures)
cat(sprintf("\n%d models: %d passed, %d failed\n", nrow(results), nrow(results) - failed, failed))
if (failed > 0) quit(status = 1)
