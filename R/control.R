#' Settings of a fit
#'
#' @param means Which rows define a person's own mean (or trend) of a variable: `"analysis"` (default), the rows that
#'   enter the model; or `"available"`, every row of the data (after `subset`) in which the variable is observed, even
#'   if another variable of the model is missing there.
#' @param weighting How persons enter the grand mean and the means of higher levels (therapists, clinics):
#'   `"persons"` (default), each person counts once; or `"rows"`, each person counts as often as it has rows.
#' @param max_iter Largest number of iterations of the optimiser.
#' @param tol The optimiser stops when the expected further decrease of the criterion (the Newton decrement, free of
#'   the units of the data) is below `tol`.
#' @param threads Number of threads; with `NULL` (default) small fits use one and large ones [hlm_threads()]. The result does
#'   not depend on it.
#'
#' @return A list of class `hlm_control`.
#' @section Errors: `hlm_error_design` when an argument is out of its range.
#' @seealso [hlm()], [disaggregate()]
#' @export
#' @examples
#' hlm_control(means = "available")
hlm_control <- function(means = c("analysis", "available"),
                        weighting = c("persons", "rows"),
                        max_iter = 200L,
                        tol = 1e-10,
                        threads = NULL) {
  means <- check_choice(means, c("analysis", "available"), "means")
  weighting <- check_choice(weighting, c("persons", "rows"), "weighting")
  check_count(max_iter, "max_iter", .Machine$integer.max)
  if (!is_number(tol) || tol <= 0) {
    abort_hlm("design", "{.arg tol} must be a positive number, not {.val {shown_value(tol)}}.")
  }
  if (!is.null(threads)) check_count(threads, "threads", 1024)
  control <- list(
    max_iter = as.integer(max_iter),
    tol = as.double(tol),
    threads = if (is.null(threads)) NULL else as.integer(threads),
    start = NULL,
    means = means,
    weighting = weighting
  )
  class(control) <- "hlm_control"
  control
}

check_count <- function(value, name, largest) {
  if (!is_number(value) || value < 1 || value != round(value) || value > largest) {
    largest <- format(largest, scientific = FALSE)
    abort_hlm("design", "{.arg {name}} must be a whole number from 1 to {largest}, not {.val {shown_value(value)}}.")
  }
}

# A value for a message; of what is no plain vector, its class.
shown_value <- function(value) if (is.atomic(value)) value else class(value)[1L]

# The control of hlm() as the engine wants it; `start` is an argument of hlm().
resolve_control <- function(control, start) {
  if (!inherits(control, "hlm_control")) {
    abort_hlm("design", c(
      "{.arg control} must come from {.fn hlm_control}.",
      i = "For example {.code control = hlm_control(means = \"available\")}."
    ))
  }
  if (!is.null(start)) {
    if (is.list(start)) start <- start$theta
    if (!is.numeric(start) || !all(is.finite(start))) {
      abort_hlm("design", "{.arg start} must be a numeric vector {.field theta} of finite values.")
    }
    control$start <- as.double(start)
  }
  control
}

# What hlm() uses when nothing is given.
default_control <- hlm_control()
