# `make validate`: fits the matrix of 1,000 models with this package, compares with the peers, writes inst/validation/. Exit status 1 on any failure.
# Run from the repository root with the package installed. The peers' results are kept in data-raw/validate/cache (not in git), one file a
# model: the first run fits them and takes about two hours, a stopped run goes on where it was, a later one takes two minutes.
# Arguments: names of models or classes to run only those, or `cached` for the models whose peers are in the cache (nothing is
# written then).

suppressPackageStartupMessages(library(wbhlm))
for (file in c("data-raw/fixtures/lme4-best.R", paste0("data-raw/validate/", c("generate.R", "generate-more.R", "generate-residual.R", "fit-peers.R",
  "fit-plain.R", "fit-inference.R", "referee.R", "compare.R", "report.R")))) source(file)

cache <- "data-raw/validate/cache"
dir.create(cache, showWarnings = FALSE, recursive = TRUE)
grid <- model_grid()
wanted <- commandArgs(trailingOnly = TRUE)
known <- file.exists(file.path(cache, paste0(grid$name, ".rds")))
if ("cached" %in% wanted) grid <- grid[known, ]
chosen <- setdiff(wanted, "cached")
if (length(chosen)) grid <- grid[grid$name %in% chosen | grid$class %in% chosen, ]
fresh <- sum(!file.exists(file.path(cache, paste0(grid$name, ".rds"))))
cat(sprintf("%d models of %d classes; the peers' fits of %d are in %s, %s\n", nrow(grid), length(unique(grid$class)), nrow(grid) - fresh, cache,
  if (fresh > 0) sprintf("those of %d are made now", fresh) else "none are made now"))

started <- proc.time()[["elapsed"]]
results <- do.call(rbind, lapply(seq_len(nrow(grid)), function(i) {
  peers <- cached_peers(grid[i, ], cache)
  row <- compare_model(generate_model(grid[i, ]), peers, cached_inference(grid[i, ], peers, cache))
  if (row$verdict %in% c(failures, "beyond precision")) {
    cat(sprintf("%-26s %-16s shortfall %.3g  %s\n", row$name, row$verdict, row$shortfall, row$detail))
  }
  if (i %% 100 == 0) cat(sprintf("%4d of %d models, %.0f s\n", i, nrow(grid), proc.time()[["elapsed"]] - started))
  row
}))

versions <- c(peer_versions(), wbhlm = as.character(utils::packageVersion("wbhlm")))
summary <- if (length(wanted)) summarise_results(results) else write_report(results, "inst/validation", versions)
options(width = 200)
columns <- c("class", "models", "wbhlm_best", "lme4_best", "lme4_default_best", "nlme_best", "glmmTMB_best", "plain_best", "wbhlm_worst_shortfall",
  "lme4_worst_shortfall", "nlme_worst_shortfall", "glmmTMB_worst_shortfall", "failures")
print(summary[columns], row.names = FALSE)
print(inference_summary(results), row.names = FALSE)
failed <- sum(results$verdict %in% failures) + sum(inference_failed(results))
beyond <- sum(results$verdict == "beyond precision")
cat(sprintf("\n%d models: %d passed, %d beyond double precision (see inst/validation/README.md), %d failed\n", nrow(results), nrow(results) - failed - beyond,
  beyond, failed))
if (failed > 0) quit(status = 1)
