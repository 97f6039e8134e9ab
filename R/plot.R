# Diagnostic plots of a fit ('ggplot2').

#' Plots of a fitted model
#'
#' Level 1, the rows: `"residuals"`, residuals against fitted values, with a smooth line that should stay near zero; `"qq"`, residuals against
#' normal quantiles; `"scale-location"`, their size against fitted values (the line should be level); `"predictors"`, residuals against each predictor
#' that varies within groups.
#'
#' Higher levels, the groups: `"ranef"`, the deviation of each group from the average with its uncertainty, sorted (a caterpillar plot);
#' `"ranef-qq"`, standardised deviations against normal quantiles; `"mahalanobis"`, the distance of each group from the average in all its
#' random effects against chi-square quantiles, to find unusual persons; with `group`, `"scale-location"` and `"predictors"` show the
#' random effects of that group instead of the rows. `"influence"`: Cook's distance of each group, see [influence.hlm()].
#'
#' The story: `"within-between"`, see [plot_within_between()]; `"slopes"` or `"caterpillar"`, the slope of each person with its interval, see [plot_slopes()];
#' `"forest"`, the same beside each person's own line, see [plot_forest()].
#'
#' Grey bands hold, under the model, all points in 95 % of data sets (`band = "simultaneous"`) or each point in 95 % (`"pointwise"`).
#'
#' @param x A fitted model of class `hlm`.
#' @param which One of the types above.
#' @param group A grouping factor; by default the first (rows for `"scale-location"` and `"predictors"`; for slopes the first that has some).
#' @param term The predictor whose slopes are shown, or, for `"within-between"`, the variable that the formula splits; by default the first.
#' @param level Coverage of the bars of `"ranef"` and of the bands.
#' @param band `"simultaneous"` or `"pointwise"`.
#' @param ... Further arguments of the functions named above; otherwise not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` when
#'   `group` is not a grouping factor.
#' @source Aldor-Noiman, Brown, Buja, Rolke and Stine (2013), *The American Statistician* 67, 249-260 (simultaneous bands); Snijders and Bosker (2012),
#'   *Multilevel Analysis*, chapter 10.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' plot(fit)
#' plot(fit, "ranef")
#' plot(fit, "mahalanobis")
#' @importFrom rlang .data
#' @export
plot.hlm <- function(x, which = c("residuals", "qq", "ranef", "ranef-qq", "scale-location", "predictors", "mahalanobis", "influence", "within-between",
                                  "slopes", "caterpillar", "forest"), group = NULL,
                     level = 0.95, band = c("simultaneous", "pointwise"), term = NULL, ...) {
  which <- check_choice(which, c(
    "residuals", "qq", "ranef", "ranef-qq", "scale-location", "predictors", "mahalanobis", "influence", "within-between", "slopes", "caterpillar", "forest"
  ), "which")
  band <- check_choice(band, c("simultaneous", "pointwise"), "band")
  check_level(level)
  rlang::check_installed("ggplot2", "to draw plots")
  switch(which,
    residuals = plot_residuals(x), qq = plot_qq(x, level, band), ranef = plot_ranef(x, group, level), `ranef-qq` = plot_ranef_qq(x, group, level, band),
    `scale-location` = plot_scale_location(x, group), predictors = plot_predictors(x, group), mahalanobis = plot_mahalanobis(x, group, level),
    influence = plot.hlm_influence(influence_of(x, check_group(x, group))),
    `within-between` = draw_within_between(x, split_variable(x, term), ...), slopes = , caterpillar = plot_slopes(x, term, group, level, ...),
    forest = plot_forest(x, term, group, level, ...)
  )
}

theme_hlm <- function() {
  ggplot2::theme_minimal(base_size = 11) + ggplot2::theme(
    panel.grid.minor = ggplot2::element_blank(), legend.position = "bottom", strip.text = ggplot2::element_text(face = "bold"),
    plot.title.position = "plot"
  )
}

# One dark ink, one accent; both stay apart in grey print and for colour-blind readers.
ink <- "#26384A"
accent <- "#C4532A"

plot_residuals <- function(x) {
  fitted <- fixed_predictor(x) + random_predictor(x)
  table <- data.frame(fitted = fitted, residual = unname(stats::na.omit(residuals.hlm(x, "scaled"))))
  smooth <- stats::lowess(table$fitted, table$residual)
  ggplot2::ggplot(table, ggplot2::aes(.data$fitted, .data$residual)) +
    ggplot2::geom_hline(yintercept = 0, colour = "grey60") +
    ggplot2::geom_point(colour = ink, alpha = point_alpha(nrow(table)), size = 1.2) +
    ggplot2::geom_line(data = data.frame(fitted = smooth$x, residual = smooth$y), colour = accent, linewidth = 0.8) +
    ggplot2::labs(x = "Fitted value", y = "Residual (in residual SDs)") + theme_hlm()
}

point_alpha <- function(n) max(0.05, min(0.7, 300 / n))

plot_ranef <- function(x, group, level) {
  group <- check_group(x, group)
  long <- as.data.frame(ranef.hlm(x, whichel = group))
  half <- stats::qnorm(1 - (1 - level) / 2) * long$condsd
  long$low <- long$condval - half
  long$high <- long$condval + half
  plot <- ggplot2::ggplot(long, ggplot2::aes(.data$condval, .data$grp)) +
    ggplot2::geom_vline(xintercept = 0, colour = "grey60") +
    ggplot2::geom_linerange(ggplot2::aes(xmin = .data$low, xmax = .data$high), colour = ink, alpha = 0.5) +
    ggplot2::geom_point(colour = ink, size = 1.2) +
    ggplot2::facet_wrap(ggplot2::vars(.data$term), scales = "free_x") +
    ggplot2::labs(x = "Deviation from the average", y = plain_level(group)) + theme_hlm()
  # Labels of more groups than fit on a page only blacken the axis.
  if (nlevels(long$grp) > 60L) {
    plot <- plot + ggplot2::theme(axis.text.y = ggplot2::element_blank(), panel.grid.major.y = ggplot2::element_blank())
  }
  plot
}

# A nested factor answers to its own name, too: "patient" for "patient:therapist".
check_group <- function(x, group) {
  names <- group_names(x)
  if (is.null(group)) return(names[[1L]])
  one <- is.character(group) && length(group) == 1L
  if (one && group %in% names) return(group)
  nested <- if (one) names[vapply(strsplit(names, ":", fixed = TRUE), `[[`, "", 1L) %in% group]
  if (length(nested) != 1L) {
    abort_hlm("data", c(
      "{.arg group} = {.val {group}} is not a grouping factor of this model.",
      i = "Grouping factors: {.val {names}}."
    ))
  }
  nested
}
