# Progress of long computations: through 'progressr' when the user listens to it, else a bar of 'cli', never both.

#' Progress of long computations, and how to stop them
#'
#' What takes longer than two seconds shows how far it is.
#'
#' * **Progress through 'progressr'**, when you ask for it: `progressr::with_progress(bootstrap(fit))`, or `progressr::handlers(global = TRUE)` once per
#'   session. Then the handlers of your choice show it, also in scripts, in R Markdown and in Shiny.
#' * **A bar of 'cli'** otherwise, in interactive sessions, once two seconds have gone by (`options(cli.progress_show_after = )`).
#' * **Nothing** in scripts, in R Markdown and in tests, unless `options(wbhlm.progress = TRUE)` asks for the bar. `options(wbhlm.progress = FALSE)` turns off
#'   all progress.
#'
#' A function that calls others shows one progress, its own. What is fast, which is most, shows nothing and is not slowed down.
#'
#' @section Stopping:
#' Ctrl-C, Esc, the stop button, [setTimeLimit()] and `R.utils::withTimeout()` end a computation within a fraction of a second, in compiled code, too. The
#' session is as before: nothing half-done is kept, threads are free again, the next call gives the same numbers as in a new session. Conditions arrive as
#' from any R code: an interrupt has class `interrupt`, the end of a time limit is R's own error. With a `seed` the state of R's random numbers is
#' put back; without one (`seed = NULL`) it is where the stopped computation left it, so call [set.seed()] before you start again.
#'
#' @section Threads:
#' See [hlm_threads()].
#'
#' @name hlm_progress
#' @seealso [bootstrap()], [confint.hlm()], [influence.hlm()], [compare_disaggregation()]
#' @source Bengtsson (2023), *progressr: An Inclusive, Unifying API for Progress Updates*, for who decides how progress is shown.
#' @examplesIf requireNamespace("progressr", quietly = TRUE)
#' fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
#' progressr::with_progress(boot <- bootstrap(fit, nsim = 200, seed = 1))
NULL

# Whether a computation that shows its progress is running: what it calls stays silent.
progress_state <- new.env(parent = emptyenv())
progress_state$busy <- FALSE

# Seconds between two signs of progress: more often nobody can read them.
progress_interval <- 0.05

# Rows from which a single pass (a fit, a covariance matrix) may take seconds.
progress_rows <- 20000L

# A function that is told how many of `total` steps are done. It shows them until the calling function ends, however that ends. With `when` FALSE, when nobody
# looks on or when an outer computation shows its own progress, it does nothing.
local_progress <- function(total, what, when = TRUE, frame = parent.frame()) {
  if (!when || total < 1 || progress_state$busy) return(silent_progress)
  show <- progress_channel()
  if (is.null(show)) return(silent_progress)
  progress_state$busy <- TRUE
  do.call(on.exit, list(as.call(list(end_progress)), add = TRUE), envir = frame)
  show <- show(total, what, frame)
  last <- proc.time()[[3L]]
  # loops of many fast steps may call this after each
  function(done) {
    now <- proc.time()[[3L]]
    if (now - last < progress_interval && done < total) return(invisible())
    last <<- now
    show(done)
  }
}

silent_progress <- function(done) invisible()

end_progress <- function() progress_state$busy <- FALSE

# Computes without showing progress: for what belongs to a computation that shows its own later.
without_own_progress <- function(code) {
  before <- progress_state$busy
  on.exit(progress_state$busy <- before)
  progress_state$busy <- TRUE
  code
}

# The value of `call(callback)`, a call of compiled code that counts `total` steps and hands `callback` on.
call_progress <- function(total, what, call, when = TRUE) {
  step <- local_progress(total, what, when)
  value <- call(progress_callback(step))
  step(total)
  value
}

# What the compiled code calls at each poll; NULL saves it the call.
progress_callback <- function(step, offset = 0L) {
  if (identical(step, silent_progress)) return(NULL)
  if (offset == 0L) step else function(done) step(offset + done)
}

# How to show it: progressr_steps, cli_steps, or NULL for nobody.
progress_channel <- function() {
  wanted <- getOption("wbhlm.progress")
  if (isFALSE(wanted)) return(NULL)
  if (progressr_listens()) return(progressr_steps)
  if (isTRUE(wanted) || rlang::is_interactive()) cli_steps
}

# with_progress(), without_progress() and a user's own withCallingHandlers(progression = ) are on the stack; a global handler is asked for. Nobody can have
# called any of them while 'progressr' is not loaded.
progressr_listens <- function() {
  if (!isNamespaceLoaded("progressr")) return(FALSE)
  named <- vapply(sys.calls(), function(call) "progression" %in% names(call), NA)
  any(named) || isTRUE(progressr::handlers(global = NA))
}

progressr_steps <- function(total, what, frame) {
  signal <- progressr::progressor(steps = total, message = what, envir = frame)
  shown <- 0L
  function(done) {
    more <- min(done, total) - shown
    if (more <= 0L) return(invisible())
    shown <<- shown + more
    signal(amount = more)
    invisible()
  }
}

# 'cli' waits two seconds before it shows a bar, and then draws a few times a second, however often it is told. A bar that cannot be drawn must not end the
# computation.
cli_steps <- function(total, what, frame) {
  id <- cli::cli_progress_bar(what, total = total, .envir = frame)
  function(done) {
    tryCatch(cli::cli_progress_update(set = min(done, total), id = id, .envir = frame), error = function(cnd) NULL)
    invisible()
  }
}

# lapply() that shows how far it is.
lapply_progress <- function(x, f, what, when = TRUE) {
  step <- local_progress(length(x), what, when)
  done <- 0L
  lapply(x, function(one) {
    value <- f(one)
    done <<- done + 1L
    step(done)
    value
  })
}
