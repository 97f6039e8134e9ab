# Pictures of simple slopes and of Johnson-Neyman regions ('ggplot2').

#' Plots of simple slopes and Johnson-Neyman regions
#'
#' `plot(simple_slopes(...))`: the expected outcome over the predictor at each value of the moderator, with confidence bands; the ticks below are the
#' observed values of the predictor. Other numbers are held at their mean and other categories averaged. With a second moderator one panel for each of
#' its values. For a categorical predictor points and intervals.
#'
#' `plot(johnson_neyman(...))`: the slope of the predictor over the moderator with its confidence band, coloured where it differs from zero. Dashed lines: the
#' bounds. Ticks: the observed values of the moderator, one per person for variables of persons. Grey: beyond the observed values, where nothing can be
#' concluded.
#'
#' @param x The result of [simple_slopes()] or [johnson_neyman()].
#' @param band Draw confidence bands?
#' @param rug Draw ticks for the observed values?
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed.
#' @source Displays after Bauer and Curran (2005), *Multivariate Behavioral Research* 40, 373-400, figures 2 and 4.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(bai ~ session + within(wai) * between(wai) + (1 | id), implement, time = session)
#' plot(simple_slopes(fit, wai_within, wai_between))
#' plot(johnson_neyman(fit, wai_within, wai_between))
#' @name plot-probe
NULL

#' @rdname plot-probe
#' @export
plot.hlm_simple_slopes <- function(x, band = TRUE, rug = TRUE, ...) {
  check_dots(...)
  check_flag(band, "band")
  check_flag(rug, "rug")
  rlang::check_installed("ggplot2", "to draw plots")
  table <- x$lines
  same <- x$pred$name == x$modx$name
  table$group <- line_groups(x, table)
  plot <- if (x$pred$kind == "factor") plot_points(x, table, band) else plot_lines(x, table, band, rug, same)
  if (!is.null(x$mod2)) {
    table$panel <- panel_words(x$mod2$name, table$mod2, table$mod2_label)
    plot$data <- table
    plot <- plot + ggplot2::facet_wrap(ggplot2::vars(.data$panel))
  }
  colours <- probe_colours(nlevels(table$group))
  plot + ggplot2::scale_colour_manual(name = x$modx$name, values = colours, guide = if (same) "none" else "legend", aesthetics = c("colour", "fill")) +
    ggplot2::labs(x = x$pred$name, y = paste("Expected", x$outcome)) + theme_hlm()
}

line_groups <- function(x, table) {
  if (all(is.na(table$modx))) return(factor(rep("", nrow(table))))
  words <- value_words(table$modx, table$modx_label)
  # the highest value on top of the legend, as the lines are read
  levels <- unique(words[if (is.numeric(table$modx)) order(table$modx) else seq_along(words)])
  factor(words, levels = levels)
}

panel_words <- function(name, value, words) {
  text <- paste(name, "=", value_words(value, words))
  factor(text, levels = unique(text))
}

plot_lines <- function(x, table, band, rug, same) {
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$x, .data$estimate, colour = .data$group))
  if (band) {
    plot <- plot + ggplot2::geom_ribbon(
      ggplot2::aes(ymin = .data$lower, ymax = .data$upper, fill = .data$group), alpha = 0.12, colour = NA
    )
  }
  plot <- plot + ggplot2::geom_line(linewidth = 0.9)
  if (rug) plot <- plot + value_rug(x$observed)
  plot
}

# Many ticks blacken the axis; evenly chosen ones show the same.
value_rug <- function(values) {
  values <- sort(values)
  if (length(values) > 500L) values <- values[unique(round(seq(1, length(values), length.out = 500L)))]
  ggplot2::geom_rug(
    data = data.frame(x = values), ggplot2::aes(.data$x), inherit.aes = FALSE, sides = "b", colour = ink,
    alpha = max(0.15, min(0.6, 60 / length(values))), length = ggplot2::unit(0.025, "npc")
  )
}

plot_points <- function(x, table, band) {
  table$x <- factor(table$x, levels = unique(table$x))
  dodge <- ggplot2::position_dodge(width = 0.35)
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$x, .data$estimate, colour = .data$group, group = .data$group)) +
    ggplot2::geom_line(position = dodge, alpha = 0.4)
  if (band) {
    plot <- plot + ggplot2::geom_linerange(ggplot2::aes(ymin = .data$lower, ymax = .data$upper), position = dodge, linewidth = 0.7)
  }
  plot + ggplot2::geom_point(position = dodge, size = 2.2)
}

# From the lowest to the highest value; far apart also in grey print.
probe_colours <- function(n) {
  base <- c(ink, "#3F7F93", accent)
  if (n == 1L) return(ink)
  if (n == 2L) return(c(ink, accent))
  if (n == 3L) base else grDevices::colorRampPalette(c(base, "#E3B34C"))(n)
}

#' @rdname plot-probe
#' @export
plot.hlm_johnson_neyman <- function(x, rug = TRUE, ...) {
  check_dots(...)
  check_flag(rug, "rug")
  rlang::check_installed("ggplot2", "to draw plots")
  curve <- neyman_panels(x, x$curve)
  pieces <- curve_pieces(x, curve)
  words <- significance_words(x)
  colours <- stats::setNames(c(accent, "#8C9BAB"), words)
  pieces$kind <- factor(words[2L - pieces$significant], levels = words)
  plot <- ggplot2::ggplot(pieces, ggplot2::aes(.data$modx, .data$Estimate)) + beyond_data(curve, x$modx$range) +
    ggplot2::geom_hline(yintercept = 0, colour = "grey40", linewidth = 0.4) +
    ggplot2::geom_ribbon(ggplot2::aes(ymin = .data$lower, ymax = .data$upper, fill = .data$kind, group = .data$piece), alpha = 0.25) +
    ggplot2::geom_line(ggplot2::aes(colour = .data$kind, group = .data$piece), linewidth = 0.9)
  drawn <- range(curve$modx)
  bounds <- neyman_panels(x, x$bounds[x$bounds$bound >= drawn[[1L]] & x$bounds$bound <= drawn[[2L]], , drop = FALSE])
  if (nrow(bounds)) {
    plot <- plot + ggplot2::geom_vline(data = bounds, ggplot2::aes(xintercept = .data$bound), linetype = "dashed", colour = ink, linewidth = 0.4)
  }
  if (rug) plot <- plot + value_rug(x$observed[x$observed >= drawn[[1L]] & x$observed <= drawn[[2L]]])
  if (nlevels(curve$panel) > 1L) plot <- plot + ggplot2::facet_wrap(ggplot2::vars(.data$panel))
  plot + ggplot2::scale_colour_manual(name = NULL, values = colours, drop = FALSE, aesthetics = c("colour", "fill")) +
    ggplot2::scale_x_continuous(expand = c(0, 0)) +
    ggplot2::labs(
      x = x$modx$name, y = if (x$pred$kind == "factor") paste("Difference,", x$pred$name) else paste("Slope of", x$pred$name),
      caption = if (any(beyond_parts(curve, x$modx$range)$from < beyond_parts(curve, x$modx$range)$to)) "Grey: beyond the observed values"
    ) + theme_hlm() + ggplot2::theme(panel.spacing = ggplot2::unit(1, "lines"))
}

significance_words <- function(x) {
  how <- switch(x$adjust,
    none = paste0("(p < ", format(x$alpha, digits = 3L), ")"), fdr = paste0("(false discovery rate ", percent_words(x$alpha), ")"),
    simultaneous = paste0("(", percent_words(1 - x$alpha), " simultaneous)")
  )
  c(paste("differs from zero", how), "not different from zero")
}

neyman_panels <- function(x, table) {
  words <- vapply(seq_len(nrow(table)), function(i) block_heading(x, table[i, ]), "")
  keys <- vapply(which(!duplicated(curve_keys(x$regions))), function(i) block_heading(x, x$regions[i, ]), "")
  table$panel <- factor(words, levels = unique(keys))
  table
}

# The curve cut at its bounds, so that colours change exactly there.
curve_pieces <- function(x, curve) {
  parts <- lapply(split(curve, curve$panel), function(one) {
    bounds <- x$bounds$bound[curve_keys(x$bounds) == curve_keys(one)[[1L]]]
    bounds <- bounds[bounds > min(one$modx) & bounds < max(one$modx)]
    numbers <- c("Estimate", "lower", "upper")
    at <- lapply(one[numbers], function(v) stats::approx(one$modx, v, bounds)$y)
    piece <- findInterval(one$modx, bounds)
    rows <- data.frame(modx = one$modx, one[numbers], piece = piece, check.names = FALSE)
    if (length(bounds)) {
      k <- seq_along(bounds)
      rows <- rbind(rows, data.frame(modx = bounds, at, piece = k - 1L), data.frame(modx = bounds, at, piece = k))
    }
    regions <- x$regions[curve_keys(x$regions) == curve_keys(one)[[1L]], ]
    middle <- tapply(rows$modx, rows$piece, function(m) mean(range(m)))
    significant <- regions$significant[pmax(1L, findInterval(middle, regions$from))]
    rows$significant <- significant[match(rows$piece, as.integer(names(middle)))]
    rows$panel <- one$panel[[1L]]
    rows$piece <- paste(rows$panel, rows$piece)
    rows[order(rows$piece, rows$modx), ]
  })
  do.call(rbind, unname(parts))
}

beyond_parts <- function(curve, observed) {
  drawn <- range(curve$modx)
  data.frame(from = c(drawn[[1L]], max(drawn[[1L]], observed[[2L]])), to = c(min(drawn[[2L]], observed[[1L]]), drawn[[2L]]))
}

beyond_data <- function(curve, observed) {
  parts <- beyond_parts(curve, observed)
  parts <- parts[parts$from < parts$to, , drop = FALSE]
  if (!nrow(parts)) return(NULL)
  ggplot2::geom_rect(
    data = parts, ggplot2::aes(xmin = .data$from, xmax = .data$to, ymin = -Inf, ymax = Inf), inherit.aes = FALSE, fill = "grey85", alpha = 0.5
  )
}
