# The validation matrix in tables: per model, per class, and a page of text.

tools <- c("wbhlm", "lme4", "nlme", "glmmTMB", "plain")

# Largest relative differences that count as agreement.
inference_limits <- c(satterthwaite_se = 1e-4, satterthwaite_df = 1e-3, kr_se = 1e-4, kr_df = 1e-3)

# Models with a standard error or df that differs.
inference_failed <- function(results) {
  Reduce(`|`, lapply(names(inference_limits), function(what) !is.na(results[[what]]) & results[[what]] > inference_limits[[what]]))
}

inference_summary <- function(results) {
  do.call(rbind, lapply(names(inference_limits), function(what) {
    values <- results[[what]][!is.na(results[[what]])]
    data.frame(what = what, models = length(values), median = if (length(values)) signif(stats::median(values), 2) else NA,
      worst = if (length(values)) signif(max(values), 2) else NA, limit = inference_limits[[what]], differ = sum(values > inference_limits[[what]]))
  }))
}

summarise_results <- function(results) {
  parts <- c(list(all = results), split(results, factor(results$class, unique(results$class))))
  do.call(rbind, lapply(names(parts), function(name) summarise_class(parts[[name]], name)))
}

# A tool is "best" on a model when its criterion is within the allowance of the lowest of all.
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
  out$beyond_precision <- sum(rows$verdict == "beyond precision")
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
  verdicts <- table(factor(results$verdict, c("agree", "lower", "flat", "beyond precision", failures)))
  cells <- function(tool) ifelse(summary[[paste0(tool, "_fitted")]] == 0, "", sprintf("%d/%d (%.2g)", summary[[paste0(tool, "_best")]],
    summary[[paste0(tool, "_fitted")]], summary[[paste0(tool, "_worst_shortfall")]]))
  table <- paste0("| ", summary$class, " | ", summary$models, " | ", summary$rows_min, "-", summary$rows_max, " | ",
    cells("wbhlm"), " | ", cells("lme4"), " | ", cells("lme4_default"), " | ", cells("nlme"), " | ", cells("glmmTMB"), " | ",
    cells("plain"), " | ", summary$wbhlm_alone_lowest, " |")
  inference <- inference_summary(results)
  c(
    "# Validation matrix", "",
    paste("Synthetic data from seeds; written by `make validate` (data-raw/validate/run.R). Fitted by this package, by lme4 (four",
      "optimisers with tight tolerances and restarts, the best kept; \"lme4 default\" is its default optimiser, also with tight",
      "tolerances, once), by nlme and by glmmTMB where they can fit the model. All criteria (-2 log-likelihood, or the REML",
      "criterion) are put on one scale: lme4's deviance function at the covariance parameters each tool reports; for correlated or unequal",
      "residuals, which lme4 has not, the textbook's formula with matrices written out (\"plain\", also minimised from several starts as a peer).",
      "Terms like `within(x)`, lags, detrending and `||` of a factor are made by hand, in base R, for the peers."), "",
    paste0("Versions: ", paste(names(versions), versions, collapse = ", "), "."), "",
    paste0("Models: ", nrow(results), ". Verdicts: ", paste(names(verdicts), as.integer(verdicts), sep = " ", collapse = ", "), "."), "",
    paste("Each cell: on how many models the tool's criterion is the lowest (within max(1e-6, 1e-9 |criterion|)), of how many it",
      "could fit, and in brackets its worst shortfall. \"Alone\": models on which this package is lower than every peer."), "",
    "| class | models | rows | wbhlm | lme4 best of four | lme4 default | nlme | glmmTMB | plain | alone |",
    "|---|---|---|---|---|---|---|---|---|---|", table, "",
    paste("Verdicts: agree = criteria and estimates alike; lower = our criterion is below every peer's, confirmed by the common scale",
      "at our parameters; flat = equal criteria, different estimates, and our formulas return the peer's estimates at the",
      "peer's parameters (the data cannot tell the two apart); beyond precision: see below. Everything else is a failure and stops `make validate`."), "",
    lower_text(results), "", referee_text(results), "", beyond_text(results), "",
    "## Standard errors and degrees of freedom", "",
    paste("Against lmerTest (Satterthwaite, models of up to 400 rows) and pbkrtest (Kenward-Roger, REML, up to 130 rows, no weights), at lme4's optimum",
      "where it is inside the parameter space and both tools are at the same point. Largest relative difference over the coefficients of a model."), "",
    "| | models | median | worst | limit | differ |", "|---|---|---|---|---|---|",
    sprintf("| %s | %d | %.2g | %.2g | %g | %d |", c("Satterthwaite, SE", "Satterthwaite, df", "Kenward-Roger, SE", "Kenward-Roger, df"), inference$models,
      inference$median, inference$worst, inference$limit, inference$differ)
  )
}

lower_text <- function(results) {
  lower <- results[results$verdict == "lower", ]
  if (!nrow(lower)) return("Lower than every peer: none.")
  lower <- lower[order(lower$shortfall), ]
  paste0("Lower than every peer, by: ", paste(sprintf("%s %.2g", lower$name, -lower$shortfall), collapse = ", "), ".")
}

referee_text <- function(results) {
  doubtful <- results[!is.na(results$scale_error), ]
  if (!nrow(doubtful)) return("lme4's deviance function was exact enough on all models.")
  paste0("On ", nrow(doubtful), " models lme4's deviance function of the data as they are loses digits (up to ", sprintf("%.2g", max(doubtful$scale_error)),
    "; collinear predictors, large means or outcomes with hardly any residual variance); there the common scale is the same function of orthogonal columns ",
    "(data-raw/validate/referee.R): ", paste(doubtful$name, collapse = ", "), ".")
}

beyond_text <- function(results) {
  beyond <- results[results$verdict == "beyond precision", ]
  if (!nrow(beyond)) return("Beyond precision: none.")
  paste0("Beyond precision: the residual SD is below 1e-3 of the outcome's SD (an intraclass correlation above 0.999999) and the model would ",
    "count as a failure. This package works on sums of squares, which in double precision hardly hold such residuals (at 1e-3 variances lose the ",
    "fifth digit, at 1e-4 the criterion the sixth decimal); lme4, which works on rows, is more exact here. From 1e-5 on the fit says so itself ",
    "(\"The residual variance goes to zero\", status failed). Deviation from the best peer: ",
    paste(sprintf("%s %.2g (%s; %s)", beyond$name, beyond$shortfall, beyond$status, trimws(beyond$detail)), collapse = ", "), ".")
}
