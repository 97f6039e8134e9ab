# The data of planned studies.

#' Data of a planned study
#'
#' Draws the data that a design of [hlm_design()] would give, with dropout and missed sessions, to look at them, to try out an analysis that [power_hlm()]
#' does not have, or to teach. Replicate `i` is the study that replicate `i` of [power_hlm()] with the same seed analyses (without `vary`).
#'
#' @param object A design made by [hlm_design()].
#' @param nsim Number of studies.
#' @param seed A whole number from which all random numbers follow; by default drawn from R's generator.
#' @param ... Not used.
#' @return A data frame with one row per study, patient and planned session: `replicate`, `patient`, `therapist` (with therapists), `session` (0 for
#'   the first, as in the analysis), `x`, `y` (`NA` where the patient was not there), `moderator` (with one). The data are synthetic.
#' @section Errors: `hlm_error_data` when `nsim` or `seed` is no such number.
#' @seealso [hlm_design()], [power_hlm()]
#' @export
#' @examples
#' design <- hlm_design(40, 6, within = -0.2, between = -0.3, dropout = "mcar 20% by session 6")
#' study <- simulate(design, seed = 1)
#' hlm(y ~ wb(x) + (1 | patient), study)
simulate.hlm_study <- function(object, nsim = 1, seed = NULL, ...) {
  check_dots(...)
  nsim <- check_nsim(nsim, 1L)
  seed <- check_boot_seed(seed)
  study <- study_core(object)
  pieces <- lapply(seq_len(nsim), function(i) cbind(replicate = i, study_rows(study, seed, i)))
  do.call(rbind, pieces)
}

study_rows <- function(study, seed, replicate) {
  data <- engine_study_data(study, seed, replicate)
  data$session <- data$time
  data[intersect(c("patient", "therapist", "session", "x", "y", "moderator"), names(data))]
}
