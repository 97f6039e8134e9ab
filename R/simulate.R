# New outcomes drawn from a fitted model.

#' Simulate outcomes from a fitted model
#'
#' Draws new outcomes for the analysed rows. By default new persons are drawn too (their random effects come from the
#' estimated distribution); `re.form = NULL` keeps the persons as they are and draws only the residuals. With a residual structure (argument
#' `residual` of [hlm()]) residuals are drawn with its correlations and variances.
#'
#' Every data set has a stream of random numbers of its own, all of them from one seed, which R's generator gives: after the same [set.seed()]
#' the outcomes are the same whatever the number of threads, and the first ones do not depend on how many follow.
#'
#' @param object A fitted model of class `hlm`.
#' @param nsim Number of data sets to draw.
#' @param seed A seed for the random number generator; the generator's state is put back afterwards. Without a seed the
#'   session's own stream is used.
#' @param re.form Random effects to keep at their estimates: `NA` or `~0` (default) none, `NULL` all, a formula some.
#' @param ... Not used.
#' @return A data frame with columns `sim_1`, `sim_2`, ..., one row per analysed row (or per row of the data, with `NA`,
#'   after `na.action = na.exclude`) and the generator's state as attribute `seed`. Feed a column to [refit()], or all of them to [refit_many()].
#' @section Errors: `hlm_error_data` when `nsim` is not a whole number of at least 1.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' y <- simulate(fit, nsim = 2, seed = 1)
#' fixef(refit(fit, y$sim_1))
#' @importFrom stats simulate
#' @export
simulate.hlm <- function(object, nsim = 1, seed = NULL, re.form = NA, ...) {
  check_dots(...)
  if (!is.numeric(nsim) || length(nsim) != 1L || !isTRUE(nsim >= 1) || nsim != round(nsim)) {
    abort_hlm("data", "{.arg nsim} must be a whole number of at least 1.")
  }
  check_session_seed(seed)
  if (!exists(".Random.seed", envir = globalenv(), inherits = FALSE)) stats::runif(1L)
  state <- get(".Random.seed", envir = globalenv())
  if (!is.null(seed)) {
    before <- state
    on.exit(assign(".Random.seed", before, envir = globalenv()))
    set.seed(seed)
    state <- structure(seed, kind = as.list(RNGkind()))
  }
  from <- with_effects_kept(object, random_choice(object, re.form))
  options <- list(type = "parametric", nsim = nsim, seed = check_boot_seed(NULL), threads = engine_threads(from$design))
  outcomes <- call_progress(nsim, "Simulation", function(progress) {
    engine_bootstrap_samples(known_design(from), isTRUE(from$REML), from$core, c(options, list(progress = progress)), seq_len(nsim))
  })
  draws <- lapply(outcomes, function(value) as.double(stats::naresid(object$na.action, value)))
  names(draws) <- paste0("sim_", seq_along(draws))
  rows <- stats::naresid(object$na.action, stats::setNames(object$design$y, row_names(object)))
  structure(draws, row.names = names(rows), class = "data.frame", seed = state)
}

# The fit whose random effects `kept` (columns by term) are part of the known linear predictor instead of random: their rows of Lambda are zero,
# which leaves the distribution of the others as it is.
with_effects_kept <- function(fit, kept) {
  if (!any(lengths(kept))) return(fit)
  fit$design$offset <- (fit$design$offset %||% 0) + as.double(random_predictor_chosen(fit, kept))
  map <- theta_map(fit$design)
  for (t in seq_along(kept)) fit$core$theta[map$term == t & map$row %in% kept[[t]]] <- 0
  fit
}
