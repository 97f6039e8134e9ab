# Histograms of bootstrap replicates.

#' Plot bootstrap replicates
#'
#' One panel per parameter: the distribution of the replicates, the estimate (solid line) and the limits of an interval (dashed lines). A
#' distribution far from normal, or piled up at zero, says that a standard error alone would mislead.
#'
#' @param x The result of [bootstrap()].
#' @param parm Which parameters; as in [confint.hlm_boot()].
#' @param level,boot.type The interval shown; see [confint.hlm_boot()].
#' @param bins Number of bars.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` for an unknown parameter.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' plot(bootstrap(fit, nsim = 500, seed = 1))
#' @export
plot.hlm_boot <- function(x, parm, level = 0.95, boot.type = "percentile", bins = 40, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  chosen <- if (missing(parm)) which(x$kind != "vcov") else match_boot_parameters(parm, x)
  limits <- confint.hlm_boot(x, chosen, level, boot.type)
  names <- factor(names(x$t0)[chosen], levels = names(x$t0)[chosen])
  table <- data.frame(parameter = rep(names, each = x$nsim), value = as.double(x$t[, chosen]))
  lines <- data.frame(parameter = names, estimate = x$t0[chosen])
  ends <- data.frame(parameter = rep(names, 2L), limit = as.double(limits))
  ggplot2::ggplot(table[is.finite(table$value), ], ggplot2::aes(.data$value)) +
    ggplot2::geom_histogram(bins = bins, fill = ink, alpha = 0.35, colour = NA) +
    ggplot2::geom_vline(data = lines[is.finite(lines$estimate), ], ggplot2::aes(xintercept = .data$estimate), colour = accent, linewidth = 0.8) +
    ggplot2::geom_vline(data = ends[is.finite(ends$limit), ], ggplot2::aes(xintercept = .data$limit), colour = accent, linetype = "dashed") +
    ggplot2::facet_wrap(ggplot2::vars(.data$parameter), scales = "free") +
    ggplot2::labs(x = "Estimate in the replicates", y = "Number of replicates") + theme_hlm()
}
