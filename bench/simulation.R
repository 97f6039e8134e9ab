# Times 1,000 refits (simulate, fit, Satterthwaite's t of every coefficient) of a random-slope model of 646 patients x 6 sessions against lme4 in a loop:
# refit(fit, simulate(fit)) alone, and with lmerTest's Satterthwaite tests. lme4 does fewer, and its time is scaled.
# Run from the repository root with the package installed: Rscript bench/simulation.R [quick]
# `quick` lets lme4 do 10 refits and writes nothing.

suppressPackageStartupMessages(library(wbhlm))
source("bench/data.R")
quick <- "quick" %in% commandArgs(trailingOnly = TRUE)
nsim <- 1000L
lme4_nsim <- if (quick) 10L else 100L

seconds <- function(expr) {
  gc(FALSE)
  time <- system.time(expr)
  c(cpu = time[["user.self"]] + time[["sys.self"]], elapsed = time[["elapsed"]])
}
median_of <- function(times, expr) {
  expr <- substitute(expr)
  caller <- parent.frame()
  apply(vapply(seq_len(times), function(i) seconds(eval(expr, caller)), c(cpu = 0, elapsed = 0)), 1, stats::median)
}

data <- bench_data(646, 6)
formula <- bench_models[["random slope"]]$columns
fit <- hlm(formula, data)
peer <- suppressMessages(lme4::lmer(formula, data))
tested_peer <- suppressMessages(lmerTest::lmer(formula, data))

invisible(refit_many(fit, nsim = 50, seed = 1))
ours <- median_of(5, refit_many(fit, nsim = nsim, seed = 1, threads = 1))
untested <- median_of(5, refit_many(fit, nsim = nsim, seed = 1, threads = 1, ddf = "none"))
two <- median_of(5, refit_many(fit, nsim = nsim, seed = 1, threads = 2))
y <- simulate(fit, lme4_nsim, seed = 2)
scale <- nsim / lme4_nsim
quietly <- function(expr) suppressMessages(suppressWarnings(expr))
lme4_refits <- scale * seconds(for (i in seq_len(lme4_nsim)) quietly(lme4::refit(peer, simulate(peer)[[1]])))
lme4_tests <- scale * seconds(for (i in seq_len(lme4_nsim)) {
  quietly(coef(summary(lmerTest::as_lmerModLmerTest(lme4::refit(tested_peer, simulate(tested_peer)[[1]])))))
})

# the same estimates and tests, on the same outcomes; lme4's optimiser has to go on to the optimum for that
check <- seq_len(3)
many <- refit_many(fit, y[check])
tight <- lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 1e5))
worst <- max(vapply(check, function(i) {
  data$y <- y[[i]]
  theirs <- quietly(coef(summary(lmerTest::lmer(formula, data, control = tight))))
  max(abs(many$statistic[i, ] / theirs[, "t value"] - 1), abs(many$df[i, ] / theirs[, "df"] - 1))
}, 0))

line <- function(what, time, reference = NULL) {
  cat(sprintf("%-52s %8.2f s CPU %8.2f s elapsed%s\n", what, time[["cpu"]], time[["elapsed"]],
    if (is.null(reference)) "" else sprintf("  %.0f times less CPU", reference[["cpu"]] / time[["cpu"]])))
}
line("lme4: simulate, refit (scaled to 1,000)", lme4_refits)
line("lme4, lmerTest: and Satterthwaite's tests (scaled)", lme4_tests)
line("wbhlm: simulate, refit, standard errors", untested, lme4_refits)
line("wbhlm: and Satterthwaite's tests, against refits alone", ours, lme4_refits)
line("wbhlm: the same against the same", ours, lme4_tests)
line("wbhlm: with two threads", two)
cat(sprintf("t and df differ from lmerTest's by at most %.1g (relative), failed fits: %d\n", worst, sum(!many$status %in% c("converged", "boundary"))))

if (!quick) {
  cpu <- if (file.exists("/proc/cpuinfo")) sub("^[^:]*: *", "", grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1]) else "unknown processor"
  load <- if (file.exists("/proc/loadavg")) sub(" .*", "", readLines("/proc/loadavg")) else "unknown"
  row <- function(what, time, ratio = "") sprintf("| %s | %.3g | %.3g | %s |", what, time[["cpu"]], time[["elapsed"]], ratio)
  writeLines(c(
    "# Simulation benchmarks", "",
    "Written by bench/simulation.R: 1,000 refits of a random-slope model, 646 patients x 6 sessions, synthetic data.",
    sprintf("lme4 did %d; its times are scaled.", lme4_nsim), "",
    sprintf("%s, %d cores; load average at the end of the run %s.", cpu, parallel::detectCores(), load),
    sprintf("R %s, lme4 %s, lmerTest %s, wbhlm %s.", getRversion(), utils::packageVersion("lme4"), utils::packageVersion("lmerTest"),
      utils::packageVersion("wbhlm")), "",
    "| what | CPU, s | elapsed, s | times less CPU than lme4 |", "|---|---|---|---|",
    row("lme4: simulate, refit", lme4_refits), row("lme4 and lmerTest: simulate, refit, Satterthwaite's tests", lme4_tests),
    row("wbhlm: simulate, refit, standard errors", untested, sprintf("%.0f (refits)", lme4_refits[["cpu"]] / untested[["cpu"]])),
    row("wbhlm: simulate, refit, Satterthwaite's tests", ours,
      sprintf("%.0f (refits), %.0f (with tests)", lme4_refits[["cpu"]] / ours[["cpu"]], lme4_tests[["cpu"]] / ours[["cpu"]])),
    row("the same with two threads", two), "",
    sprintf("t and df of the same outcomes differ from lmerTest's by at most %.1g (relative).", worst)
  ), sprintf("bench/results/%s-simulation.md", Sys.Date()))
}
