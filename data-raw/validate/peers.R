# Fits the peers on every model of the matrix and keeps the results in data-raw/validate/cache (not in git).
# Run from the repository root: Rscript data-raw/validate/peers.R
for (file in c("data-raw/fixtures/lme4-best.R", "data-raw/validate/generate.R", "data-raw/validate/fit-peers.R")) source(file)
cache <- "data-raw/validate/cache"
dir.create(cache, showWarnings = FALSE, recursive = TRUE)
grid <- model_grid()
grid <- grid[order(grid$n_target), ]
for (i in seq_len(nrow(grid))) {
  seconds <- system.time(cached_peers(grid[i, ], cache))[["elapsed"]]
  cat(sprintf("%-28s %6d rows %7.1f s\n", grid$name[i], grid$n_target[i], seconds))
}
