#' How many threads wbhlm uses
#'
#' Fits are the same bit for bit whatever the number of threads, and two or more threads only pay from about a million rows on.
#'
#' The number is `getOption("wbhlm.threads")` when that is set. Otherwise it is the number of processor cores that the R
#' process may use, and never more than the limits that an administrator or a package check sets through the environment
#' variables `OMP_THREAD_LIMIT` and `_R_CHECK_LIMIT_CORES_`. It is safe to fit models in forked processes (`parallel::mclapply()`): each
#' process has its own threads.
#'
#' @param threads `NULL` (the default) to use the option or the default above, or a whole number of at least 1.
#' @return An integer of length 1, at least 1.
#' @section Errors: `hlm_error_data` when the option or the argument is not a whole number of at least 1.
#' @source CRAN Repository Policy: a package check may use two cores at most.
#' @examples
#' hlm_threads()
#'
#' old <- options(wbhlm.threads = 1)
#' hlm_threads()
#' options(old)
#' @export
hlm_threads <- function(threads = NULL) {
  if (!is.null(threads)) {
    return(check_threads(threads, "threads"))
  }
  option <- getOption("wbhlm.threads")
  if (!is.null(option)) {
    return(check_threads(option, "options(wbhlm.threads = )"))
  }
  as.integer(min(engine_call(available_cores()), thread_limit()))
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

# Inf when nothing limits the threads
thread_limit <- function() {
  limit <- suppressWarnings(as.numeric(Sys.getenv("OMP_THREAD_LIMIT")))
  limit <- if (is.na(limit) || limit < 1) Inf else limit
  # R reads this variable the same way: any value but a spelling of "false" limits a check to two cores
  check <- tolower(Sys.getenv("_R_CHECK_LIMIT_CORES_"))
  if (nzchar(check) && !check %in% c("false", "no", "0")) min(limit, 2) else limit
}
