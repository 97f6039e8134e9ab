# New outcomes drawn from a fitted model.

#' Simulate outcomes from a fitted model
#'
#' Draws new outcomes for the analysed rows. By default new persons are drawn too (their random effects come from the
#' estimated distribution); `re.form = NULL` keeps the persons as they are and draws only the residuals. With a residual structure (argument
#' `residual` of [hlm()]) residuals are drawn with its correlations and variances.
#'
#' @param object A fitted model of class `hlm`.
#' @param nsim Number of data sets to draw.
#' @param seed A seed for the random number generator; the generator's state is put back afterwards. Without a seed the
#'   session's own stream is used.
#' @param re.form Random effects to keep at their estimates: `NA` or `~0` (default) none, `NULL` all, a formula some.
#' @param ... Not used.
#' @return A data frame with columns `sim_1`, `sim_2`, ..., one row per analysed row (or per row of the data, with `NA`,
#'   after `na.action = na.exclude`) and the generator's state as attribute `seed`. Feed a column to [refit()].
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
  kept <- random_choice(object, re.form)
  mean <- fixed_predictor(object) + random_predictor_chosen(object, kept)
  scale <- rep_len(object$core$sigma / sqrt(design_weights(object$design)), length(mean))
  draws <- lapply(seq_len(nsim), function(i) {
    value <- mean + draw_random(object, kept) + draw_residuals(object, scale)
    as.double(stats::naresid(object$na.action, value))
  })
  names(draws) <- paste0("sim_", seq_along(draws))
  rows <- stats::naresid(object$na.action, stats::setNames(mean, row_names(object)))
  structure(draws, row.names = names(rows), class = "data.frame", seed = state)
}

# Independent, or with the correlations and variances of the residual structure.
draw_residuals <- function(object, scale) {
  if (!has_residual_structure(object)) return(stats::rnorm(length(scale), sd = scale))
  object$core$sigma * whiten_rows(object, stats::rnorm(length(scale)), forward = FALSE)
}

# Z b with b drawn from N(0, sigma^2 Lambda Lambda') for the effects that are not kept.
draw_random <- function(object, kept) {
  eta <- numeric(n_rows(object))
  for (t in seq_along(object$design$terms)) {
    term <- object$design$terms[[t]]
    free <- setdiff(seq_along(term$columns), kept[[t]])
    if (!length(free)) next
    group <- object$design$groups[[term$group]]
    u <- matrix(stats::rnorm(length(group$levels) * length(term$columns)), length(group$levels))
    b <- object$core$sigma * u %*% t(term_lambda(object, t))
    for (j in free) eta <- eta + b[group$codes, j] * design_column(object$design, term$columns[[j]])
  }
  eta
}
