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
#'   of), `estimate`, `lower`, `upper`, `meaning`), `nsim`, `status` (how the fit of each sample ended, as in
#'   [bootstrap()]), `failed` (samples without an answer, left out of the intervals).
#'   Method `"rights-sterba"` also has `components` (`component`,
#'   `level`, `source`, `group`, `variance`, `share` of the total, `share_level` of the variance at its level), `levels` (name and
#'   variance of each level) and `coefficients` (the variance of each coefficient's contribution by level).
#' @section Errors: `hlm_error_design` for crossed groups with `"rights-sterba"` or `"snijders-bosker"`; `hlm_error_data` when `baseline`
#'   is not a fit of the same outcome and rows. `hlm_warning_bootstrap` when samples could not be used, or a share is undefined in some.
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
  made <- r2_methods()[[method]](fit, baseline)
  value <- made$value
  reference <- made$reference
  result <- c(made[setdiff(names(made), c("value", "reference"))], method = method)
  result$measures$estimate <- drop(value(estimates_row(fit), if (!is.null(reference)) estimates_row(reference)))
  result$measures$lower <- result$measures$upper <- NA_real_
  if (conf.int) result <- r2_intervals(result, fit, value, reference, conf.level, nsim, seed)
  result$measures <- result$measures[c("measure", "of", "estimate", "lower", "upper", "meaning")]
  structure(result, class = "hlm_r2")
}

# One entry per method: function(fit, baseline) gives list(source, measures, value, ...). `value(draws, beside)`: replicates x measures, from the parameters of
# the model and of `reference`, the model it is compared with.
r2_methods <- function() {
  list(`rights-sterba` = r2_rights_sterba, nakagawa = r2_nakagawa, `snijders-bosker` = r2_snijders_bosker, reduction = r2_reduction)
}

r2_intervals <- function(result, fit, value, reference, conf.level, nsim, seed) {
  boot <- draw_replicates(fit, nsim, seed)
  beside <- if (!is.null(reference)) draw_beside(boot, reference)
  lost <- boot_usable(boot$status) & !boot_usable(beside$status %||% boot$status)
  boot$status[lost] <- beside$status[lost]
  values <- value(boot, beside)
  colnames(values) <- paste0(result$measures$measure, " (", result$measures$of, ")")
  limits <- percentile_limits(boot, values, conf.level)
  result$measures$lower <- limits[1L, ]
  result$measures$upper <- limits[2L, ]
  result$nsim <- boot$nsim
  result$status <- boot$status
  result$failed <- sum(!boot_usable(boot$status))
  result$conf.level <- conf.level
  result
}

# Rights and Sterba ------------------------------------------------------------------------------------------------------------

r2_rights_sterba <- function(fit, baseline = NULL) {
  implied <- implied_variances(fit)
  all <- implied$components
  n_levels <- length(fit$design$groups) + 1L
  at_level <- vapply(seq_len(n_levels), function(l) sum(all$variance[all$level == l]), 0)
  all$share <- all$variance / sum(all$variance)
  all$share_level <- all$variance / at_level[all$level]
  all$component[all$shown] <- paper_names(all$component[all$shown], n_levels - 1L)
  all$meaning <- vapply(seq_len(nrow(all)), function(i) component_words(all[i, ], fit), "")
  measures <- rights_sterba_measures(all, fit)
  value <- function(draws, beside) {
    variances <- implied$value(draws)
    (variances %*% measures$part) / (variances %*% measures$whole)
  }
  list(
    source = "Rights and Sterba (2019; 2023 for three levels)", measures = measures$table, value = value, components = shown_components(all),
    levels = data.frame(level = seq_len(n_levels), name = level_words(fit), variance = at_level, share = at_level / sum(at_level)),
    coefficients = coefficient_levels(fit, implied)
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

# The measures and, components x measures, which variances are in numerator (part) and denominator (whole) of each.
rights_sterba_measures <- function(all, fit) {
  where <- level_words(fit)
  single <- which(all$shown & all$source != "residual")
  any <- rep(TRUE, nrow(all))
  of <- function(...) all$source %in% c(...)
  at <- function(l) all$level == l
  row <- function(measure, of, meaning, part, whole) list(table = measure_rows(measure, of, meaning), part = part, whole = whole)
  each <- function(of, whole) {
    lapply(single, function(i) row(all$component[[i]], of(i), all$meaning[[i]], seq_along(any) == i, whole(i)))
  }
  all_slopes <- if (sum(all$shown & of("slopes")) > 1L) list(row("v", "total", "slopes that differ", of("slopes"), any))
  sums <- list(
    row("f", "total", "predictors", of("fixed"), any), row("fv", "total", "predictors and slopes that differ", of("fixed", "slopes"), any),
    row("fvm", "total", "predictors, slopes that differ and differences in means", of("fixed", "slopes", "means"), any)
  )
  level_sums <- lapply(sort(unique(all$level[all$shown & of("slopes")])), function(l) {
    row("fv", where[[l]], "predictors and slopes that differ", of("fixed", "slopes") & at(l), at(l))
  })
  rows <- c(
    each(function(i) "total", function(i) any), all_slopes, sums,
    each(function(i) where[[all$level[[i]]]], function(i) at(all$level[[i]])), level_sums
  )
  bind <- function(name, by) do.call(by, lapply(rows, `[[`, name))
  list(table = bind("table", rbind), part = unname(bind("part", cbind)), whole = unname(bind("whole", cbind)))
}

measure_rows <- function(measure, of, meaning) {
  data.frame(measure = measure, of = rep_len(of, length(measure)), meaning = rep_len(meaning, length(measure)), stringsAsFactors = FALSE, row.names = NULL)
}
