# Peak memory of one fit at 1,000,000 rows, ours and lme4's, each in its own process (Linux only: /proc/self/status).
# Run from the repository root with the package installed: Rscript bench/memory.R [rows] [ours|lme4|both]

source("bench/data.R")
arguments <- commandArgs(trailingOnly = TRUE)

peak_mb <- function(field) {
  line <- grep(paste0("^", field, ":"), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}

# In the child: load the data, forget the peak so far, fit, and report.
if (length(arguments) >= 1 && arguments[1] == "child") {
  tool <- arguments[2]
  data <- readRDS(arguments[3])
  if (tool == "ours") suppressPackageStartupMessages(library(wbhlm)) else suppressPackageStartupMessages(library(lme4))
  invisible(gc())
  before <- peak_mb("VmRSS")
  reset <- tryCatch({
    cat("5\n", file = "/proc/self/clear_refs")
    TRUE
  }, error = function(e) FALSE, warning = function(w) FALSE)
  formulas <- bench_models[["random slope"]]
  fit <- suppressWarnings(suppressMessages(if (tool == "ours") hlm(formulas$grammar, data) else lmer(formulas$columns, data)))
  cat(sprintf("%.1f %.1f %.8f %d\n", before, peak_mb("VmHWM"), -2 * as.numeric(logLik(fit)), reset))
  quit(status = 0)
}

rows <- if (length(arguments) >= 1) as.numeric(arguments[1]) else 1e6
tools <- if (length(arguments) >= 2 && arguments[2] != "both") arguments[2] else c("ours", "lme4")
file <- tempfile(fileext = ".rds")
saveRDS(bench_data(round(rows / 10), 10), file, compress = FALSE)
script <- sub("^--file=", "", grep("^--file=", commandArgs(), value = TRUE))
peaks <- lapply(tools, function(tool) {
  out <- system2(file.path(R.home("bin"), "Rscript"), c(script, "child", tool, file), stdout = TRUE)
  as.numeric(strsplit(out[length(out)], " ")[[1]])
})
invisible(file.remove(file))
names(peaks) <- tools
for (tool in tools) {
  value <- peaks[[tool]]
  cat(sprintf("%-5s before the fit %6.0f MB, peak %6.0f MB, the fit itself %6.0f MB, criterion %.6f%s\n", tool, value[1], value[2], value[2] - value[1],
    value[3], if (value[4] == 1) "" else " (peak includes loading)"))
}
if (length(tools) == 2) {
  whole <- peaks$ours[2] / peaks$lme4[2]
  fit <- (peaks$ours[2] - peaks$ours[1]) / (peaks$lme4[2] - peaks$lme4[1])
  cat(sprintf("ours / lme4: whole process %.2f, the fit itself %.2f\n", whole, fit))
  lines <- c("# Peak memory", "", sprintf("One fit (random slope, within/between) of %s rows of synthetic data, each tool in its own process (bench/memory.R).",
    format(rows, big.mark = ",", scientific = FALSE)), "", "| tool | before the fit, MB | peak, MB | the fit itself, MB |", "|---|---|---|---|",
    sprintf("| %s | %.0f | %.0f | %.0f |", c("wbhlm", "lme4"), c(peaks$ours[1], peaks$lme4[1]), c(peaks$ours[2], peaks$lme4[2]),
      c(peaks$ours[2] - peaks$ours[1], peaks$lme4[2] - peaks$lme4[1])), "", sprintf("Ratio: whole process %.2f, the fit itself %.2f.", whole, fit))
  writeLines(lines, "bench/memory.md")
}
