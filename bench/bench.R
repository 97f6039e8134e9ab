# Times the whole hlm() call against lme4::lmer() on the same data in the same run, and checks that both reach the same criterion.
# Run from the repository root with the package installed: Rscript bench/bench.R [quick]
# `quick` leaves out 100,000 x 10 and InstEval and writes nothing. The full run takes up to ten minutes, nearly all of them lme4's.

suppressPackageStartupMessages(library(wbhlm))
source("bench/data.R")
quick <- "quick" %in% commandArgs(trailingOnly = TRUE)

# lme4's runs and ours: medians of several where they are short.
sizes <- list(
  list(patients = 96, sessions = 4, lme4_runs = 15, our_runs = 51),
  list(patients = 646, sessions = 6, lme4_runs = 7, our_runs = 31),
  list(patients = 10000, sessions = 10, lme4_runs = 3, our_runs = 11),
  list(patients = 100000, sessions = 10, lme4_runs = 1, our_runs = 5)
)
if (quick) sizes <- sizes[1:3]

# Median elapsed seconds, and the last value. One unmeasured call first, where calls are cheap.
timed <- function(run, runs) {
  if (runs > 1) run()
  gc(FALSE)
  seconds <- vapply(seq_len(runs), function(i) system.time(value <<- run(), gcFirst = FALSE)[["elapsed"]], 0)
  # system.time() ticks in milliseconds; very short calls are timed in a batch.
  if (stats::median(seconds) < 0.02) {
    batch <- max(5, runs)
    seconds <- system.time(for (i in seq_len(batch)) run(), gcFirst = FALSE)[["elapsed"]] / batch
  }
  list(seconds = stats::median(seconds), value = value)
}
value <- NULL

quietly <- function(expr) suppressWarnings(suppressMessages(expr))
criterion <- function(fit) -2 * as.numeric(stats::logLik(fit))

compare <- function(label, model, data, formulas, lme4_runs, our_runs) {
  ours <- timed(function() quietly(hlm(formulas$grammar, data)), our_runs)
  plain <- timed(function() quietly(hlm(formulas$columns, data)), our_runs)
  peer <- timed(function() quietly(lme4::lmer(formulas$columns, data)), lme4_runs)
  reference <- criterion(peer$value)
  gap <- max(criterion(ours$value), criterion(plain$value)) - reference
  row <- data.frame(data = label, model = model, lme4_s = peer$seconds, ours_s = ours$seconds, ours_columns_s = plain$seconds,
    ratio = peer$seconds / ours$seconds, ratio_columns = peer$seconds / plain$seconds, criterion_gap = gap,
    criterion_ok = gap <= max(1e-6, 1e-9 * abs(reference)))
  cat(sprintf("%-14s %-17s lme4 %8.3f s  ours %8.4f s (%.0fx)  columns given %8.4f s (%.0fx)  criterion %+.1e%s\n", label, model, row$lme4_s,
    row$ours_s, row$ratio, row$ours_columns_s, row$ratio_columns, gap, if (row$criterion_ok) "" else "  NOT REACHED"))
  row
}

rows <- list()
for (size in sizes) {
  data <- bench_data(size$patients, size$sessions)
  label <- sprintf("%s x %d", format(size$patients, big.mark = ",", scientific = FALSE), size$sessions)
  for (model in names(bench_models)) {
    rows[[length(rows) + 1]] <- compare(label, model, data, bench_models[[model]], size$lme4_runs, size$our_runs)
  }
}
if (!quick) {
  crossed <- list(grammar = y ~ service + (1 | s) + (1 | d) + (1 | dept), columns = y ~ service + (1 | s) + (1 | d) + (1 | dept))
  rows[[length(rows) + 1]] <- compare("InstEval", "crossed", lme4::InstEval, crossed, 1, 3)
}
table <- do.call(rbind, rows)

machine_facts <- function() {
  cpu <- if (file.exists("/proc/cpuinfo")) grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1]
  load <- if (file.exists("/proc/loadavg")) sub(" .*", "", readLines("/proc/loadavg"))
  c(sprintf("%s, %d cores; load average at the end of the run %s.", sub("^[^:]*: *", "", cpu %||% "unknown processor"), parallel::detectCores(), load),
    sprintf("R %s, lme4 %s, wbhlm %s; BLAS: %s.", getRversion(), utils::packageVersion("lme4"), utils::packageVersion("wbhlm"),
      basename(extSoftVersion()[["BLAS"]])))
}
`%||%` <- function(x, y) if (is.null(x)) y else x

if (!quick) {
  cells <- sprintf("| %s | %s | %.3g | %.3g | %.3g | %.0f | %.0f | %+.1e |", table$data, table$model, table$lme4_s, table$ours_s,
    table$ours_columns_s, table$ratio, table$ratio_columns, table$criterion_gap)
  writeLines(c("# Benchmarks", "", "Written by `make bench` (bench/bench.R): synthetic data, and lme4's InstEval. Seconds of the whole call, formula to",
    "fit (medians); lme4 is given the within and between columns ready made, our first column makes them itself.",
    "Criterion: ours minus lme4's default fit (below zero: ours is better).", "", machine_facts(), "",
    "| data (patients x sessions) | model | lmer, s | hlm, s | hlm, columns given, s | times faster | columns given | criterion |",
    "|---|---|---|---|---|---|---|---|", cells), "bench/results.md")
}
if (!all(table$criterion_ok)) {
  cat("A criterion was not reached.\n")
  quit(status = 1)
}
