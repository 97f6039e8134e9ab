# Fits the peers on every model of the matrix and keeps the results in data-raw/validate/cache (not in git); models that are there already are
# passed over, so that the run can be stopped and taken up again.
# Run from the repository root: Rscript data-raw/validate/peers.R [names or classes]
for (file in c("data-raw/fixtures/lme4-best.R", paste0("data-raw/validate/", c("generate.R", "generate-more.R", "generate-residual.R", "fit-peers.R",
  "fit-plain.R", "fit-inference.R", "referee.R")))) source(file)
cache <- "data-raw/validate/cache"
dir.create(cache, showWarnings = FALSE, recursive = TRUE)
grid <- model_grid()
chosen <- commandArgs(trailingOnly = TRUE)
if (length(chosen)) grid <- grid[grid$name %in% chosen | grid$class %in% chosen, ]
grid <- grid[order(grid$n_target), ]
for (i in seq_len(nrow(grid))) {
  seconds <- system.time(gcFirst = FALSE, {
    peers <- cached_peers(grid[i, ], cache)
    cached_inference(grid[i, ], peers, cache)
  })[["elapsed"]]
  if (seconds < 0.2) next
  troubles <- unlist(lapply(c("nlme", "glmmTMB", "plain"), function(tool) if (!is.null(peers[[tool]]$error)) paste0(tool, ": ", peers[[tool]]$error)))
  cat(sprintf("%4d of %d  %-26s %6d rows %6.1f s  %s\n", i, nrow(grid), grid$name[i], peers$nobs, seconds,
    gsub("[\r\n]+", " ", paste(troubles, collapse = "; "))))
}
