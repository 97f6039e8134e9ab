# Type-I error and coverage of every method for degrees of freedom and intervals, in small samples as psychotherapy studies have them.
# Seeded, synthetic: N patients x 4 sessions, a random intercept and a random slope of the within score; effects within, between, of a
# person-level group, and of their cross-level products are zero, so every rejection at 5 % is an error.
# Run from the repository root with the package installed: Rscript bench/coverage.R [replicates] ; writes inst/validation/coverage.csv and .md

suppressPackageStartupMessages(library(wbhlm))
arguments <- commandArgs(trailingOnly = TRUE)
replicates <- if (length(arguments)) as.integer(arguments[[1L]]) else 2000L
sizes <- c(10L, 20L, 50L, 96L)
# SD of the patients' slopes (residual SD 1): effects that differ clearly, and hardly
slope_sds <- c(0.5, 0)
# replicates that get a bootstrap of their own, and its size
booted <- min(replicates, 500L)
boot_draws <- 399L

sample_data <- function(patients, sessions = 4L, seed = 2026L) {
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  patient <- rep(seq_len(patients), each = sessions)
  x <- rnorm(patients)[patient] + rnorm(patients * sessions)
  data.frame(patient, x, group = rep(c(0, 1), length.out = patients)[patient], y = rnorm(patients * sessions))
}

# The model with known parameters: outcomes are drawn from it.
truth <- function(data, slope_sd) {
  fit <- suppressWarnings(hlm(y ~ wb(x) + group + within(x):between(x) + within(x):group + (1 + within(x) | patient), data))
  fit$core$beta[] <- 0
  fit$core$sigma <- 1
  correlation <- 0.3
  fit$core$theta <- c(0.8, correlation * slope_sd, sqrt(1 - correlation^2) * slope_sd)
  fit
}

effects <- c(within = "x_within", between = "x_between", group = "group", `cross-level (between)` = "x_within:x_between",
  `cross-level (group)` = "x_within:group")

df_methods <- c("Satterthwaite", "Kenward-Roger", "between-within", "residual", "none")

# One row per effect and method: was zero inside the 95 % interval, and how wide was it?
judge <- function(limits, method) {
  limits <- limits[effects, , drop = FALSE]
  data.frame(effect = names(effects), method = method, covered = limits[, 1L] <= 0 & limits[, 2L] >= 0, width = limits[, 2L] - limits[, 1L],
    row.names = NULL)
}

# `boot_seed`: NULL for no bootstrap; every bootstrap starts from it, so that methods can be added without moving the others.
analyse <- function(fit, boot_seed) {
  results <- lapply(df_methods, function(ddf) judge(confint(fit, method = "Wald", ddf = ddf), paste("Wald,", ddf)))
  results$robust <- judge(confint(fit, method = "Wald", vcov = "CR2"), "Wald, CR2 robust")
  results$profile <- judge(confint(fit, "beta_", method = "profile"), "profile")
  if (!is.null(boot_seed)) {
    boot <- bootstrap(fit, nsim = boot_draws, seed = boot_seed)
    results$percentile <- judge(confint(boot, "beta_", boot.type = "percentile"), "bootstrap, percentile")
    results$basic <- judge(confint(boot, "beta_", boot.type = "basic"), "bootstrap, basic")
    results$bca <- judge(confint(boot, "beta_", boot.type = "bca"), "bootstrap, BCa")
    results$normal <- judge(confint(boot, "beta_", boot.type = "normal"), "bootstrap, normal")
    for (type in c("residual", "cases")) {
      other <- bootstrap(fit, nsim = boot_draws, type = type, seed = boot_seed)
      results[[type]] <- judge(confint(other, "beta_", boot.type = "percentile"), paste0("bootstrap of ", sub("residual", "residuals", type), ", percentile"))
    }
  }
  do.call(rbind, results)
}

run <- function(patients, slope_sd) {
  model <- truth(sample_data(patients), slope_sd)
  outcomes <- simulate(model, nsim = replicates, seed = 1000L + patients)
  started <- proc.time()[["elapsed"]]
  singular <- 0L
  failed <- 0L
  rows <- lapply(seq_len(replicates), function(i) {
    fit <- suppressWarnings(refit(model, outcomes[[i]]))
    singular <<- singular + (fit$core$status == "boundary")
    failed <<- failed + (fit$core$status == "failed")
    suppressWarnings(suppressMessages(analyse(fit, if (i <= booted) i)))
  })
  table <- do.call(rbind, rows)
  key <- interaction(table$effect, table$method, drop = TRUE, lex.order = TRUE)
  pieces <- lapply(split(table, key), function(part) {
    data.frame(patients = patients, slope_sd = slope_sd, effect = part$effect[[1L]], method = part$method[[1L]], replicates = sum(!is.na(part$covered)),
      undefined = sum(is.na(part$covered)), type_1_error = mean(!part$covered, na.rm = TRUE), coverage = mean(part$covered, na.rm = TRUE),
      width = mean(part$width[is.finite(part$width)]))
  })
  cat(sprintf("%3d patients, slope SD %.1f: %d replicates in %.0f s, %d at the boundary, %d failed\n", patients, slope_sd, replicates,
    proc.time()[["elapsed"]] - started, singular, failed))
  out <- do.call(rbind, pieces)
  out$boundary <- singular / replicates
  out
}

cells <- expand.grid(patients = rev(sizes), slope_sd = slope_sds)
options(wbhlm.threads = 1)
done <- parallel::mclapply(seq_len(nrow(cells)), function(k) run(cells$patients[[k]], cells$slope_sd[[k]]), mc.cores = 2L, mc.preschedule = FALSE)
order <- order(match(cells$slope_sd, slope_sds), cells$patients)
table <- do.call(rbind, done[order])
rownames(table) <- NULL
numbers <- c("type_1_error", "coverage", "width", "boundary")
table[numbers] <- lapply(table[numbers], round, digits = 4L)
dir.create("inst/validation", showWarnings = FALSE)
utils::write.csv(table, "inst/validation/coverage.csv", row.names = FALSE)

# The table of the article: per cent rejections at 5 %, by method (rows) and size (columns).
lines <- c("# Type-I error at 5 %, in per cent", "", sprintf(
  "Synthetic data, written by bench/coverage.R: %d replicates of each size (bootstrap: %d, of %d draws), 4 sessions per patient. True effects are zero.",
  replicates, booted, boot_draws))
for (slope_sd in slope_sds) {
  for (effect in names(effects)) {
    part <- table[table$slope_sd == slope_sd & table$effect == effect, ]
    wide <- stats::reshape(part[c("patients", "method", "type_1_error")], idvar = "method", timevar = "patients", direction = "wide")
    cells <- apply(wide[-1L], 1L, function(row) paste(sprintf("%.1f", 100 * row), collapse = " | "))
    lines <- c(lines, "", sprintf("## %s, SD of the slopes %.1f", effect, slope_sd), "",
      paste("| method |", paste(sizes, "patients", collapse = " | "), "|"), paste0("|---|", strrep("---|", length(sizes))),
      paste("|", wide$method, "|", cells, "|"))
  }
}
writeLines(lines, "inst/validation/coverage.md")
