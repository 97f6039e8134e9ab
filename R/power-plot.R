# Power curves, heat-maps, and the figures of one design ('ggplot2').

#' Plot power
#'
#' With one thing that varies, a curve for each effect; with two or more, a heat-map of the first two (or curves over the first one, a
#' line for each value of the second); for a single design the share of significant replicates of each effect. Bands and bars are Monte-Carlo intervals.
#'
#' @param x The result of [power_hlm()].
#' @param type `"curve"` or `"heatmap"`; by default a heat-map for two numbers that vary, otherwise curves.
#' @param effects Names of the effects to show (column `effect` of the table); by default all but the intercept, in heat-maps all with a true effect.
#' @param target Power that is aimed at: a dashed line, and in heat-maps a frame around designs that reach it. `NULL`: none.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` for an unknown effect or a
#'   heat-map of fewer than two things that vary.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' design <- hlm_design(60, 5, within = -0.2, between = -0.3)
#' plot(power_hlm(design, nsim = 100, vary = list(n_patients = c(30, 60, 120)), seed = 1))
#' @export
plot.hlm_power <- function(x, type = NULL, effects = NULL, target = 0.8, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!is.null(target)) check_level(target, "target")
  numeric <- vapply(x$cells[x$vary], is.numeric, NA)
  several <- length(x$vary) >= 2L
  type <- if (is.null(type)) if (several && all(numeric[1:2])) "heatmap" else "curve" else check_choice(type, c("curve", "heatmap"), "type")
  table <- plot_power_rows(x, effects, type == "heatmap" && several)
  if (!length(x$vary)) return(plot_power_bars(table, x, target))
  if (type == "curve") return(plot_power_curve(table, x, target))
  if (!several) abort_hlm("data", "A heat-map needs two things that vary; this grid has {length(x$vary)}. Use {.code type = \"curve\"}.")
  plot_power_heatmap(table, x, target)
}

plot_power_rows <- function(x, effects, true_only) {
  table <- x$table
  known <- unique(table$effect)
  if (!is.null(effects)) {
    unknown <- setdiff(effects, known)
    if (length(unknown)) abort_hlm("data", c("{.arg effects} names {.val {unknown}}, which {?is/are} not in the result.", i = "Effects: {.val {known}}."))
    table <- table[table$effect %in% effects, ]
  } else {
    table <- without_intercept(table)
    if (true_only && any(table$quantity %in% "power")) table <- table[table$effect %in% table$effect[table$quantity %in% "power"], ]
  }
  name <- if (is.null(x$design)) table$term else table$label
  table$name <- factor(name, levels = unique(name))
  table
}

vary_words <- c(
  n_patients = "Number of patients", n_sessions = "Number of sessions", n_therapists = "Number of therapists", reliability = "Reliability of x in one session",
  dropout = "Dropout", within = "Within effect", between = "Between effect", interaction = "Interaction", icc = "ICC of the outcome",
  icc_x = "Share of x between patients", slope_sd = "SD of the within effect"
)

vary_label <- function(name) if (name %in% names(vary_words)) vary_words[[name]] else name

percent_axis <- function(v) paste0(round(100 * v), " %")

share_scale <- function() {
  ggplot2::scale_y_continuous(limits = c(0, 1), breaks = seq(0, 1, 0.2), labels = percent_axis, expand = ggplot2::expansion(mult = 0.02))
}

target_line <- function(target) if (!is.null(target)) ggplot2::geom_hline(yintercept = target, linetype = "dashed", colour = accent)

power_caption <- function(x, target) {
  parts <- c(
    paste0(format(x$nsim, big.mark = ","), " replicates per design, tests at ", format(x$alpha)),
    paste0("bands: ", round(100 * x$conf.level), " % Monte-Carlo intervals"), if (!is.null(target)) paste0("dashed: ", round(100 * target), " %")
  )
  paste0(paste(parts, collapse = "; "), ".")
}

# Axis titles keep their distance from the numbers.
theme_power <- function() {
  theme_hlm() + caption_left() + ggplot2::theme(
    axis.title.x = ggplot2::element_text(margin = ggplot2::margin(t = 6)), axis.title.y = ggplot2::element_text(margin = ggplot2::margin(r = 8))
  )
}

plot_power_bars <- function(table, x, target) {
  table$name <- factor(table$name, levels = rev(levels(table$name)))
  table$there <- ifelse(table$quantity %in% "power", "there is an effect", "there is none")
  mixed <- length(unique(table$there)) > 1L
  ggplot2::ggplot(table, ggplot2::aes(.data$power, .data$name)) +
    (if (!is.null(target)) ggplot2::geom_vline(xintercept = target, linetype = "dashed", colour = accent)) +
    ggplot2::geom_linerange(ggplot2::aes(xmin = .data$power_lower, xmax = .data$power_upper), colour = ink, linewidth = 1) +
    ggplot2::geom_point(ggplot2::aes(shape = .data$there), colour = ink, fill = "white", size = 2.6) +
    ggplot2::scale_shape_manual(values = c(`there is an effect` = 19, `there is none` = 21), name = NULL, guide = if (mixed) "legend" else "none") +
    ggplot2::scale_x_continuous(limits = c(0, 1), breaks = seq(0, 1, 0.2), labels = percent_axis) +
    ggplot2::labs(
      title = "How often is the effect significant?", x = "Share of replicates", y = NULL, caption = sub("bands", "bars", power_caption(x, target))
    ) +
    theme_power()
}

# The first thing that varies along the axis, the second one as lines, further ones as panels.
plot_power_curve <- function(table, x, target) {
  along <- x$vary[[1L]]
  by <- if (length(x$vary) > 1L) x$vary[[2L]]
  rest <- x$vary[-(1:2)]
  table$along <- table[[along]]
  line <- if (is.null(by)) table$name else factor(table[[by]], levels = unique(table[[by]]))
  table$line <- line <- droplevels(line)
  panels <- c(if (!is.null(by)) "name", rest)
  colours <- if (nlevels(line) <= 1L) ink else line_colours(nlevels(line), !is.null(by))
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$along, .data$power, colour = .data$line, fill = .data$line, group = .data$line)) + target_line(target)
  if (is.numeric(table$along)) {
    plot <- plot + ggplot2::geom_ribbon(ggplot2::aes(ymin = .data$power_lower, ymax = .data$power_upper), alpha = 0.18, colour = NA) +
      ggplot2::geom_line(linewidth = 0.7) + ggplot2::scale_x_continuous(breaks = axis_values(table$along))
  } else {
    plot <- plot + ggplot2::geom_linerange(
      ggplot2::aes(ymin = .data$power_lower, ymax = .data$power_upper), position = ggplot2::position_dodge(0.3), linewidth = 0.8, show.legend = FALSE
    ) + ggplot2::scale_x_discrete(labels = function(label) vapply(strwrap(label, 14L, simplify = FALSE), paste, "", collapse = "\n"))
  }
  position <- if (is.numeric(table$along)) "identity" else ggplot2::position_dodge(0.3)
  plot <- plot + ggplot2::geom_point(size = 1.8, position = position) + share_scale() +
    ggplot2::scale_colour_manual(values = colours, aesthetics = c("colour", "fill"), name = if (!is.null(by)) vary_label(by)) +
    ggplot2::labs(
      title = if (nlevels(droplevels(table$name)) == 1L) paste("Power:", table$name[[1L]]) else "Power", x = vary_label(along), y = "Share significant",
      caption = power_caption(x, target)
    ) + theme_power()
  if (is.null(by)) {
    legend <- if (nlevels(droplevels(line)) > 1L) ggplot2::guide_legend(ncol = 2L) else "none"
    plot <- plot + ggplot2::guides(colour = legend, fill = legend)
  }
  if (length(panels)) plot <- plot + ggplot2::facet_wrap(panels, labeller = power_panels(rest))
  plot
}

# Shades in order for values, colours that differ for effects; the palest shade would not show.
line_colours <- function(n, ordered) {
  if (ordered) grDevices::hcl.colors(n + 1L, "Viridis", rev = TRUE)[-1L] else grDevices::hcl.colors(n, "Dark 3")
}

# "reliability: 0.8" above a panel; effects by their name alone.
power_panels <- function(rest) {
  named <- lapply(stats::setNames(rest, rest), function(name) function(value) paste0(vary_label(name), ": ", value))
  do.call(ggplot2::labeller, named)
}

# The values themselves as breaks when they are few and apart.
axis_values <- function(values) {
  values <- sort(unique(values))
  if (length(values) > 8L || length(values) > 1L && min(diff(values)) < diff(range(values)) / 16) return(ggplot2::waiver())
  values
}

plot_power_heatmap <- function(table, x, target) {
  axes <- x$vary[1:2]
  rest <- x$vary[-(1:2)]
  table$first <- factor(table[[axes[[1L]]]], levels = sort(unique(table[[axes[[1L]]]])))
  table$second <- factor(table[[axes[[2L]]]], levels = sort(unique(table[[axes[[2L]]]])))
  table$reached <- if (is.null(target)) FALSE else table$power >= target
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$first, .data$second, fill = .data$power)) +
    ggplot2::geom_tile(colour = "white", linewidth = 0.6) +
    ggplot2::geom_tile(data = table[table$reached, ], colour = accent, linewidth = 0.9, fill = NA, width = 0.92, height = 0.92) +
    ggplot2::geom_text(ggplot2::aes(label = round(100 * .data$power)), colour = ifelse(table$power > 0.55, "white", "grey15"), size = 3.2) +
    ggplot2::scale_fill_gradient(low = "#EEF2F5", high = ink, limits = c(0, 1), breaks = seq(0, 1, 0.25), labels = percent_axis, name = "Power") +
    ggplot2::facet_wrap(c("name", rest), labeller = power_panels(rest)) +
    ggplot2::labs(
      title = "Power (%)", x = vary_label(axes[[1L]]), y = vary_label(axes[[2L]]),
      caption = paste0(
        format(x$nsim, big.mark = ","), " replicates per design, tests at ", format(x$alpha),
        if (!is.null(target)) paste0("; framed: at least ", round(100 * target), " %"), "."
      )
    ) + theme_power() + ggplot2::theme(panel.grid = ggplot2::element_blank(), legend.key.width = ggplot2::unit(1.6, "cm"))
  plot
}
