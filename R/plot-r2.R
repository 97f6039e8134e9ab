# The decomposition of the variance as stacked bars.

#' Plot a decomposition of the variance
#'
#' One bar for the total variance and one for each level, stacked from what predictors explain to the residual. A wide second bar
#' (much within variance) with little colour says that most of what happens from session to session is not explained.
#'
#' @param x The result of [r2()] with `method = "rights-sterba"` or `"nakagawa"`.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` for the other
#'   methods, which are no shares of one variance.
#' @source Display after Rights and Sterba (2019), *Psychological Methods* 24, figure 1.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ within(Days) + (1 + within(Days) | Subject), lme4::sleepstudy)
#' plot(r2(fit))
#' @export
plot.hlm_r2 <- function(x, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!x$method %in% c("rights-sterba", "nakagawa")) {
    abort_hlm("data", c(
      "The R squared of method {.val {x$method}} are no shares of one variance: there is nothing to stack.",
      i = "Use {.code plot(r2(fit))}."
    ))
  }
  table <- if (x$method == "nakagawa") bars_nakagawa(x) else bars_rights_sterba(x)
  sources <- levels(table$source)
  ggplot2::ggplot(table, ggplot2::aes(.data$bar, .data$share, fill = .data$source)) +
    ggplot2::geom_col(width = 0.65, colour = "white", linewidth = 0.3) +
    ggplot2::scale_fill_manual(name = NULL, values = stats::setNames(source_colours(table), sources)) +
    ggplot2::scale_y_continuous(labels = function(v) paste0(format(100 * v, trim = TRUE), " %"), expand = c(0, 0)) +
    ggplot2::scale_x_discrete(labels = function(name) sub("-", "-\n", name, fixed = TRUE)) +
    ggplot2::guides(fill = ggplot2::guide_legend(ncol = 1L)) +
    ggplot2::labs(x = NULL, y = "Share of the variance") + theme_hlm() +
    ggplot2::theme(legend.position = "right", panel.grid.major.x = ggplot2::element_blank())
}

# Stacked from below: predictors first, the residual on top.
bars_rights_sterba <- function(x) {
  components <- x$components
  order <- order(match(components$source, c("residual", "means", "slopes", "fixed")), -components$level)
  label <- paste0(components$meaning, ifelse(components$source == "residual", "", paste0(" (", components$component, ")")))
  names <- x$levels$name
  table <- data.frame(
    bar = factor(c(rep("total", nrow(components)), names[components$level]), levels = c("total", names)),
    source = factor(rep(label, 2L), levels = label[order]), kind = rep(components$source, 2L),
    share = c(components$share, components$share_level)
  )
  # a level without any variance has no bar
  table[!is.na(table$share), , drop = FALSE]
}

bars_nakagawa <- function(x) {
  estimate <- x$measures$estimate
  label <- c("predictors", "random effects", "residual")
  data.frame(
    bar = factor("total"), source = factor(label, levels = rev(label)), kind = c("fixed", "means", "residual"),
    share = c(estimate[[1L]], estimate[[2L]] - estimate[[1L]], 1 - estimate[[2L]])
  )
}

# Predictors in the accent, slopes in blue-green, means in the ink, each lighter from level to level; the residual in grey.
source_shades <- function() {
  list(
    fixed = c(accent, "#DD8F73", "#EBC4B3", "#F5E1D9"), slopes = c("#3F7F93", "#6A9CAC", "#96BAC5", "#BBD7DF"),
    means = c(ink, "#596A7B", "#8C9BAB", "#B9C3CD"), residual = "#DDDDDD"
  )
}

source_colours <- function(table) {
  sources <- levels(table$source)
  kind <- table$kind[match(sources, table$source)]
  colours <- character(length(sources))
  for (name in names(source_shades())) {
    mine <- rev(which(kind == name))
    colours[mine] <- rep_len(source_shades()[[name]], length(mine))
  }
  colours
}
