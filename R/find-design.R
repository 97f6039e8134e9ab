# The cheapest design that reaches a power: a coarse grid, a smooth curve through it, and confirmation with more replicates.

#' Find the smallest design with enough power
#'
#' How many patients, how many sessions? Simulates a coarse grid of sizes, smooths the noisy shares by a probit curve, reads off where the target is reached
#' at the lowest cost, and confirms the candidates with many replicates.
#'
#' @section How it searches:
#' Power of a test grows like \eqn{\Phi(c \sqrt{n} - z)} with the number n of patients, where c depends on sessions and therapists. The shares of the grid are
#' therefore smoothed by a probit regression on \eqn{\sqrt{n}} and its products with the logarithm of the number of sessions (and its square) and of therapists,
#' never falling in n. For every number of sessions (and therapists) the smallest n with the target is read off; the cheapest candidates are simulated with
#' `confirm` replicates; where these stay below the target, n goes up; the curve is fitted again with all results, until the cheapest design has been confirmed.
#'
#' A share has Monte-Carlo error, so that designs of nearly the same size cannot be told apart: `design` reaches the target in its own `confirm` replicates,
#' and the result shows the numbers of patients at which the curve is compatible with the target (`n_lower` to `n_upper`).
#'
#' @param design A design of [hlm_design()]. Its own sizes are kept for what is not searched.
#' @param effect The effect that must be found: `"within"`, `"between"`, `"interaction"`, `"moderation"`, ... (column `effect` of [power_hlm()]'s table, or
#'   its `term`). Several: all of them must reach the target, each by itself.
#' @param power The target.
#' @param n_patients,n_sessions,n_therapists Where to search: `c(from, to)`, or the values that are possible (three or more, or one). `NULL` for
#'   `n_sessions` and `n_therapists`: as in the design.
#' @param cost A function of any of `n_patients`, `n_sessions`, `n_therapists`: what a design costs, in any unit. By default the number of sessions held,
#'   `n_patients * n_sessions`.
#' @param nsim,confirm Replicates per design of the coarse grid and for confirmation.
#' @param alpha,ddf,seed,threads As in [power_hlm()]; plans of 'future' are used as there.
#' @param x The result.
#' @param ... Not used.
#' @return An object of class `hlm_design_search`, a list: `design` (the cheapest design, of class `hlm_study`; `NULL` if none reaches the target),
#'   `candidates` (data frame, cheapest first: sizes, `cost`, `power` with its interval, `n_lower`, `n_upper`, `reached`), `grid` (all that was simulated:
#'   sizes, effect, `nsim`, `significant`, `power`), `curve` (smoothed power over the numbers of patients), `effect`, `target`, `message`.
#' @section Errors: `hlm_error_data` for an unknown effect, one whose true value is zero, ranges that are no whole numbers, or a cost function that fails.
#' @source Raudenbush and Liu (2001), *Psychological Methods* 6, 387-401, on the trade of persons against occasions under a cost function.
#' @seealso [power_hlm()]
#' @export
#' @examples
#' design <- hlm_design(60, 5, within = -0.3, between = -0.3)
#' found <- find_design(design, "within", n_patients = c(20, 150), n_sessions = c(3, 6), nsim = 100,
#'   confirm = 400, seed = 1)
#' found
find_design <- function(design, effect, power = 0.8, n_patients = c(20, 400), n_sessions = NULL, n_therapists = NULL, cost = NULL,
                        nsim = 400, confirm = 4000, alpha = 0.05, ddf = "satterthwaite", seed = NULL, threads = NULL) {
  if (!inherits(design, "hlm_study")) abort_hlm("data", "{.arg design} must be made by {.fn hlm_design}.")
  check_level(power, "power")
  effect <- search_effects(design, effect)
  if (power <= alpha) abort_hlm("data", "{.arg power} = {power} is not above {.arg alpha} = {alpha}: any design reaches it.")
  space <- search_space(design, n_patients, n_sessions, n_therapists)
  search <- list(
    design = design, effect = effect, target = power, space = space, cost = search_cost(cost, space, design), nsim = check_nsim(nsim),
    confirm = check_nsim(confirm), alpha = alpha, ddf = ddf, threads = threads, seed = check_boot_seed(seed), calls = 0L, results = NULL,
    variance_tests = any(design$effects$kind[match(effect, design$effects$effect)] == "variance")
  )
  search <- simulate_sizes(search, coarse_grid(space), search$nsim, FALSE)
  search <- confirm_candidates(search)
  finish_search(search)
}

# Arguments ------------------------------------------------------------------------------------------------------------------------------

search_effects <- function(design, effect) {
  table <- design$effects
  if (!is.character(effect) || !length(effect) || anyNA(effect)) abort_hlm("data", "{.arg effect} must name an effect, for example {.val within}.")
  known <- table$effect
  place <- ifelse(effect %in% known, match(effect, known), match(effect, table$term))
  if (anyNA(place)) {
    abort_hlm("data", c("{.arg effect} = {.val {effect[is.na(place)]}} is not in this design.", i = "Effects: {.val {setdiff(known, 'intercept')}}."))
  }
  zero <- is.na(table$truth[place]) | table$truth[place] == 0
  if (any(zero)) {
    abort_hlm("data", "The true effect of {.val {known[place][zero]}} is zero in this design: no size of the study finds what is not there.")
  }
  unique(known[place])
}

search_space <- function(design, n_patients, n_sessions, n_therapists) {
  truth <- design$truth
  if (!is.null(n_therapists) && is.null(truth$n_therapists)) abort_hlm("data", "{.arg n_therapists} can be searched when the design has therapists.")
  list(
    n_patients = size_values(n_patients, "n_patients", 4L), n_sessions = size_values(n_sessions %||% truth$n_sessions, "n_sessions", 2L),
    n_therapists = if (!is.null(truth$n_therapists)) size_values(n_therapists %||% truth$n_therapists, "n_therapists", 2L)
  )
}

# All whole numbers between two, or the ones given.
size_values <- function(x, name, least) {
  if (!is.numeric(x) || !length(x) || anyNA(x) || any(!is.finite(x)) || any(x != round(x)) || any(x < least) || any(x > 1e6)) {
    abort_hlm("data", "{.arg {name}} must be whole numbers of at least {least}: {.code c(from, to)}, or the values that are possible.")
  }
  x <- sort(unique(as.integer(x)))
  if (length(x) == 2L) seq.int(x[[1L]], x[[2L]]) else x
}

search_cost <- function(cost, space, design) {
  if (is.null(cost)) cost <- function(n_patients, n_sessions) n_patients * n_sessions
  if (!is.function(cost)) {
    abort_hlm("data", c(
      "{.arg cost} must be a function.", i = "For example {.code function(n_patients, n_sessions) 300 * n_patients + 80 * n_patients * n_sessions}."
    ))
  }
  wanted <- names(formals(args(cost)))
  known <- c("n_patients", "n_sessions", "n_therapists")
  unknown <- setdiff(wanted, c(known, "..."))
  if (length(unknown)) abort_hlm("data", "{.arg cost} has the argument {.arg {unknown}}; it can be a function of {.arg {known}}.")
  if (!"..." %in% wanted) known <- intersect(known, wanted)
  function(sizes) {
    one <- function(i) {
      value <- tryCatch(do.call(cost, as.list(sizes[i, intersect(known, names(sizes)), drop = FALSE])), error = function(cnd) cnd)
      if (!is_number(value)) {
        why <- if (inherits(value, "error")) conditionMessage(value) else "it did not return one number"
        abort_hlm("data", "{.arg cost} failed for {sizes$n_patients[[i]]} patients and {sizes$n_sessions[[i]]} sessions: {why}.")
      }
      as.double(value)
    }
    vapply(seq_len(nrow(sizes)), one, 0)
  }
}

# Patients apart on the scale on which power moves, sessions and therapists few.
coarse_grid <- function(space) {
  spread <- function(values, n, scale) {
    if (length(values) <= n) return(values)
    at <- seq(scale(min(values)), scale(max(values)), length.out = n)
    unique(values[vapply(at, function(a) which.min(abs(scale(values) - a)), 0L)])
  }
  grid <- list(n_patients = spread(space$n_patients, 7L, sqrt), n_sessions = spread(space$n_sessions, 4L, log))
  if (!is.null(space$n_therapists)) grid$n_therapists <- spread(space$n_therapists, 3L, log)
  sizes <- expand.grid(grid, KEEP.OUT.ATTRS = FALSE)
  if (!is.null(sizes$n_therapists)) sizes <- sizes[sizes$n_therapists <= sizes$n_patients, , drop = FALSE]
  sizes
}

# Simulation and curve ---------------------------------------------------------------------------------------------------------------------

# Every set of sizes has random numbers of its own, so that the errors of neighbours are independent.
simulate_sizes <- function(search, sizes, nsim, confirmed) {
  cells <- lapply(seq_len(nrow(sizes)), function(i) changed_study(search$design, as.list(sizes[i, , drop = FALSE])))
  seed <- (search$seed + 7919 * search$calls) %% .Machine$integer.max
  settings <- power_settings(nsim, search$alpha, search$ddf, search$variance_tests, 0.95, seed, search$threads, FALSE)
  result <- run_power(lapply(cells, study_cell, settings = settings), sizes, settings)
  table <- result$table[result$table$effect %in% search$effect, ]
  search$results <- rbind(search$results, cbind(table[c(names(sizes), "effect", "nsim", "usable", "significant")], confirmed = confirmed))
  search$calls <- search$calls + 1L
  search
}

# Probit regressions, one per effect, with the products of sqrt(n) that the data can tell apart.
fit_curves <- function(search) {
  results <- search$results
  sizes <- intersect(c("n_sessions", "n_therapists"), names(results))
  terms <- "root"
  for (name in sizes) {
    values <- length(unique(results[[name]]))
    if (values > 1L) terms <- c(terms, paste0("root:log(", name, ")"))
    if (values > 2L) terms <- c(terms, paste0("root:I(log(", name, ")^2)"))
  }
  lapply(stats::setNames(search$effect, search$effect), function(name) {
    data <- results[results$effect == name, ]
    data$root <- sqrt(data$n_patients)
    formula <- stats::reformulate(terms, response = quote(cbind(significant, nsim - significant)))
    suppressWarnings(stats::glm(formula, stats::binomial("probit"), data))
  })
}

# Smoothed power of sizes: the weakest effect's, with its standard error on the probit scale; more patients never harm.
predict_curves <- function(curves, sizes) {
  sizes$root <- sqrt(sizes$n_patients)
  link <- se <- matrix(0, nrow(sizes), length(curves))
  for (k in seq_along(curves)) {
    p <- suppressWarnings(stats::predict(curves[[k]], sizes, se.fit = TRUE))
    # a curve that bends away from the data says so in their dispersion
    spread <- max(1, sum(stats::residuals(curves[[k]], "pearson")^2) / max(1, curves[[k]]$df.residual))
    link[, k] <- p$fit
    se[, k] <- p$se.fit * sqrt(spread)
  }
  weakest <- max.col(-link, ties.method = "first")
  place <- cbind(seq_len(nrow(sizes)), weakest)
  data.frame(link = link[place], se = se[place])
}
