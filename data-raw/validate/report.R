# The validation matrix in tables: per model, per class, and a page of text.

tools <- c("wbhlm", "lme4", "nlme", "glmmTMB")

summarise_results <- function(results) {
  parts <- c(list(all = results), split(results, factor(results$class, unique(results$class))))
  do.call(rbind, lapply(names(parts), function(name) summarise_class(parts[[name]], name)))
}

# A tool is "best" on a model when its criterion is within the allowance of the lowest of the four.
summarise_class <- function(rows, name) {
  values <- as.matrix(rows[c(tools, "lme4_default")])
  lowest <- apply(values, 1, min, na.rm = TRUE)
  slack <- pmax(1e-6, 1e-9 * abs(lowest))
  short <- values - lowest
  counts <- function(tool) sum(short[, tool] <= slack, na.rm = TRUE)
  worst <- function(tool) if (all(is.na(short[, tool]))) NA_real_ else max(short[, tool], na.rm = TRUE)
  out <- data.frame(class = name, models = nrow(rows), rows_min = min(rows$rows), rows_max = max(rows$rows))
  for (tool in colnames(values)) {
    out[[paste0(tool, "_fitted")]] <- sum(!is.na(values[, tool]))
    out[[paste0(tool, "_best")]] <- counts(tool)
    out[[paste0(tool, "_worst_shortfall")]] <- signif(worst(tool), 3)
  }
  out$wbhlm_alone_lowest <- sum(rows$verdict == "lower")
  out$failures <- sum(rows$verdict %in% failures)
  out
}

write_report <- function(results, folder, versions) {
  dir.create(folder, showWarnings = FALSE, recursive = TRUE)
  summary <- summarise_results(results)
  stamped <- results
  for (tool in names(versions)) stamped[[paste0("version_", tool)]] <- versions[[tool]]
  utils::write.csv(summary, file.path(folder, "summary.csv"), row.names = FALSE)
  utils::write.csv(stamped, file.path(folder, "models.csv"), row.names = FALSE)
  writeLines(report_text(summary, results, versions), file.path(folder, "README.md"))
  summary
}

report_text <- function(summary, results, versions) {
  verdicts <- table(factor(results$verdict, c("agree", "lower", "flat", failures)))
  cells <- function(tool) sprintf("%d/%d (%.2g)", summary[[paste0(tool, "_best")]], summary[[paste0(tool, "_fitted")]],
    summary[[paste0(tool, "_worst_shortfall")]])
  table <- paste0("| ", summary$class, " | ", summary$models, " | ", summary$rows_min, "-", summary$rows_max, " | ",
    cells("wbhlm"), " | ", cells("lme4"), " | ", cells("lme4_default"), " | ", cells("nlme"), " | ", cells("glmmTMB"), " | ",
    summary$wbhlm_alone_lowest, " |")
  c(
    "# Validation matrix", "",
    paste("Synthetic data from seeds; written by `make validate` (data-raw/validate/run.R). Fitted by this package, by lme4 (four",
      "optimisers with tight tolerances and restarts, the best kept; \"lme4 default\" is its default optimiser, also with tight",
      "tolerances, once), by nlme and by glmmTMB where they can fit the model. All criteria (-2 log-likelihood, or the REML",
      "criterion) are put on one scale: lme4's deviance function at the covariance parameters each tool reports."), "",
    paste0("Versions: ", paste(names(versions), versions, collapse = ", "), "."), "",
    paste0("Models: ", nrow(results), ". Verdicts: ", paste(names(verdicts), as.integer(verdicts), sep = " ", collapse = ", "), "."), "",
    paste("Each cell: on how many models the tool's criterion is the lowest (within max(1e-6, 1e-9 |criterion|)), of how many it",
      "could fit, and in brackets its worst shortfall. \"Alone\": models on which this package is lower than every peer."), "",
    "| class | models | rows | wbhlm | lme4 best of four | lme4 default | nlme | glmmTMB | alone |",
    "|---|---|---|---|---|---|---|---|---|", table, "",
    paste("Verdicts: agree = criteria and estimates alike; lower = our criterion is below every peer's, confirmed by lme4's deviance",
      "function at our parameters; flat = equal criteria, different estimates, and our formulas return the peer's estimates at the",
      "peer's parameters (the data cannot tell the two apart). Everything else is a failure and stops `make validate`."))
}
