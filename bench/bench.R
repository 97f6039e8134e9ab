# `make bench`: whole hlm() calls against lme4, nlme, glmmTMB and the Python packages for mixed models, on the same data in the same run.
# Run from the repository root with the package installed:
#   Rscript bench/bench.R [rows=96x4,646x6,...,InstEval] [models=random-intercept,...] [tools=lme4,glmm,...] [extras=core,growth|none]
# (the same words may stand in the environment variable WBHLM_BENCH). Without words: everything, under 25 minutes, written to bench/results/ under
# today's date and to inst/benchmarks/, from which the article "Benchmarks" is made. With words: only that, written to build/bench/.
# Every fit runs in a process of its own; one that fails or takes too long never stops the run. WBHLM_BENCH_BUDGET: seconds for one program and row (60;
# lme4, the yardstick, two and a half times as many). WBHLM_BENCH_MINUTES: for everything (22). WBHLM_BENCH_PYTHON: a Python that has the packages.

source("bench/data.R")
source("bench/run.R")
source("bench/report.R")

# ---- what is asked for

all_sizes <- data.frame(
  label = c("96x4", "646x6", "10000x10", "InstEval", "100000x10", "1000000x10"),
  patients = c(96, 646, 1e4, NA, 1e5, 1e6), sessions = c(4, 6, 10, NA, 10, 10)
)
# the fast ones first: when the time is over, little is lost
all_tools <- c("hlm, grammar", "hlm, columns", "glmm", "mixedlm-rs", "lme4", "mixedlm", "lme-python", "gpboost", "statsmodels", "glmmTMB", "nlme")
our_tools <- all_tools[1:2]

words <- c(strsplit(Sys.getenv("WBHLM_BENCH"), " ")[[1L]], commandArgs(trailingOnly = TRUE))
words <- words[nzchar(words)]
chosen <- function(key, all) {
  word <- utils::tail(grep(paste0("^", key, "="), words, value = TRUE), 1L)
  if (!length(word)) {
    return(all)
  }
  asked <- trimws(strsplit(sub("^[^=]*=", "", word), ",")[[1L]])
  unknown <- setdiff(asked, c(all, "none"))
  if (length(unknown)) stop(key, "= takes ", paste(all, collapse = ", "), "; not ", paste(unknown, collapse = ", "), call. = FALSE)
  intersect(all, asked)
}
known <- grepl("^(rows|models|tools|extras)=", words)
if (!all(known)) stop("Not understood: ", paste(words[!known], collapse = " "), call. = FALSE)
sizes <- all_sizes[all_sizes$label %in% chosen("rows", all_sizes$label), ]
# random-slope and so on: words hold no blanks
models <- gsub("-", " ", chosen("models", gsub(" ", "-", c(names(bench_models), "crossed"))))
tools <- chosen("tools", c("hlm", all_tools[-(1:2)]))
tools <- intersect(all_tools, c(our_tools, tools))
extras <- chosen("extras", c("core", "growth"))
complete <- !length(words)

number_from <- function(variable, default) {
  value <- suppressWarnings(as.numeric(Sys.getenv(variable)))
  if (is.na(value)) default else value
}
budget <- number_from("WBHLM_BENCH_BUDGET", 60)
# what follows the peers of the largest data (our criteria, the report) takes a minute or two
deadline <- as.numeric(Sys.time()) + 60 * number_from("WBHLM_BENCH_MINUTES", 22)
time_left <- function() deadline - as.numeric(Sys.time())
budget_of <- function(tool) if (tool == "lme4") 2.5 * budget else budget

# ---- who cannot fit what, known beforehand (whatever else fails says so itself)

cannot <- function(tool, model) {
  if (model == "crossed" && tool == "nlme") "no crossed factors of this size"
}

# ---- one row of the table

skipped <- function(status, note, expected = NA_real_) list(status = status, note = note, expected_s = expected)

# Seconds to expect, from what the same program took for the same model on fewer rows.
expect_seconds <- function(done, tool, model, rows) {
  # small data say little about large ones
  before <- Filter(function(row) row$tool == tool && row$model == model && row$rows < rows && row$rows >= 1e4, done)
  if (!length(before)) {
    return(NA_real_)
  }
  before <- before[[which.max(vapply(before, function(row) row$rows, 0))]]
  (if (before$status == "ok") before$q10_s else before$expected_s %||% NA_real_) * rows / before$rows
}

fit_one <- function(tool, model, folder, rows, done, environment) {
  word <- if (tool %in% names(environment$missing)) environment$missing[[tool]] else cannot(tool, model)
  if (!is.null(word)) {
    return(skipped(if (tool %in% names(environment$missing)) "not here" else "cannot", word))
  }
  if (model == "crossed" && tool == "hlm, grammar") {
    return(skipped("same call", "nothing to split: see columns given"))
  }
  allowed <- budget_of(tool)
  expected <- expect_seconds(done, tool, model, rows)
  # our own calls are never left out: they are short
  mine <- tool %in% our_tools
  if (!mine && isTRUE(expected > allowed)) {
    return(skipped("over budget", sprintf("not tried: about %s s expected, %.0f s allowed", significant(expected), allowed), expected))
  }
  if (!mine && time_left() < max(5, 1.5 * expected, na.rm = TRUE)) {
    return(skipped("no time", "the time for the whole run was over", expected))
  }
  formulas <- if (model == "crossed") crossed_model else bench_models[[model]]
  formula <- if (tool == "hlm, grammar") formulas$grammar else formulas$columns
  terms <- bench_terms[[model]]
  terms <- list(fixed = I(terms$fixed), random = lapply(terms$random, I))
  request <- list(job = "fit", tool = tool, formula = paste(deparse(formula, 500L), collapse = " "), terms = terms, folder = folder,
    # warm calls: ours are short, so that even on large data there are several
    seconds = if (mine) 3 else if (rows < 1e4) 1 else 2, runs = 301, once_over = if (mine) 10 else allowed / 6)
  # starting, reading the data and repeating come on top of the fit
  limit <- (if (mine) 150 else allowed) + 15 + 2e-6 * rows
  if (!mine) limit <- min(limit, time_left())
  answer <- run_job(request, limit, if (tool %in% python_peers) environment$python)
  shape_answer(answer, allowed, expected, limit)
}

shape_answer <- function(answer, allowed, expected, limit) {
  if (!is.null(answer$cannot)) {
    return(skipped("cannot", answer$cannot))
  }
  if (!is.null(answer$over)) {
    lower <- max(expected, allowed, na.rm = TRUE)
    return(c(skipped("over budget", sprintf("stopped after %.0f s", limit), lower), others_load = answer$others_load))
  }
  if (!is.null(answer$error)) {
    return(c(skipped("failed", one_line(answer$error)), others_load = answer$others_load))
  }
  times <- answer$times
  list(
    status = "ok", note = answer$note %||% "", version = answer$version, call = answer$call, method = answer$method, runs = length(times),
    best_s = min(times), q10_s = unname(stats::quantile(times, 0.1)), median_s = stats::median(times), first_s = answer$first_s, cpu_s = answer$cpu_s,
    data_mb = answer$data_mb, before_mb = answer$before_mb %||% NA_real_, peak_mb = answer$peak_mb %||% NA_real_,
    fit_mb = (answer$peak_mb %||% NA_real_) - (answer$before_mb %||% NA_real_),
    peak_to_data = if (is.null(answer$empty_mb)) NA_real_ else (answer$peak_mb - answer$empty_mb) / answer$data_mb,
    others_load = answer$others_load, estimates = answer$estimates
  )
}

one_line <- function(text) substr(gsub("\\s+", " ", text), 1L, 140L)

# Criteria at all estimates of one row, by our core: -2 log (restricted) likelihood, beta and sigma at their best given theta.
judge <- function(rows, model, folder) {
  ok <- vapply(rows, function(row) row$status == "ok", NA)
  if (!any(ok)) {
    return(rows)
  }
  claims <- tempfile(fileext = ".json")
  on.exit(unlink(claims))
  jsonlite::write_json(lapply(rows[ok], function(row) list(method = row$method, estimates = row$estimates)), claims, auto_unbox = TRUE, digits = NA)
  formulas <- if (model == "crossed") crossed_model else bench_models[[model]]
  request <- list(job = "judge", formula = paste(deparse(formulas$columns, 500L), collapse = " "), folder = folder, claims = claims)
  answer <- run_job(request, 120)
  if (is.null(answer$criteria)) {
    cat("  criteria could not be computed:", answer$error %||% "too slow", "\n")
    return(rows)
  }
  criteria <- as.numeric(answer$criteria$criterion)
  own <- as.numeric(answer$criteria$own)
  methods <- vapply(rows[ok], function(row) row$method, "")
  for (k in seq_along(criteria)) {
    i <- which(ok)[[k]]
    best <- min(criteria[methods == methods[[k]]], answer$ours[[methods[[k]]]]$criterion)
    rows[[i]]$criterion <- criteria[[k]]
    rows[[i]]$criterion_gap <- criteria[[k]] - best
    rows[[i]]$own_difference <- own[[k]] - criteria[[k]]
  }
  rows
}

say <- function(row) {
  what <- if (row$status == "ok") {
    sprintf("%10s s (median %s, %d runs), fit %s MB", significant(row$q10_s), significant(row$median_s), row$runs, significant(row$fit_mb, 2L))
  } else {
    paste0(row$status, ": ", row$note)
  }
  cat(sprintf("%-11s %-17s %-13s %s\n", row$data, row$model, row$tool, what))
}

# ---- the run

started <- list(time = Sys.time(), load = load_average(), processors = processor_seconds())
environment <- python_environment(intersect(tools, python_peers))
for (peer in intersect(tools, c("lme4", "nlme", "glmmTMB"))) {
  if (!requireNamespace(peer, quietly = TRUE)) environment$missing[[peer]] <- "not installed"
}
started$after_setup <- processor_seconds()
if (isTRUE(started$load[[1L]] > 0.5)) {
  cat(sprintf("Warning: the load average is %.2f before the start; the figures will be noisy.\n", started$load[[1L]]))
}

work_folder <- tempfile("wbhlm-bench-")
# child processes must see the same packages
Sys.setenv(R_LIBS = paste(.libPaths(), collapse = .Platform$path.sep))
growth <- if ("growth" %in% extras) {
  run_job(list(job = "growth", fixed_patients = 1000, sessions = c(10, 32, 100, 320, 1000), fixed_rows = 1e6,
    patients = c(100, 500, 1000, 5000, 10000, 50000, 100000, 250000)), 240)
}
growth <- if (is.data.frame(growth)) growth[c("vary", "model", "rows", "patients", "seconds")]
rows <- list()
core <- list()
for (k in seq_len(nrow(sizes))) {
  size <- sizes[k, ]
  real <- size$label == "InstEval"
  here <- if (real) intersect(models, "crossed") else setdiff(models, "crossed")
  if (!length(here) || real && !requireNamespace("lme4", quietly = TRUE)) next
  folder <- file.path(work_folder, size$label)
  data <- if (real) lme4::InstEval else bench_data(size$patients, size$sessions)
  write_columns(data, folder)
  n <- nrow(data)
  rm(data)
  invisible(gc())
  if ("core" %in% extras && n >= 1e6) {
    core <- c(core, lapply(here, function(model) {
      request <- list(job = "core", formula = paste(deparse(bench_models[[model]]$columns, 500L), collapse = " "), folder = folder)
      c(list(rows = n, model = model), run_job(request, 120))
    }))
  }
  # on the largest data tool by tool, the fast ones first
  plan <- expand.grid(model = here, tool = tools, stringsAsFactors = FALSE)
  if (n < 5e6) plan <- plan[order(match(plan$model, here)), ]
  cell <- lapply(seq_len(nrow(plan)), function(i) {
    row <- fit_one(plan$tool[[i]], plan$model[[i]], folder, n, rows, environment)
    row <- c(list(data = size$label, rows = n, patients = size$patients, model = plan$model[[i]], tool = plan$tool[[i]]), row)
    say(row)
    row
  })
  for (model in here) {
    of_model <- plan$model == model
    cell[of_model] <- judge(cell[of_model], model, folder)
  }
  rows <- c(rows, cell)
  unlink(folder, recursive = TRUE)
}

unlink(work_folder, recursive = TRUE)

run <- list(
  date = format(started$time, "%Y-%m-%d"), minutes = as.numeric(difftime(Sys.time(), started$time, units = "mins")), budget = budget,
  machine = machine_facts(), load_before = started$load, load_after = load_average(), others_load = others_load(started$after_setup),
  threads = wbhlm::hlm_threads(), version = as.character(utils::packageVersion("wbhlm"))
)
table <- as_table(rows)
write_report(table, core, growth, run, folder = if (complete) "bench/results" else "build/bench", ship = if (complete) "inst/benchmarks")

ours <- table[table$tool %in% our_tools & table$status == "ok", ]
late <- ours[!is.na(ours$criterion_gap) & ours$criterion_gap > pmax(1e-6, 1e-9 * abs(ours$criterion)), ]
if (nrow(late)) {
  cat("The criterion was not reached:", paste(late$data, late$model, late$tool, signif(late$criterion_gap, 2), collapse = "; "), "\n")
  quit(status = 1L)
}
