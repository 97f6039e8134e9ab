# The slope of each person: its own least-squares line beside the one of the model.

#' Slopes of persons, therapists, ...
#'
#' For a predictor with a random slope: the slope of each person as its own sessions give it (ordinary least squares) and as the model
#' estimates it (fixed effect plus the person's deviation, shrunken towards the average), with the interval for the person's true slope; the average
#' slope; and the range in which the slope of a new person is expected.
#'
#' A person's slope counts everything that depends on the predictor: the fixed effect, its products with other predictors at the person's own
#' values (a cross-level interaction, the mean of the person's sessions), the person's random slope and, in `(... | therapist/patient)`, that of the
#' therapist. If the predictor enters as a curve, it is the average slope over the person's rows.
#'
#' @section Intervals:
#' The slope of person j is \eqn{l'\beta + z'b}. Its standard error holds for the difference between the estimated and the true slope of this person,
#' \deqn{var = l' C_{11} l + 2 l' C_{12} z + z' C_{22} z,}{var = l'C11 l + 2 l'C12 z + z'C22 z,}
#' where C, the inverse of the coefficient matrix of Henderson's mixed model equations times the residual variance, holds the variance of the fixed effects
#' (\eqn{C_{11}}{C11}), of the deviations around the true ones (\eqn{C_{22}}{C22}: the conditional variance of [ranef()] plus what the uncertainty
#' of the fixed effects adds) and their covariance (\eqn{C_{12}}{C12}, usually negative). Adding up the first and the conditional variance, as
#' is often done, leaves out the other parts. The variance components count as known, the quantiles are those of the normal distribution.
#'
#' The interval of the average has the degrees of freedom of `ddf`. The range for a new person adds the variance between persons; its
#' quantile is that of t with (number of persons - 2) degrees of freedom, as in meta-analysis.
#'
#' With `own = "alone"` the least-squares line of a person regresses its outcomes on all predictors of the fixed part that vary among its rows, and takes
#' nothing from other persons. With `own = "adjusted"` only effects that the model lets differ between persons are estimated from the person's rows;
#' for the others (a common trend over sessions, say) the model's estimates count, and the model's slope then lies between this one and the average.
#' In a model with prior weights or a residual structure the own lines are generalised least squares with the model's weights and correlations.
#' `NA` stands where the rows do not determine the slope, and for the standard error where no row is left over to tell it. For therapists, each of
#' their patients has an intercept of its own.
#'
#' @param fit A fitted model of class `hlm`.
#' @param term The predictor, as the model names it (`"alliance_within"`) or, for a split variable, its name (`"alliance"`, the within part). By default
#'   the first random slope of the group.
#' @param group Whose slopes: a grouping factor; by default the first that has random slopes.
#' @param level Coverage of the intervals.
#' @param own How the person's own least-squares line is found: `"alone"` or `"adjusted"`, see below.
#' @param ddf Method for the degrees of freedom of the average slope, see [hlm-ddf].
#' @param x The result.
#' @param n Number of rows to print.
#' @param digits Significant digits.
#' @param row.names,optional Not used.
#' @param ... Not used.
#' @return An object of class `hlm_person_slopes`, a list: `slopes`, a data frame with one row per person, `person`, `n` (rows), `ols`, `ols_se`,
#'   `ols_df`, `slope`, `se`, `lower`, `upper`, `sign` (-1, 0 or 1) and `clear` (does the interval exclude zero?); `average`, a data frame with one row, the
#'   test of the average slope as [contest()] gives it, or `NULL` if the predictor has no fixed effect; `sd`, the standard deviation of the true
#'   slopes around it; `new`, lower and upper limit of the range for a new person; `share_below`, the share of persons with a slope below zero that the
#'   model implies; `term`, `group`, `outcome`, `level`, `inference`. `as.data.frame()` returns `slopes`.
#' @section Errors: `hlm_error_design` when the model has no random slope of the predictor for the group; `hlm_error_data` for an unknown `term`
#'   or `group`.
#' @source Henderson (1975), *Biometrics* 31, 423-447; Bates, Maechler, Bolker and Walker (2015), *Journal of Statistical Software* 67(1), eq. 53; range for
#'   a new unit: Higgins, Thompson and Spiegelhalter (2009), *Journal of the Royal Statistical Society A* 172, 137-159.
#' @seealso [plot_slopes()] and [plot_forest()] for pictures, [ranef_compare()] for deviations instead of slopes.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' person_slopes(fit)
#' head(as.data.frame(person_slopes(fit, "Days")))
#' @export
person_slopes <- function(fit, term = NULL, group = NULL, level = 0.95, own = c("alone", "adjusted"), ddf = NULL, ...) {
  check_dots(...)
  own <- check_choice(own, c("alone", "adjusted"), "own")
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_level(level)
  g <- slope_group(fit, group)
  rows <- unit_direction(fit, term, g)
  found <- unit_slopes(fit, rows)
  half <- stats::qnorm((1 + level) / 2) * found$se
  slopes <- data.frame(
    person = rows$levels, n = rows$count, unit_ols(fit, g, rows, own), slope = found$slope, se = found$se, lower = found$slope - half,
    upper = found$slope + half, stringsAsFactors = FALSE
  )
  slopes$sign <- sign(slopes$slope)
  slopes$clear <- slopes$lower > 0 | slopes$upper < 0
  average <- slope_average(fit, rows, ddf, level)
  sd <- unit_spread(fit, rows)
  centre <- if (is.null(average$test)) 0 else average$test$Estimate
  error <- if (is.null(average$test)) 0 else average$test$`Std. Error`
  reach <- stats::qt((1 + level) / 2, max(1, nrow(slopes) - 2)) * sqrt(sd^2 + error^2)
  structure(
    list(
      slopes = slopes, average = average$test, sd = sd, new = c(lower = centre - reach, upper = centre + reach),
      share_below = if (sd > 0) stats::pnorm(0, centre, sd) else as.double(centre < 0), term = rows$term, group = group_names(fit)[[g]],
      outcome = deparse1(fit$formula[[2L]]), level = level, inference = average$label
    ),
    class = "hlm_person_slopes"
  )
}

# By default the first factor with something else than an intercept.
slope_group <- function(fit, group) {
  if (!is.null(group)) return(match(check_group(fit, group), group_names(fit)))
  has_slope <- vapply(fit$design$terms, function(term) any(term$names != "(Intercept)"), NA)
  if (!any(has_slope)) {
    abort_hlm("design", c(
      "The model has no random slopes: all persons have the same slope but for moderators.",
      i = "Put the predictor into the random part of the formula, for example {.code (1 + within(x) | {group_names(fit)[[1L]]})}."
    ))
  }
  min(term_group(fit)[has_slope])
}

# The mean of the units' combinations of fixed effects, tested; NULL where the predictor has no fixed effect.
slope_average <- function(fit, rows, ddf, level) {
  l <- matrix(colMeans(rows$x), 1L, dimnames = list("average", names(fixef.hlm(fit))))
  inference <- resolve_inference(fit, ddf)
  list(test = if (any(abs(l) > 1e-10)) test_rows(fit, l, 0, inference, level), label = inference$label)
}

#' @rdname person_slopes
#' @export
as.data.frame.hlm_person_slopes <- function(x, row.names = NULL, optional = FALSE, ...) x$slopes

#' @rdname person_slopes
#' @export
print.hlm_person_slopes <- function(x, n = 10L, digits = 3L, ...) {
  unit <- plain_level(x$group)
  cat("Slopes of ", x$outcome, " in ", x$term, ", one for each ", unit, "\n", sep = "")
  percent <- paste(format(100 * x$level), "%")
  number <- slope_numbers(x, digits)
  if (!is.null(x$average)) {
    cat(
      " Average ", number(x$average$Estimate), ", ", percent, " interval ", number(x$average$lower), " to ", number(x$average$upper), " (", x$inference,
      ")\n", sep = ""
    )
  }
  if (x$sd > 0) {
    cat(
      " SD of the true slopes ", number(x$sd), "; ", percent, " of new ", unit, "s expected between ", number(x$new[[1L]]), " and ", number(x$new[[2L]]), "\n",
      sep = ""
    )
  } else {
    cat(" The variance of the slopes is estimated as zero: no sign that they differ beyond their moderators.\n")
  }
  cat_lines(slope_counts(x), exdent = 3L)
  cat("\n")
  shown <- x$slopes[utils::head(order(x$slopes$slope), n), , drop = FALSE]
  print_table(cbind(
    Name = shown$person, rows = format(shown$n), `own line` = ifelse(is.na(shown$ols), "-", number(shown$ols)), model = number(shown$slope),
    SE = number(shown$se), lower = number(shown$lower), upper = number(shown$upper)
  ))
  if (nrow(x$slopes) > n) cat(" ... ", nrow(x$slopes) - n, " more, in ascending order; all with as.data.frame()\n", sep = "")
  cat_lines(paste0("own line: least squares from the rows of this ", unit, " alone; model: shrunken towards the average, with its interval"))
  invisible(x)
}

# Numbers with the same decimals throughout: `digits` - 1 digits of a typical standard error.
slope_numbers <- function(x, digits = 3L) {
  size <- stats::median(x$slopes$se[x$slopes$se > 0])
  decimals <- if (is.finite(size)) min(8, max(0, digits - 2 - floor(log10(size)))) else digits
  function(v) formatC(round(v, decimals) + 0, digits = decimals, format = "f")
}

# "34 of 57 below zero (5 with an interval that excludes zero), 23 above (0)"
slope_counts <- function(x) {
  s <- x$slopes
  text <- function(mine) paste0(sum(mine), " (", sum(mine & s$clear), ")")
  paste0(
    "Of ", nrow(s), " slopes, ", text(s$sign < 0), " are below and ", text(s$sign > 0), " above zero (in parentheses: interval excludes zero)"
  )
}

#' @rdname person_slopes
#' @param type `"caterpillar"`, see [plot_slopes()], or `"forest"`, see [plot_forest()].
#' @export
plot.hlm_person_slopes <- function(x, type = c("caterpillar", "forest"), ...) {
  if (check_choice(type, c("caterpillar", "forest"), "type") == "forest") plot_forest(x, ...) else plot_slopes(x, ...)
}
