# Times 1,000 parametric bootstrap replicates against lme4::bootMer() on the same data in the same run, and compares the standard errors that both give.
# Run from the repository root with the package installed: Rscript bench/bootstrap.R [quick]
# `quick` draws 100 replicates with lme4 and writes nothing. The full run takes some minutes, nearly all of them lme4's.

suppressPackageStartupMessages(library(wbhlm))
source("bench/data.R")
quick <- "quick" %in% commandArgs(trailingOnly = TRUE)
nsim <- 1000L
lme4_nsim <- if (quick) 100L else nsim

seconds <- function(expr) {
  gc(FALSE)
  time <- system.time(expr)
  c(cpu = time[["user.self"]] + time[["sys.self"]], elapsed = time[["elapsed"]])
}

# Fixed effects and residual SD of a fit by lme4: what bootMer() has to keep.
lme4_parameters <- function(fit) c(lme4::fixef(fit), sigma = stats::sigma(fit))

compare <- function(patients, sessions, model) {
  data <- bench_data(patients, sessions)
  formula <- bench_models[[model]]$columns
  fit <- hlm(formula, data)
  peer <- suppressMessages(lme4::lmer(formula, data))
  invisible(bootstrap(fit, 50, seed = 1))
  # medians of five short runs
  one <- apply(replicate(5, seconds(boot <<- bootstrap(fit, nsim, seed = 1, threads = 1))), 1, stats::median)
  two <- apply(replicate(5, seconds(bootstrap(fit, nsim, seed = 1, threads = 2))), 1, stats::median)
  theirs <- seconds(peer_boot <<- suppressMessages(suppressWarnings(lme4::bootMer(peer, lme4_parameters, nsim = lme4_nsim, seed = 1)))) * nsim / lme4_nsim
  ours_se <- apply(boot$t[, c(names(fixef(fit)), "sigma")], 2, stats::sd)
  peer_se <- apply(peer_boot$t, 2, stats::sd)
  row <- data.frame(data = sprintf("%d x %d", patients, sessions), model = model, lme4_s = theirs[["elapsed"]], one_s = one[["elapsed"]],
    one_cpu_s = one[["cpu"]], two_s = two[["elapsed"]], ratio = theirs[["cpu"]] / one[["cpu"]],
    se_ratio = max(abs(ours_se / peer_se - 1)), failed = sum(!boot$status %in% c("converged", "boundary")))
  cat(sprintf("%-9s %-17s lme4 %7.2f s  one thread %6.3f s (%.3f s CPU)  two threads %6.3f s  %.0f times less CPU  SE within %.1f %%  failed %d\n",
    row$data, row$model, row$lme4_s, row$one_s, row$one_cpu_s, row$two_s, row$ratio, 100 * row$se_ratio, row$failed))
  row
}
boot <- peer_boot <- NULL

table <- rbind(
  compare(96, 4, "random intercept"), compare(96, 4, "random slope"), compare(646, 6, "random slope"), compare(96, 4, "three levels")
)

if (!quick) {
  cpu <- if (file.exists("/proc/cpuinfo")) sub("^[^:]*: *", "", grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1]) else "unknown processor"
  load <- if (file.exists("/proc/loadavg")) sub(" .*", "", readLines("/proc/loadavg")) else "unknown"
  cells <- sprintf("| %s | %s | %.3g | %.3g | %.3g | %.3g | %.0f | %.1f %% |", table$data, table$model, table$lme4_s, table$one_s, table$one_cpu_s,
    table$two_s, table$ratio, 100 * table$se_ratio)
  writeLines(c(
    "# Bootstrap benchmarks", "",
    "Written by bench/bootstrap.R: 1,000 parametric replicates of a fit, synthetic data. Seconds; the ratio compares CPU time with one thread, which other",
    "work on the machine disturbs least. The last column is the largest difference between the two sets of standard errors (Monte Carlo error of one:",
    "2.2 %).", "",
    sprintf("%s, %d cores; load average at the end of the run %s.", cpu, parallel::detectCores(), load),
    sprintf("R %s, lme4 %s, wbhlm %s.", getRversion(), utils::packageVersion("lme4"), utils::packageVersion("wbhlm")), "",
    "| data (patients x sessions) | model | bootMer, s | bootstrap, 1 thread, s | CPU, s | 2 threads, s | times less CPU | SEs differ by at most |",
    "|---|---|---|---|---|---|---|---|", cells
  ), sprintf("bench/results/%s-bootstrap.md", Sys.Date()))
}
if (any(table$failed > 0) || any(table$se_ratio > 0.15)) {
  cat("Replicates failed, or standard errors differ by more than Monte Carlo error allows.\n")
  quit(status = 1)
}
