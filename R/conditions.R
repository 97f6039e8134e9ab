#' Conditions raised by wbhlm
#'
#' Every error, warning and message of the package carries a class, so that scripts can react to it with
#' [tryCatch()] or silence it with [suppressWarnings()] / [suppressMessages()] and their `classes` argument.
#'
#' * errors: `hlm_error_<kind>` and `hlm_error`, where `<kind>` is one of `formula`, `data`, `design`,
#'   `covariance`, `numerical`, `internal`;
#' * warnings: `hlm_warning_<kind>` and `hlm_warning`;
#' * messages: `hlm_message_<kind>` and `hlm_message`.
#'
#' @name hlm_conditions
#' @examples
#' d <- data.frame(y = c("a", "b"), g = 1:2)
#' tryCatch(
#'   hlm(y ~ 1 + (1 | g), data = d),
#'   hlm_error_data = function(cnd) message("a problem of the data: ", conditionMessage(cnd))
#' )
NULL

# The call is left out on purpose: the user called hlm(), and the name of an inner function tells a clinician nothing.
abort_hlm <- function(kind, message, ..., envir = parent.frame()) {
  cli::cli_abort(
    message,
    ...,
    class = c(paste0("hlm_error_", kind), "hlm_error"),
    call = NULL,
    .envir = envir
  )
}

warn_hlm <- function(kind, message, ..., envir = parent.frame()) {
  cli::cli_warn(
    message,
    ...,
    class = c(paste0("hlm_warning_", kind), "hlm_warning"),
    call = NULL,
    .envir = envir
  )
}

inform_hlm <- function(kind, message, ..., envir = parent.frame()) {
  cli::cli_inform(
    message,
    ...,
    class = c(paste0("hlm_message_", kind), "hlm_message"),
    call = NULL,
    .envir = envir
  )
}

# Names of persons, rows, ... for a message: the first few, then how many more.
show_some <- function(x, max = 5L) {
  x <- as.character(x)
  shown <- paste(utils::head(x, max), collapse = ", ")
  if (length(x) > max) {
    shown <- paste0(shown, ", ... (", length(x), " in all)")
  }
  shown
}
