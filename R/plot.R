# Diagnostic plots of a fit ('ggplot2').

#' Plots of a fitted model
#'
#' `"residuals"`: residuals against fitted values, with a smooth line that should stay near zero. `"qq"`: residuals against
#' normal quantiles. `"ranef"`: the deviation of each group from the average with its uncertainty, sorted (a caterpillar plot).
#'
#' @param x A fitted model of class `hlm`.
#' @param which `"residuals"` (default), `"qq"` or `"ranef"`.
#' @param group For `"ranef"`: the grouping factor; by default the first.
#' @param level For `"ranef"`: coverage of the bars.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` when
#'   `group` is not a grouping factor.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' plot(fit)
#' plot(fit, "ranef")
#' @importFrom rlang .data
#' @export
plot.hlm <- function(x, which = c("residuals", "qq", "ranef"), group = NULL, level = 0.95, ...) {
  which <- match.arg(which)
  rlang::check_installed("ggplot2", "to draw plots")
  switch(which, residuals = plot_residuals(x), qq = plot_qq(x), ranef = plot_ranef(x, group, level))
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

plot_qq <- function(x) {
  residual <- sort(unname(stats::na.omit(residuals.hlm(x, "scaled"))))
  table <- data.frame(normal = stats::qnorm(stats::ppoints(length(residual))), residual = residual)
  ggplot2::ggplot(table, ggplot2::aes(.data$normal, .data$residual)) +
    ggplot2::geom_abline(slope = 1, intercept = 0, colour = "grey60") +
    ggplot2::geom_point(colour = ink, alpha = point_alpha(nrow(table)), size = 1.2) +
    ggplot2::labs(x = "Normal quantile", y = "Residual (in residual SDs)") + theme_hlm()
}

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

check_group <- function(x, group) {
  if (is.null(group)) return(group_names(x)[[1L]])
  if (!is.character(group) || length(group) != 1L || !group %in% group_names(x)) {
    abort_hlm("data", c(
      "{.arg group} = {.val {group}} is not a grouping factor of this model.",
      i = "Grouping factors: {.val {group_names(x)}}."
    ))
  }
  group
}
