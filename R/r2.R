# How much of the outcome's variance the model explains: one generic, four families of measures, each named with its source.

#' R squared of a hierarchical linear model
#'
#' There is no single R squared when persons differ from each other: variance can be explained within persons and between
#' them, and by what is known (predictors) or by what merely differs (intercepts and slopes). Four answers are given, each by its
#' source; none refits from the call or needs the data again.
#'
#' * `"rights-sterba"` (default): the full decomposition of the outcome's model-implied variance into what predictors explain within
#'   (`f1`) and between persons (`f2`), slopes that differ between persons (`v`), differences between persons that nothing
#'   explains (`m`), and the residual; as shares of the total, of the within and of the between variance. With three levels
#'   the components are numbered: `f1`, `f2`, `f3`; `v12` is the level-1 part of slopes that differ between the units of level 2, `v13`
#'   and `v23` those that differ between the units of level 3; `m2`, `m3`. Any number of nested levels.
#' * `"nakagawa"`: marginal (predictors) and conditional (predictors and random effects) R squared, with random slopes as
#'   extended by Johnson (2014). The only one for crossed groups.
#' * `"snijders-bosker"`: the proportional reduction of the error of prediction for a single outcome (level 1) and for the mean of a
#'   person (level 2), of a therapist (level 3), against a model without predictors.
#' * `"reduction"`: the proportional reduction of each variance component against a model without predictors, or against
#'   `baseline`. It can be negative: explaining differences within persons shows differences between
#'   them that were hidden.
#'
#' @details
#' **Levels.** Each predictor is split exactly into its parts by level (deviation from the person's mean, person's mean minus therapist's
#' mean, ...), so a predictor that is not centred counts at every level at which it varies, as in Rights and Sterba's version
#' for predictors that are not cluster-mean-centred. Whether a term is centred is read from the formula (`within(x)`), never guessed from
#' sums: a grand-mean centred predictor is not taken for a person-mean centred one. The means of the split are over rows; a person's mean in
#' which each person counts once (the default `weighting` of [hlm_control()]) therefore has a small part at the therapist's level when
#' the numbers of sessions differ.
#'
#' **Variances** of predictors are taken over the analysed rows with divisor n - 1. Prior `weights` enter through the residual variance only
#' (mean of sigma^2 / w). An `offset` counts as known: it is subtracted from the outcome and takes no part.
#'
#' **Intervals** (`conf.int = TRUE`) are percentile intervals of a parametric bootstrap: outcomes are drawn from the fitted model, the model is
#' fitted to each, the predictors stay as they are. For `"snijders-bosker"` and `"reduction"` the model without predictors is fitted anew, too.
#' R squared is at least zero, so the lower limit of a small one stays away from zero; it is no test.
#'
#' @param fit A fitted model of class `hlm`.
#' @param method `"rights-sterba"`, `"nakagawa"`, `"snijders-bosker"` or `"reduction"`.
#' @param baseline For `"reduction"`: a fit of the same outcome in the same rows to compare with. By default the model with
#'   random intercepts only, fitted to the same rows.
#' @param conf.int Add bootstrap intervals?
#' @param conf.level Confidence level.
#' @param nsim Number of bootstrap samples.
#' @param seed Seed of the bootstrap; the state of the generator is put back afterwards.
#' @param x The result.
#' @param digits Number of decimals of the printed percentages.
#' @param ... Not used.
#' @return An object of class `hlm_r2`, a list: `method`, `source`, `measures` (data frame: `measure`, `of` (the variance it is a share
#'   of), `estimate`, `lower`, `upper`, `meaning`), `nsim`, `failed` (bootstrap fits without an answer).
#'   Method `"rights-sterba"` also has `components` (`component`,
#'   `level`, `source`, `group`, `variance`, `share` of the total, `share_level` of the variance at its level), `levels` (name and
#'   variance of each level) and `coefficients` (the variance of each coefficient's contribution by level).
#' @section Errors: `hlm_error_design` for crossed groups with `"rights-sterba"` or `"snijders-bosker"`; `hlm_error_data` when `baseline`
#'   is not a fit of the same outcome and rows.
#' @source Rights and Sterba (2019), *Psychological Methods* 24, 309-338; Rights and Sterba (2023), *Multivariate Behavioral Research*
#'   (three levels); Nakagawa and Schielzeth (2013), *Methods in Ecology and Evolution* 4, 133-142; Johnson (2014), *Methods in Ecology and
#'   Evolution* 5, 944-946; Snijders and Bosker (1994), *Sociological Methods and Research* 22, 342-363; Raudenbush and Bryk (2002),
#'   *Hierarchical Linear Models*, chapter 4.
#' @seealso [plot.hlm_r2()], [icc()]
#' @examples
#' # synthetic: 40 persons, 6 sessions
#' set.seed(1)
#' d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40))
#' d$alliance <- rnorm(40)[d$patient] + rnorm(240)
#' d$distress <- 20 - d$alliance + rnorm(40)[d$patient] + rnorm(240)
#' fit <- hlm(distress ~ wb(alliance) + (1 + within(alliance) | patient), d)
#' r2(fit)
#' r2(fit, "nakagawa")
#' r2(fit, "reduction")
#' @export
r2 <- function(fit, ...) UseMethod("r2")

#' @export
r2.default <- function(fit, ...) pass_on_model("performance", "r2", fit, ...)

#' @rdname r2
#' @export
r2.hlm <- function(fit, method = c("rights-sterba", "nakagawa", "snijders-bosker", "reduction"), baseline = NULL, conf.int = FALSE,
                   conf.level = 0.95, nsim = 1000, seed = NULL, ...) {
  check_dots(...)
  method <- check_choice(method, names(r2_methods()), "method")
  if (!is.null(baseline) && method != "reduction") {
    abort_hlm("data", "{.arg baseline} is for {.code method = \"reduction\"} only.")
  }
  check_flag(conf.int, "conf.int")
  check_level(conf.level, "conf.level")
  check_session_seed(seed)
  check_one_residual_variance(fit, "R squared is")
  compute <- r2_methods()[[method]]
  result <- compute(fit, baseline)
  result$method <- method
  result$measures$lower <- result$measures$upper <- NA_real_
  if (method == "rights-sterba") result$coefficients <- coefficient_levels(fit, fit$design$groups)
  if (conf.int) result <- r2_intervals(result, fit, baseline, compute, conf.level, nsim, seed)
  result$measures <- result$measures[c("measure", "of", "estimate", "lower", "upper", "meaning")]
  structure(result, class = "hlm_r2")
}

r2_methods <- function() {
  list(`rights-sterba` = r2_rights_sterba, nakagawa = r2_nakagawa, `snijders-bosker` = r2_snijders_bosker, reduction = r2_reduction)
}

r2_intervals <- function(result, fit, baseline, compute, conf.level, nsim, seed) {
  key <- paste(result$measures$measure, result$measures$of)
  # A component that a sample estimates as zero may be missing from its list: it is zero.
  statistic <- function(fits) {
    found <- compute(fits[[1L]], if (length(fits) > 1L) fits[[2L]])$measures
    value <- found$estimate[match(key, paste(found$measure, found$of))]
    ifelse(is.na(value) & !is.na(result$measures$estimate) & !key %in% paste(found$measure, found$of), 0, value)
  }
  draws <- r2_boot(c(list(fit), if (!is.null(baseline)) list(baseline)), statistic, nsim, seed)
  tails <- c(1 - conf.level, 1 + conf.level) / 2
  limits <- apply(draws$values, 2L, stats::quantile, probs = tails, na.rm = TRUE, names = FALSE)
  result$measures$lower <- limits[1L, ]
  result$measures$upper <- limits[2L, ]
  result$nsim <- nsim
  result$failed <- draws$failed
  result$conf.level <- conf.level
  result
}

# Outcomes drawn from the first fit; every fit given is fitted again to each of them. `statistic` takes the list of refits and returns
# a numeric vector. Returns list(values = nsim x length matrix, failed = number of samples without an answer).
r2_boot <- function(fits, statistic, nsim, seed = NULL) {
  if (!is.numeric(nsim) || length(nsim) != 1L || !isTRUE(nsim >= 2) || nsim != round(nsim)) {
    abort_hlm("data", "{.arg nsim} must be a whole number of at least 2.")
  }
  local_seed(seed)
  # a start belongs to the old outcome; na.exclude would only pad rows that are taken out again
  fits <- lapply(fits, function(fit) {
    fit$control["start"] <- list(NULL)
    fit$na.action <- NULL
    fit
  })
  size <- length(statistic(fits))
  failed <- 0L
  values <- matrix(NA_real_, nsim, size)
  step <- local_progress(nsim, "Bootstrap")
  for (i in seq_len(nsim)) {
    y <- simulate.hlm(fits[[1L]], 1L)[[1L]]
    value <- tryCatch(statistic(lapply(fits, refit.hlm, newresp = y)), hlm_error = function(e) NULL)
    if (is.null(value)) failed <- failed + 1L else values[i, ] <- value
    step(i)
  }
  if (failed == nsim) abort_hlm("numerical", "None of the {nsim} bootstrap samples could be fitted.")
  list(values = values, failed = failed)
}

# Rights and Sterba ------------------------------------------------------------------------------------------------------------

r2_rights_sterba <- function(fit, baseline = NULL) {
  components <- decompose_variance(fit)
  groups <- fit$design$groups
  at_level <- vapply(seq_len(length(groups) + 1L), function(l) sum(components$variance[components$level == l]), 0)
  components$share <- components$variance / sum(components$variance)
  components$share_level <- components$variance / at_level[components$level]
  components$component <- paper_names(components$component, length(groups))
  components$meaning <- vapply(seq_len(nrow(components)), function(i) component_words(components[i, ], fit), "")
  list(
    source = "Rights and Sterba (2019; 2023 for three levels)", measures = rights_sterba_measures(components, fit),
    components = components,
    levels = data.frame(level = seq_along(at_level), name = level_words(fit), variance = at_level, share = at_level / sum(at_level))
  )
}

# With two levels the names of the 2019 paper: v, m.
paper_names <- function(names, n_groups) {
  if (n_groups > 1L) return(names)
  names[names == "m2"] <- "m"
  if (!"v22" %in% names) names[names == "v12"] <- "v"
  names
}

level_words <- function(fit) {
  names <- plain_level(group_names(fit))
  c(paste0("within-", names[[1L]]), paste0("between-", names))
}

component_words <- function(row, fit) {
  where <- level_words(fit)
  group <- plain_level(row$group)
  switch(row$source,
    fixed = paste("predictors,", where[[row$level]]),
    slopes = {
      part <- as.integer(substr(sub("^v$", "v1", row$component), 2L, 2L))
      whose <- paste0("slopes that differ by ", group)
      if (part == 1L) whose else paste0(whose, ", ", where[[part]], " part of the predictor")
    },
    means = paste0("differences by ", group, " at average predictors"),
    "residual, from row to row"
  )
}

rights_sterba_measures <- function(components, fit) {
  single <- components[components$source != "residual", ]
  where <- level_words(fit)
  of_total <- measure_rows(single$component, "total", single$share, single$meaning)
  of_level <- measure_rows(single$component, where[single$level], single$share_level, single$meaning)
  add <- function(sources) sum(components$share[components$source %in% sources])
  slopes <- components$source == "slopes"
  all_slopes <- if (sum(slopes) > 1L) measure_rows("v", "total", sum(components$share[slopes]), "slopes that differ")
  sums <- measure_rows(
    c("f", "fv", "fvm"), "total", c(add("fixed"), add(c("fixed", "slopes")), add(c("fixed", "slopes", "means"))),
    c("predictors", "predictors and slopes that differ", "predictors, slopes that differ and differences in means")
  )
  known <- components$source %in% c("fixed", "slopes")
  by_level <- vapply(seq_along(where), function(l) sum(components$share_level[known & components$level == l]), 0)
  with_slopes <- sort(unique(components$level[components$source == "slopes"]))
  level_sums <- measure_rows(
    rep("fv", length(with_slopes)), where[with_slopes], by_level[with_slopes],
    rep("predictors and slopes that differ", length(with_slopes))
  )
  rbind(of_total, all_slopes, sums, of_level, level_sums)
}

measure_rows <- function(measure, of, estimate, meaning) {
  data.frame(
    measure = measure, of = rep_len(of, length(measure)), estimate = estimate, meaning = rep_len(meaning, length(measure)),
    stringsAsFactors = FALSE, row.names = NULL
  )
}
