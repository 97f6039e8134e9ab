# Replicates of all cells of a grid: in this session or shared out among the workers of a plan of 'future', always the same numbers.

# One element per cell: list(beta, se, df (replicates x coefficients and contrasts), theta, sigma, criterion, status, reduced, rows, persons, therapists).
run_cells <- function(cells, settings) {
  seeds <- cell_seeds(settings$seed, length(cells))
  workers <- plan_workers()
  size <- chunk_size(settings$nsim, length(cells), workers)
  starts <- seq.int(0L, settings$nsim - 1L, by = size)
  tasks <- unlist(lapply(seq_along(cells), function(k) {
    lapply(starts, function(first) list(cell = k, first = first, n = min(size, settings$nsim - first), seed = seeds[[k]]))
  }), recursive = FALSE)
  done <- if (is.null(workers)) run_here(tasks, cells, settings) else run_there(tasks, cells, settings)
  place <- vapply(tasks, `[[`, 0L, "cell")
  lapply(seq_along(cells), function(k) join_replicates(done[place == k]))
}

# The seed of a cell depends on its place only, and that of the first one is the seed itself.
cell_seeds <- function(seed, n) {
  if (n == 1L) return(seed)
  local_seed(seed %% .Machine$integer.max)
  c(seed, sample.int(.Machine$integer.max, n - 1L))
}

# Number of workers of the plan; NULL: here, one after the other.
plan_workers <- function() {
  if (!requireNamespace("future", quietly = TRUE) || !requireNamespace("future.apply", quietly = TRUE)) return(NULL)
  if (inherits(future::plan(), c("sequential", "uniprocess"))) return(NULL)
  # a batch queue has no limit
  min(future::nbrOfWorkers(), 200)
}

# Chunks big enough to be worth the way to a worker, small enough to keep all of them busy.
chunk_size <- function(nsim, cells, workers) {
  if (is.null(workers)) return(min(nsim, 5000L))
  as.integer(min(nsim, max(50L, ceiling(nsim * cells / (4 * workers)))))
}

run_here <- function(tasks, cells, settings) {
  total <- sum(vapply(tasks, `[[`, 0L, "n"))
  step <- local_progress(total, "Simulating")
  before <- 0L
  lapply(tasks, function(task) {
    value <- run_chunk(cells[[task$cell]], task, settings, hlm_threads(settings$threads), progress_callback(step, before))
    before <<- before + task$n
    step(before)
    value
  })
}

run_there <- function(tasks, cells, settings) {
  step <- power_signals(length(tasks))
  threads <- settings$threads %||% 1L
  jobs <- lapply(tasks, function(task) list(task = task, cell = cells[[task$cell]]))
  small <- settings["ddf"]
  future.apply::future_lapply(jobs, function(job) {
    value <- run_chunk(job$cell, job$task, small, threads, NULL)
    step()
    value
  }, future.packages = "wbhlm", future.seed = NULL)
}

# A signal after each task, which comes back from the worker, where 'progressr' listens.
power_signals <- function(n, envir = parent.frame()) {
  if (isFALSE(getOption("wbhlm.progress")) || !progressr_listens()) return(function() NULL)
  signal <- progressr::progressor(steps = n, envir = envir)
  function() signal()
}

run_chunk <- function(cell, task, settings, threads, progress) {
  options <- list(
    nsim = task$n, seed = task$seed, first = task$first, threads = threads, progress = progress, max_iter = default_control$max_iter,
    tol = default_control$tol, tests = core_tests(settings$ddf), contrasts = lapply(seq_len(NROW(cell$contrasts)), function(i) as.double(cell$contrasts[i, ]))
  )
  engine_cell(cell, options)
}

join_replicates <- function(pieces) {
  if (length(pieces) == 1L) return(pieces[[1L]])
  names <- names(pieces[[1L]])
  joined <- lapply(names, function(name) {
    parts <- lapply(pieces, `[[`, name)
    if (is.matrix(parts[[1L]])) return(do.call(rbind, parts))
    if (name == "reduced") {
      return(lapply(seq_along(parts[[1L]]), function(k) {
        list(criterion = unlist(lapply(parts, function(p) p[[k]]$criterion)), status = unlist(lapply(parts, function(p) p[[k]]$status)))
      }))
    }
    unlist(parts)
  })
  stats::setNames(joined, names)
}
