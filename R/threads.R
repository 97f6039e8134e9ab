#' How many threads wbhlm uses
#'
#' Fits are the same bit for bit whatever the number of threads, and two or more threads only pay from about a million rows on.
#'
#' The number is what the argument `threads` of a function asks for, else `getOption("wbhlm.threads")`, else the environment variable `OMP_NUM_THREADS`,
#' else the number of processor cores that the R process may use (its affinity and the limits of a container count). It is never more than the limits that an
#' administrator or a package check sets through the environment variables `OMP_THREAD_LIMIT` and `_R_CHECK_LIMIT_CORES_` (at most two), whoever asks for more.
#'
#' R's own thread waits while the others compute, so that `threads` is the number of cores in use. Threads are started at the first long computation and
#' sleep between computations. It is safe to fit models in forked processes (`parallel::mclapply()`): each process has its own threads; give each a single
#' one (`options(wbhlm.threads = 1)`) when there are as many processes as cores.
#'
#' @param threads `NULL` (the default) to use the option or the default above, or a whole number of at least 1.
#' @return An integer of length 1, at least 1.
#' @section Errors: `hlm_error_data` when the option or the argument is not a whole number of at least 1.
#' @source CRAN Repository Policy: a package check may use two cores at most. OpenMP Application Programming Interface, version 5.2, chapter 21, for the
#'   environment variables.
#' @examples
#' hlm_threads()
#'
#' old <- options(wbhlm.threads = 1)
#' hlm_threads()
#' options(old)
#' @export
hlm_threads <- function(threads = NULL) {
  option <- getOption("wbhlm.threads")
  wanted <- if (!is.null(threads)) {
    check_threads(threads, "threads")
  } else if (!is.null(option)) {
    check_threads(option, "options(wbhlm.threads = )")
  } else {
    min(engine_call(available_cores()), thread_variable("OMP_NUM_THREADS"))
  }
  as.integer(min(wanted, thread_limit()))
}

check_threads <- function(x, where) {
  if (!is.numeric(x) || length(x) != 1 || is.na(x) || x < 1 || x != round(x) || x > 1024) {
    abort_hlm("data", c(
      "The number of threads must be a whole number from 1 to 1024.",
      x = "{.code {where}} is {.val {x}}."
    ))
  }
  as.integer(x)
}

# The first of the numbers in an environment variable of OpenMP (which may list one for each level of nesting); Inf when it holds none.
thread_variable <- function(name) {
  number <- suppressWarnings(as.numeric(sub(",.*", "", Sys.getenv(name))))
  if (is.na(number) || number < 1) Inf else floor(number)
}

# Inf when nothing limits the threads
thread_limit <- function() {
  limit <- thread_variable("OMP_THREAD_LIMIT")
  # R reads this variable the same way: any value but a spelling of "false" limits a check to two cores
  check <- tolower(Sys.getenv("_R_CHECK_LIMIT_CORES_"))
  if (nzchar(check) && !check %in% c("false", "no", "0")) min(limit, 2) else limit
}
