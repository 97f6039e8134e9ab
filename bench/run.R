# Starting the jobs of the benchmark: child processes with a time limit, the Python environment, the load of the machine.

`%||%` <- function(x, y) if (is.null(x) || length(x) == 0L) y else x

# ---- what else the machine was doing

# Processor seconds since the machine was started: of everybody, and of this process with all children that have ended.
processor_seconds <- function() {
  all <- if (file.exists("/proc/stat")) {
    fields <- as.numeric(strsplit(sub("^cpu +", "", readLines("/proc/stat", n = 1L)), " ")[[1L]])
    # user, nice, system, irq, softirq, in ticks of 1/100 s
    sum(fields[c(1:3, 6:7)]) / 100
  } else {
    NA_real_
  }
  c(all = all, own = sum(proc.time()[c(1L, 2L, 4L, 5L)]), clock = as.numeric(Sys.time()))
}

# Processors that others kept busy, on average, since `start`.
others_load <- function(start) {
  spent <- processor_seconds() - start
  max(0, (spent[["all"]] - spent[["own"]]) / max(spent[["clock"]], 0.01))
}

load_average <- function() if (file.exists("/proc/loadavg")) as.numeric(strsplit(readLines("/proc/loadavg"), " ")[[1L]][1:3]) else rep(NA_real_, 3L)

machine_facts <- function() {
  cpu <- if (file.exists("/proc/cpuinfo")) sub("^[^:]*: *", "", grep("^model name", readLines("/proc/cpuinfo"), value = TRUE)[1L])
  memory <- if (file.exists("/proc/meminfo")) as.numeric(gsub("[^0-9]", "", readLines("/proc/meminfo", n = 1L))) / 2^20
  list(
    processor = cpu %||% "unknown processor", cores = parallel::detectCores(), memory_gb = memory %||% NA_real_,
    system = utils::sessionInfo()$running %||% R.version$platform, r = as.character(getRversion()), blas = basename(extSoftVersion()[["BLAS"]])
  )
}

# ---- jobs

# Runs one job; its answer is a list, with `error` when it failed and `over` when it was stopped.
run_job <- function(request, limit, python = NULL) {
  request$answer <- tempfile(fileext = ".json")
  file <- tempfile(fileext = ".json")
  log <- tempfile()
  on.exit(unlink(c(file, log, request$answer)))
  jsonlite::write_json(request, file, auto_unbox = TRUE, digits = NA)
  start <- processor_seconds()
  command <- if (is.null(python)) file.path(R.home("bin"), "Rscript") else python
  arguments <- if (is.null(python)) c("--vanilla", "bench/child.R", file) else c("bench/peers.py", file)
  code <- suppressWarnings(system2(command, shQuote(arguments), stdout = log, stderr = log, timeout = ceiling(limit), env = if (!is.null(python)) no_r))
  answer <- if (file.exists(request$answer)) {
    tryCatch(jsonlite::read_json(request$answer, simplifyVector = TRUE), error = function(e) list(error = "its answer could not be read"))
  } else if (identical(as.integer(code), 124L)) {
    list(over = TRUE)
  } else {
    # killed, for want of memory perhaps, or crashed
    tail <- utils::tail(grep("\\S", readLines(log, warn = FALSE), value = TRUE), 1L)
    list(error = paste0("the process ended with code ", code, if (length(tail)) paste0(": ", tail)))
  }
  answer$others_load <- others_load(start)
  answer
}

# ---- Python

# R's own folders of libraries would make Python load R's OpenSSL and BLAS.
no_r <- "LD_LIBRARY_PATH=''"

python_peers <- c("glmm", "mixedlm-rs", "mixedlm", "lme-python", "gpboost", "statsmodels")

# A Python of at least 3.10, or NULL. WBHLM_BENCH_PYTHON: one that has the packages already.
find_python <- function() {
  for (candidate in c(Sys.getenv("PYTHON"), "python3", paste0("python3.", 14:10), "python")) {
    if (!nzchar(Sys.which(candidate))) next
    check <- suppressWarnings(system2(candidate, c("-c", shQuote("import sys; sys.exit(sys.version_info < (3, 10))")), stdout = FALSE, stderr = FALSE,
      env = no_r))
    if (identical(check, 0L)) {
      return(candidate)
    }
  }
}

# A virtual environment under build/, with every wanted peer that can be had from the index that pip is set up for. Returns its Python, and a word
# for every peer that is missing.
python_environment <- function(wanted, folder = "build/bench-python") {
  given <- Sys.getenv("WBHLM_BENCH_PYTHON")
  if (!length(wanted)) {
    return(list(python = NULL, missing = character()))
  }
  if (nzchar(given)) {
    return(list(python = given, missing = missing_peers(given, wanted, "not installed there")))
  }
  python <- file.path(normalizePath(".", "/"), folder, "bin", "python")
  if (!file.exists(python)) {
    base <- find_python()
    if (is.null(base)) {
      return(list(python = NULL, missing = stats::setNames(rep("no Python >= 3.10", length(wanted)), wanted)))
    }
    cat("Python environment in", folder, "\n")
    made <- suppressWarnings(system2(base, c("-m", "venv", shQuote(folder)), stdout = FALSE, stderr = FALSE, timeout = 120, env = no_r))
    if (made != 0L || !file.exists(python)) {
      unlink(folder, recursive = TRUE)
      return(list(python = NULL, missing = stats::setNames(rep("no virtual environment", length(wanted)), wanted)))
    }
  }
  # one by one: one that cannot be had does not keep the others away
  reasons <- vapply(names(missing_peers(python, wanted, "")), function(peer) {
    log <- tempfile()
    on.exit(unlink(log))
    code <- suppressWarnings(system2(python, c("-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--only-binary", ":all:", peer),
      stdout = log, stderr = log, timeout = 180, env = no_r))
    if (code == 124L) "pip took too long" else substr(utils::tail(c("", grep("ERROR", readLines(log, warn = FALSE), value = TRUE)), 1L), 1L, 100L)
  }, "")
  missing <- missing_peers(python, wanted, "could not be installed")
  why <- reasons[names(missing)]
  missing[nzchar(why)] <- paste0(missing[nzchar(why)], " (", sub("^ERROR: *", "", why[nzchar(why)]), ")")
  list(python = python, missing = missing)
}

# One Python for all of them: starting it takes longer than asking.
missing_peers <- function(python, wanted, word) {
  code <- paste(
    "import sys", "from importlib.metadata import version", "for name in sys.argv[1:]:", "    try:", "        version(name)", "        print(name)",
    "    except Exception:", "        pass", sep = "\n")
  here <- suppressWarnings(system2(python, c("-c", shQuote(code), wanted), stdout = TRUE, stderr = FALSE, env = no_r))
  missing <- setdiff(wanted, here)
  stats::setNames(rep(word, length(missing)), missing)
}
