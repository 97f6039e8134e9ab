# Standardised fixed effects, the standard deviations being those of the level at which a variable varies.

#' Standardised effects
#'
#' Effects in units of standard deviations. With repeated measures it matters whose standard deviation: a within-person effect is about
#' fluctuations around a person's own level, so that the typical size of such fluctuations is the unit, not the spread of all values
#' of all persons.
#'
#' * `"within-person"` (default; Schuurman et al. 2016): for an effect of a variable that varies within persons, each person's coefficient (the
#'   fixed effect plus, where the slope is random, the person's own empirical-Bayes deviations, of all levels of grouping added up) times the
#'   person's own SD of the predictor over the person's own SD of the outcome; the mean over persons is reported. Persons whose predictor or
#'   outcome never varies have no such coefficient; they are left out, counted and named. Other effects: as `"pooled"`.
#' * `"pooled"`: within SDs (pooled over persons, divisor rows minus persons) of predictor and outcome for what varies within persons; between SDs
#'   (of the persons' means, each person counting once) for what varies between persons; with three levels, SDs of persons' means
#'   around their therapist's for the persons of a therapist, and of therapists' means for therapists.
#' * `"total"`: SDs of the columns over all rows, whatever their level: the measure of ordinary regression, comparable across studies only if
#'   these share the ratio of within to between variance.
#'
#' The level of a variable is read from the formula. An interaction is scaled by the product of the SDs of its variables, each of its own level
#' (as if the variables had been standardised before they were multiplied), over the SD of the outcome at the level at which the
#' product varies. Factors, logical variables (and other columns of several, such as splines) are not scaled: only the outcome is, and `scaled` says so.
#' A predictor that varies within persons and is not split (a raw `x`, a session number) counts as varying within persons.
#'
#' @details
#' **Standard errors** take the standard deviations as given (`se = "given"`): that of the raw effect times the scale, with its
#' degrees of freedom, so that t and p are those of the raw effect. For the mean of persons' standardised coefficients with random
#' slopes, the estimate is a sum of the fixed effect and of empirical-Bayes deviations; its variance is that sum's over repeated sampling of persons
#' and sessions at the estimated variances: with s the mean ratio of SDs and m the weights of the deviations,
#' s^2 Var(beta) + m'GZ'PZGm (fixed effects and deviations being uncorrelated; Henderson 1975). `se = "bootstrap"` draws outcomes from the
#' model, fits it to each and standardises anew, so that the uncertainty of the outcome's SDs is in. The interval is the estimate plus and minus
#' a t quantile times that standard error: the model draws persons of equal residual variance, so where persons' SDs differ more than that, the centre of the
#' draws (and their percentiles) would be about another quantity.
#'
#' @param fit A fitted model of class `hlm`.
#' @param method `"within-person"`, `"pooled"` or `"total"`.
#' @param ddf Method for the degrees of freedom, as in [summary()][summary.hlm].
#' @param level Confidence level.
#' @param se `"given"` or `"bootstrap"`.
#' @param nsim,seed Number of bootstrap samples and their seed.
#' @param x The result.
#' @param digits Number of decimals to print.
#' @param ... Not used.
#' @return A data frame of class `hlm_standardized`, one row per estimated coefficient but the intercept: `term`, `type`, `level`, `estimate`,
#'   `std.error`, `df`, `conf.low`, `conf.high`, `raw` (the effect in the units of the data), `scale` (the ratio of SDs, its mean over persons),
#'   `persons` (over how many persons a mean was taken; `NA` otherwise), `scaled` (`"both"` or `"outcome"`). Attribute
#'   `left_out`: per variable the persons without variance; with `se = "bootstrap"` attribute `status`: how each fit ended, as in [bootstrap()].
#' @section Errors: `hlm_error_data` when no person has variance in both, or when the outcome has none at the level that is needed.
#'   `hlm_warning_bootstrap` when bootstrap samples could not be used.
#' @source Schuurman, Ferrer, de Boer-Sonnenschein and Hamaker (2016), *Psychological Methods* 21, 206-221; Henderson (1975), *Biometrics* 31,
#'   423-447; Hox, Moerbeek and van de Schoot (2018), *Multilevel Analysis*, section 2.3, on total SDs.
#' @examples
#' # synthetic: 40 persons, 6 sessions
#' set.seed(1)
#' d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40))
#' d$alliance <- rnorm(40)[d$patient] + rnorm(240)
#' d$distress <- 20 - d$alliance + rnorm(40)[d$patient] + rnorm(240)
#' fit <- hlm(distress ~ wb(alliance) + (1 + within(alliance) | patient), d)
#' standardize(fit)
#' standardize(fit, "pooled")
#' @export
standardize <- function(fit, ...) UseMethod("standardize")

#' @export
standardize.default <- function(fit, ...) pass_on("datawizard", "standardize", fit, ...)

#' @rdname standardize
#' @export
standardize.hlm <- function(fit, method = c("within-person", "pooled", "total"), ddf = "Satterthwaite", level = 0.95,
                            se = c("given", "bootstrap"), nsim = 1000, seed = NULL, ...) {
  check_dots(...)
  method <- check_choice(method, c("within-person", "pooled", "total"), "method")
  se <- check_choice(se, c("given", "bootstrap"), "se")
  check_level(level)
  plan <- standard_plan(fit, method)
  parts <- standardized_parts(fit, plan = plan)
  raw <- test_rows(fit, coefficient_contrasts(fit)[parts$place, , drop = FALSE], 0, prepare_inference(fit, ddf))
  table <- data.frame(
    term = names(fixef.hlm(fit))[parts$place], type = parts$type, level = parts$level, estimate = parts$estimate, std.error = NA_real_,
    df = raw$df, conf.low = NA_real_, conf.high = NA_real_, raw = raw$Estimate, scale = parts$scale, persons = parts$persons,
    scaled = parts$scaled, stringsAsFactors = FALSE
  )
  table <- if (se == "given") {
    given_errors(table, fit, parts, raw$`Std. Error`, level)
  } else {
    bootstrap_errors(table, fit, plan, level, nsim, seed)
  }
  structure(table, method = method, se = se, conf.level = level, left_out = parts$left_out, class = c("hlm_standardized", "data.frame"))
}

# Estimate and scale of each coefficient but the intercept.
standardized_parts <- function(fit, method, plan = standard_plan(fit, method)) {
  x <- plan$coefficients
  values <- standard_values(fit, plan, outcome_sds(plan, fit$design$y))
  bind <- function(name, type) vapply(values, `[[`, type, name)
  estimate <- bind("estimate", 0)
  if (anyNA(estimate)) {
    abort_hlm("data", c(
      "{.var {x$name[is.na(estimate)]}} cannot be standardised: the outcome or the predictor has no variance at its level.",
      i = "Use {.code method = \"total\"}."
    ))
  }
  list(
    place = x$place, type = x$type, level = x$level, scaled = x$scaled, estimate = estimate, scale = bind("scale", 0), persons = bind("persons", 0L),
    weights = lapply(values, `[[`, "weights"), left_out = Filter(length, stats::setNames(lapply(values, `[[`, "left_out"), x$name))
  )
}

# What does not depend on the outcome: the coefficients (by whose SD of the outcome each is divided: unit), the SDs of their predictors multiplied (spread: one
# number, or one per person), the chain of groups.
standard_plan <- function(fit, method) {
  x <- standardized_columns(fit)
  if (!nrow(x)) abort_hlm("data", "The model has no predictors: there is no effect to standardise.")
  scales <- scale_book(fit)
  x$unit <- if (method == "total") "total" else as.character(x$outcome_level)
  if (method == "within-person") x$unit[x$outcome_level == 1L] <- "person"
  x$spread <- lapply(seq_len(nrow(x)), function(i) {
    Reduce(`*`, lapply(x$members[[i]], function(label) {
      own <- scales$level[[label]] == 1L && x$unit[[i]] == "person"
      unit <- if (x$unit[[i]] == "total") "total" else if (own) "person" else as.character(scales$level[[label]])
      unit_sd(scales$variables[[label]], unit, scales$chain)
    }), 1)
  })
  list(coefficients = x, chain = scales$chain, offset = design_offset(fit$design))
}

# SD over all rows, each person's own, or that of a level.
unit_sd <- function(x, unit, chain) switch(unit, total = stats::sd(x), person = person_sd(x, chain[[1L]]), level_sd(x, as.integer(unit), chain))

# The outcome's (an offset taken off: it is known), by unit.
outcome_sds <- function(plan, y) {
  sapply(unique(plan$coefficients$unit), unit_sd, x = y - plan$offset, chain = plan$chain, simplify = FALSE)
}

# `fit`: the estimates, and modes where slopes of persons are random. For persons Schuurman et al. (2016), eq. 8, with the person's slope as the fixed effect
# plus the person's deviations; the mean over persons.
standard_values <- function(fit, plan, outcome) {
  x <- plan$coefficients
  beta <- fixef.hlm(fit)
  person <- plan$chain[[1L]]
  lapply(seq_len(nrow(x)), function(i) {
    ratio <- x$spread[[i]] / outcome[[x$unit[[i]]]]
    if (x$unit[[i]] != "person") return(list(estimate = beta[[x$place[[i]]]] * ratio, scale = ratio, persons = NA_integer_))
    usable <- is.finite(ratio) & ratio > 0
    weights <- ifelse(usable, ratio, 0) / sum(usable)
    slope <- beta[[x$place[[i]]]] + person_deviation(fit, x$name[[i]], person)
    list(
      estimate = if (any(usable)) sum(weights * slope) else NA_real_, scale = sum(weights), persons = sum(usable), weights = weights,
      left_out = person$levels[!usable]
    )
  })
}

given_errors <- function(table, fit, parts, raw_se, level) {
  variance <- (parts$scale * raw_se)^2
  for (i in seq_len(nrow(table))) {
    weights <- parts$weights[[i]]
    if (!is.null(weights)) variance[[i]] <- variance[[i]] + deviation_variance(fit, table$term[[i]], weights)
  }
  table$std.error <- sqrt(variance)
  half <- stats::qt(1 - (1 - level) / 2, table$df) * table$std.error
  table$conf.low <- table$estimate - half
  table$conf.high <- table$estimate + half
  table
}

bootstrap_errors <- function(table, fit, plan, level, nsim, seed) {
  boot <- draw_replicates(fit, nsim, seed)
  # modes belong to a sample: only where they enter is the fit of each put together
  modes <- any(lengths(lapply(plan$coefficients$name[plan$coefficients$unit == "person"], slope_places, fit = fit, person = plan$chain[[1L]])))
  kept <- kept_columns(fit)
  draws <- over_samples(boot, nrow(table), "Standardised effects", function(y, i) {
    if (modes) fit <- replicate_fit(boot, y, i) else fit$core$beta[kept] <- boot$beta[i, ]
    vapply(standard_values(fit, plan, outcome_sds(plan, y)), `[[`, 0, "estimate")
  })
  report_replicates(boot, NULL)
  table$std.error <- apply(draws, 2L, stats::sd, na.rm = TRUE)
  half <- stats::qt(1 - (1 - level) / 2, table$df) * table$std.error
  table$conf.low <- table$estimate - half
  table$conf.high <- table$estimate + half
  structure(table, status = boot$status)
}

#' @rdname standardize
#' @export
print.hlm_standardized <- function(x, digits = 3L, ...) {
  what <- switch(attr(x, "method"),
    `within-person` = "each person's own SDs, averaged over persons (Schuurman et al. 2016)",
    pooled = "pooled SDs of the level at which a variable varies", "SDs over all rows"
  )
  cat("Standardised effects: ", what, "\n", sep = "")
  number <- function(value) formatC(value, format = "f", digits = digits)
  shown <- cbind(
    Name = paste0(x$term, ifelse(x$scaled == "outcome", " *", "")), Estimate = number(x$estimate), SE = number(x$std.error),
    `Interval` = paste0("[", number(x$conf.low), ", ", number(x$conf.high), "]")
  )
  if (any(!is.na(x$persons))) shown <- cbind(shown, Persons = ifelse(is.na(x$persons), "", x$persons))
  print_table(shown)
  if (any(x$scaled == "outcome")) cat(" * categories, TRUE and FALSE among them (or several columns): in SDs of the outcome, the predictor as it is\n")
  uncertainty <- if (attr(x, "se") == "given") "given the standard deviations" else paste("by", boot_words(attr(x, "status")))
  cat(" ", format(100 * attr(x, "conf.level")), " % intervals, ", uncertainty, "\n", sep = "")
  left <- attr(x, "left_out")
  for (persons in unique(left)) {
    names <- names(left)[vapply(left, identical, NA, persons)]
    text <- paste0(
      "Without ", count(length(persons), "person"), " in whom the outcome or the predictor does not vary (", paste(names, collapse = ", "), "): ",
      show_some(persons)
    )
    cat_lines(text, 1L, 3L)
  }
  invisible(x)
}
