# Power of a planned study, or of a pilot study with other sizes: arguments, cells of the grid, replicates, the result.

#' Power by simulation
#'
#' Draws many studies from a design (or many outcomes from a pilot fit), analyses each as the real one will be, and counts: how often is an effect
#' significant (power; where the true effect is zero, the type-I error), how far are the estimates from the truth (bias), how often does the confidence
#' interval hold the truth (coverage), and what a significant result is worth: how often it has the wrong sign (type-S error) and by how much it exaggerates
#' (type-M).
#'
#' @section Designs:
#' For a design of [hlm_design()], every replicate is a new study: new patients, new x, new dropout, and x is split into within and between from what was
#' observed, exactly as [hlm()] does. `vary` repeats this for other values of any argument of [hlm_design()]:
#' `vary = list(n_patients = c(50, 100, 200), n_sessions = c(4, 8))`; values that are not single numbers go into a list,
#' `list(dropout = list("none", "mcar 30% by session 8"))`. `effects` replaces effects by their argument's name.
#'
#' @section Pilot fits:
#' For a fit of [hlm()], outcomes are drawn from the estimates for the rows that were analysed; x and the rows stay as they are.
#' `effects = c(x_within = 0.2)` replaces coefficients. `vary` takes `n_patients`, `n_sessions` and `n_therapists`: the rows of the pilot study are repeated
#' (or fewer of them used), whole patients, whole therapists with their patients, or sessions of every patient, and the variables are split anew. An effect
#' estimated in a small study is a poor guess of the true one; power "post hoc" for the estimates says no more than their p values do. Use it for effects
#' that matter, with `effects`.
#'
#' @section What is counted:
#' Replicates that did not converge, or whose data do not identify the model (nobody left at the last sessions, say), are counted and shown. In `power`
#' they count as not significant, `power_usable` leaves them out; estimates, coverage and the like are those of the rest.
#' A variance is tested by a likelihood ratio with the mixture of chi-square distributions that [ranova()] uses.
#'
#' @section Monte-Carlo error:
#' Each figure has an interval for what infinitely many replicates would give (`conf.level`): for shares Wilson's, for the empirical standard error the
#' chi-square interval, otherwise that of a mean of replicates.
#'
#' @section Other machines:
#' When 'future.apply' is installed and a plan other than sequential is set (`future::plan("multisession")`, a cluster, 'future.batchtools'), the replicates
#' are shared out among its workers. Every replicate has its own stream of random numbers: the result is the same whatever the plan and the number of
#' threads. Progress is signalled by 'progressr' where that is installed (`progressr::handlers(global = TRUE)`).
#'
#' @param x A design made by [hlm_design()], or a fit of [hlm()].
#' @param nsim Number of replicates per design. With 1,000 a power of 80 % is known to within 2.5 points.
#' @param effects Named numbers: true effects that replace those of the design or of the fit.
#' @param alpha Significance level, two-sided; confidence intervals have the level `1 - alpha`.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]. Satterthwaite and Kenward-Roger are computed for every replicate.
#' @param vary A named list: values of the design's arguments, all combinations of which are simulated.
#' @param variance_tests Test the variances of random slopes and therapists? Costs one more fit per variance.
#' @param conf.level Level of the Monte-Carlo intervals.
#' @param seed A whole number from which all random numbers follow; by default drawn from R's generator, so that [set.seed()] makes the result reproducible.
#' @param threads Number of threads; by default [hlm_threads()], on the workers of a plan 1.
#' @param keep Keep the replicates (`result$replicates`: per design matrices `beta`, `se`, `df`, ...)?
#' @param ... Not used.
#' @return An object of class `hlm_power`, a list: `table`, `cells`, `vary` (names of what varies), `nsim`, `alpha`, `ddf`, `seed`, `conf.level`, and
#'   `design` or `formula`. `as.data.frame()` gives `table`, one row per design and effect: what varies; `effect`, `term` (its name in [hlm()]), `label`,
#'   `kind` (`"coefficient"`, `"contrast"`, `"variance"`), `truth`, `quantity` (`"power"` or `"type-I error"`), `nsim`, `usable`, `significant`; then
#'   `power`, `power_usable`, `estimate` (mean), `bias`, `se_empirical`, `se_model` (mean standard error), `coverage`, `type_s`, `type_m`, each followed by
#'   `_lower` and `_upper`, and `df` (median). `cells` has one row per design: what varies, how the replicates ended (`converged`, `boundary`, `failed`,
#'   `unidentified`), mean `rows`, `persons`, `therapists`. `tidy()`: one row per design, effect and figure (`statistic`, `estimate`, `conf.low`, `conf.high`).
#' @section Errors: `hlm_error_data` for arguments out of range, unknown effects, or something in `vary` that is no argument of the design;
#'   `hlm_error_covariance` for fits with a residual structure.
#' @source Morris, White and Crowther (2019), *Statistics in Medicine* 38, 2074-2102 (performance measures and their Monte-Carlo errors); Gelman and Carlin
#'   (2014), *Perspectives on Psychological Science* 9, 641-651 (type S and type M); Green and MacLeod (2016), *Methods in Ecology and Evolution* 7, 493-498
#'   (pilot fits); Wilson (1927), *Journal of the American Statistical Association* 22, 209-212.
#' @seealso [hlm_design()], [find_design()], [plot.hlm_power()]
#' @export
#' @examples
#' design <- hlm_design(60, 5, within = -0.2, between = -0.3, dropout = "mcar 20% by session 5")
#' power_hlm(design, nsim = 200, seed = 1)
#' power_hlm(design, nsim = 100, vary = list(n_patients = c(40, 80)), seed = 1)
power_hlm <- function(x, ...) UseMethod("power_hlm")

#' @export
power_hlm.default <- function(x, ...) {
  abort_hlm("data", c(
    "{.arg x} must be a design or a fitted model, not {.cls {class(x)[1L]}}.",
    i = "Describe the study with {.fn hlm_design}, or fit the pilot data with {.fn hlm}."
  ))
}

#' @rdname power_hlm
#' @export
power_hlm.hlm_study <- function(x, nsim = 1000, effects = NULL, alpha = 0.05, ddf = "satterthwaite", vary = NULL, variance_tests = TRUE,
                                conf.level = 0.95, seed = NULL, threads = NULL, keep = FALSE, ...) {
  check_dots(...)
  settings <- power_settings(nsim, alpha, ddf, variance_tests, conf.level, seed, threads, keep)
  x <- with_effects(x, effects)
  grid <- vary_grid(vary, setdiff(names(formals(hlm_design)), "..."), x$arguments)
  studies <- lapply(grid$changes, changed_study, study = x)
  cells <- lapply(studies, study_cell, settings = settings)
  result <- run_power(cells, grid$table, settings)
  result$design <- x
  result
}

# The effects of a design, by the names of its arguments.
with_effects <- function(study, effects) {
  if (is.null(effects)) return(study)
  known <- c("within", "between", "interaction", "between_therapist", "moderator_effect", "moderation", "moderator_trend", "trend_y", "trend_x")
  check_effects(effects, known, "argument{?s} of {.fn hlm_design}")
  # the spread of a trend between patients stays as it is
  for (name in intersect(names(effects), c("trend_y", "trend_x"))) {
    old <- study$arguments[[name]]
    if (length(old) > 1L) {
      old[["mean"]] <- effects[[name]]
      effects <- as.list(effects)
      effects[[name]] <- old
    }
  }
  changed_study(study, as.list(effects))
}

check_effects <- function(effects, known, what) {
  if (!is.numeric(effects) || is.null(names(effects)) || anyNA(effects) || any(!is.finite(effects)) || anyDuplicated(names(effects))) {
    abort_hlm("data", "{.arg effects} must be numbers with names, for example {.code c({known[[1L]]} = 0.2)}.")
  }
  unknown <- setdiff(names(effects), known)
  if (length(unknown)) {
    abort_hlm("data", c("{.arg effects} names {.val {unknown}}, which {?is/are} not among the effects.", i = "Known: {.val {known}}."))
  }
}

# Settings and the grid ------------------------------------------------------------------------------------------------------------------

power_settings <- function(nsim, alpha, ddf, variance_tests, conf.level, seed, threads, keep) {
  check_level(alpha, "alpha")
  check_level(conf.level, "conf.level")
  check_flag(variance_tests, "variance_tests")
  check_flag(keep, "keep")
  if (is.character(ddf) && length(ddf) == 1L && tolower(ddf) %in% c("normal", "wald")) ddf <- "none"
  if (!is.null(threads)) check_threads(threads, "threads")
  list(
    nsim = check_nsim(nsim), alpha = alpha, ddf = match_ddf(ddf), variance_tests = variance_tests, conf.level = conf.level,
    seed = check_boot_seed(seed), threads = threads, keep = keep
  )
}

core_tests <- function(ddf) switch(ddf, Satterthwaite = "satterthwaite", `Kenward-Roger` = "kenward-roger", "none")

# All combinations of what varies: list(table (data frame, one row per cell; labels where values are no numbers), changes (list of named lists)).
vary_grid <- function(vary, known, arguments = list()) {
  if (is.null(vary)) return(list(table = data.frame(row.names = 1L), changes = list(list())))
  if (!is.list(vary) || is.null(names(vary)) || any(!nzchar(names(vary))) || anyDuplicated(names(vary))) {
    abort_hlm("data", "{.arg vary} must be a list with names: {.code vary = list(n_patients = c(50, 100), n_sessions = c(4, 8))}.")
  }
  unknown <- setdiff(names(vary), known)
  if (length(unknown)) {
    abort_hlm("data", c("{.arg vary} names {.val {unknown}}, which cannot vary.", i = "What can: {.val {known}}."))
  }
  empty <- names(vary)[lengths(vary) == 0L]
  if (length(empty)) abort_hlm("data", "{.arg vary}: {.val {empty}} {?has/have} no values.")
  places <- expand.grid(rev(lapply(vary, seq_along)), KEEP.OUT.ATTRS = FALSE)[rev(seq_along(vary))]
  labels <- Map(vary_labels, vary, names(vary))
  table <- as.data.frame(Map(function(label, place) label[place], labels, places), check.names = FALSE, stringsAsFactors = FALSE)
  changes <- lapply(seq_len(nrow(places)), function(i) Map(function(values, place) values[[place]], vary, places[i, , drop = FALSE]))
  list(table = table, changes = changes)
}

# Numbers stay numbers; anything else gets a label, ordered as given.
vary_labels <- function(values, name) {
  if (is.list(values) && all(vapply(values, is_number, NA))) values <- unlist(values)
  if (is.numeric(values)) return(unname(values))
  labels <- names(values) %||% rep("", length(values))
  bare <- !nzchar(labels)
  labels[bare] <- vapply(which(bare), function(i) {
    value <- values[[i]]
    if (is.function(value)) paste("function", i) else if (is.null(value)) "NULL" else paste(format(unlist(value)), collapse = ", ")
  }, "")
  factor(make.unique(labels), levels = make.unique(labels))
}

# The run ----------------------------------------------------------------------------------------------------------------------------------

study_cell <- function(study, settings) {
  if (settings$ddf == "Kenward-Roger" && !study$analysis$REML) {
    abort_hlm("data", "Kenward and Roger's method needs REML: leave {.code REML = FALSE} out of {.arg analysis}, or choose another {.arg ddf}.")
  }
  use <- study$analysis
  effects <- study$effects
  if (!settings$variance_tests) effects <- effects[effects$kind != "variance", ]
  places <- if (settings$variance_tests) reducible_columns(use$random) else list()
  list(
    kind = "study", study = study_core(study), analysis = analysis_core(study, settings$variance_tests), effects = effects,
    contrasts = study_contrasts(study), levels = effect_levels(use),
    variances = lapply(places, function(place) c(place[c("t", "k")], base = covariances_dropped(use$random, place))), shapes = term_shapes(use$random)
  )
}

term_shapes <- function(terms) lapply(terms, function(term) list(q = length(term$columns), structure = term$structure))

# Level of each coefficient for the between-within rule: 1 rows, 2 patients, 3 therapists, 0 the intercept.
effect_levels <- function(use) {
  level <- c(intercept = 0L, between = 2L, moderator = 2L, between_therapist = if (use$therapist) 3L else 2L)
  value <- level[use$fixed$effect]
  value[is.na(value)] <- 1L
  list(level = unname(value), therapist = use$therapist)
}

run_power <- function(cells, table, settings) {
  replicates <- run_cells(cells, settings)
  ended <- lapply(replicates, function(draws) tabulate(as.integer(draws$status), 4L))
  counts <- stats::setNames(as.data.frame(do.call(rbind, ended)), status_names)
  means <- lapply(replicates, function(draws) data.frame(rows = mean(draws$rows), persons = mean(draws$persons), therapists = mean(draws$therapists)))
  summaries <- Map(summarise_cell, cells, replicates, MoreArgs = list(settings = settings))
  rows <- rep(seq_along(cells), vapply(summaries, nrow, 0L))
  whole <- cbind(table[rows, , drop = FALSE], do.call(rbind, summaries))
  row.names(whole) <- NULL
  structure(
    list(
      table = whole, cells = cbind(table, nsim = settings$nsim, counts, do.call(rbind, means)), vary = names(table), nsim = settings$nsim,
      alpha = settings$alpha, ddf = settings$ddf, seed = settings$seed, conf.level = settings$conf.level,
      replicates = if (settings$keep) replicates
    ),
    class = "hlm_power"
  )
}
