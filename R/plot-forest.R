# Forest plot of the persons' slopes, as in a meta-analysis with persons as studies.

#' Forest plot of the persons' slopes
#'
#' One line per person: the slope of the person's own least-squares line (open circle, thin line) and the slope that the model gives the person, shrunken
#' towards the average (square, its size by the number of rows), with intervals; on the left the person and the number of rows, on the right the
#' model's slope in numbers. Below, the average slope (a diamond from limit to limit) and the range in which the slope of a new person is
#' expected. An arrow marks an interval that goes on beyond the plot.
#'
#' @inheritParams plot_slopes
#' @param max_persons At most so many persons, spread evenly over the sorted slopes. The average is that of all.
#' @param sort Order of the persons: by the model's `"slope"`, by the `"own"` line, by `"n"` rows, or as in the data (`"none"`).
#' @param limits Limits of the axis; by default wide enough for the model's intervals and most of the own lines.
#' @return A 'ggplot' object.
#' @section Errors: As [person_slopes()].
#' @source Display after Lewis and Clarke (2001), *BMJ* 322, 1479-1480.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' plot_forest(fit, "Days")
#' @export
plot_forest <- function(x, term = NULL, group = NULL, level = 0.95, own = c("alone", "adjusted"), ddf = NULL, max_persons = 40L,
                        sort = c("slope", "own", "n", "none"), limits = NULL, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(x, "hlm_person_slopes")) x <- person_slopes(x, term, group, level, own, ddf)
  check_max_persons(max_persons)
  sort <- check_choice(sort, c("slope", "own", "n", "none"), "sort")
  if (!is.null(limits) && (!is.numeric(limits) || length(limits) != 2L || !isTRUE(limits[[1L]] < limits[[2L]]))) {
    abort_hlm("data", "{.arg limits} must be two numbers, the lower one first.")
  }
  table <- forest_table(x, max_persons, sort)
  if (is.null(limits)) limits <- forest_limits(x, table)
  unit <- plain_level(x$group)
  hidden <- nrow(x$slopes) - nrow(table)
  plot <- ggplot2::ggplot() + forest_average_lines(x) +
    forest_bars(table, "own_lower", "own_upper", "place_own", limits, "own line", 0.35) +
    forest_bars(table, "lower", "upper", "place", limits, "model", 0.7) + forest_points(table, limits) + forest_summary(x, limits) +
    ggplot2::scale_colour_manual(name = NULL, values = forest_colours()) +
    ggplot2::scale_shape_manual(name = NULL, values = c("own line" = 1L, model = 15L)) +
    ggplot2::scale_size_area(max_size = if (nrow(table) > 30L) 2.2 else 3, guide = "none") + forest_axis(x, table) +
    ggplot2::coord_cartesian(xlim = limits, clip = "on") +
    ggplot2::labs(
      x = paste0("Slope of ", x$outcome, " in ", x$term), y = NULL, title = paste0("Slope of each ", unit),
      subtitle = paste0(slope_subtitle(x), if (hidden > 0L) paste0("\n", nrow(table), " of them shown, from the lowest to the highest")),
      caption = paste0(format(100 * x$level), " % intervals. own line: from the ", unit, "'s own rows alone; model: shrunken towards the average.")
    ) + theme_hlm() + caption_left() + forest_theme(nrow(table))
  plot
}

forest_colours <- function() c("own line" = "grey60", model = ink)

# Rows from the top down; the own line a little below the model's.
forest_table <- function(x, max_persons, sort) {
  table <- x$slopes
  # Limits of the person's own line from its t distribution.
  half <- ifelse(is.na(table$ols_se), NA, suppressWarnings(stats::qt((1 + x$level) / 2, table$ols_df)) * table$ols_se)
  table$own_lower <- table$ols - half
  table$own_upper <- table$ols + half
  table <- table[order(table$slope, table$person), , drop = FALSE]
  table <- table[even_places(nrow(table), max_persons), , drop = FALSE]
  key <- switch(sort, slope = table$slope, own = table$ols, n = -table$n, none = match(table$person, x$slopes$person))
  table <- table[order(key), , drop = FALSE]
  table$place <- rev(seq_len(nrow(table))) + 2
  table$place_own <- table$place - 0.25
  table
}

# The model's intervals, the range for a new person and the middle of the own lines; an own line of two sessions may be anywhere.
forest_limits <- function(x, table) {
  core <- range(table$lower, table$upper, x$new, 0)
  own <- table$ols[is.finite(table$ols)]
  room <- 0.6 * diff(core)
  if (length(own)) core <- range(core, pmin(pmax(own, core[[1L]] - room), core[[2L]] + room))
  core + c(-1, 1) * 0.03 * diff(core)
}

# Intervals cut at the limits end in an arrow.
forest_bars <- function(table, low, high, place, limits, what, width) {
  bars <- data.frame(low = table[[low]], high = table[[high]], place = table[[place]], what = what)
  bars <- bars[!is.na(bars$low) & bars$low < limits[[2L]] & bars$high > limits[[1L]], , drop = FALSE]
  left <- bars$low < limits[[1L]]
  right <- bars$high > limits[[2L]]
  bars$low <- pmax(bars$low, limits[[1L]])
  bars$high <- pmin(bars$high, limits[[2L]])
  point <- ggplot2::arrow(length = ggplot2::unit(0.045, "inches"), angle = 25, type = "open")
  segment <- function(rows, from, to, arrow) {
    if (!any(rows)) return(NULL)
    ggplot2::geom_segment(
      data = bars[rows, , drop = FALSE], arrow = arrow, linewidth = width, show.legend = FALSE,
      ggplot2::aes(x = .data[[from]], xend = .data[[to]], y = .data$place, yend = .data$place, colour = .data$what)
    )
  }
  list(segment(!left & !right, "low", "high", NULL), segment(right, "low", "high", point), segment(left, "high", "low", point))
}

forest_points <- function(table, limits) {
  own <- data.frame(value = table$ols, place = table$place_own, what = "own line")
  own <- own[is.finite(own$value) & own$value >= limits[[1L]] & own$value <= limits[[2L]], , drop = FALSE]
  model <- data.frame(value = table$slope, place = table$place, n = table$n, what = "model")
  list(
    ggplot2::geom_point(
      data = own, size = 1.2, stroke = 0.5, ggplot2::aes(.data$value, .data$place, colour = .data$what, shape = .data$what)
    ),
    ggplot2::geom_point(
      data = model, ggplot2::aes(.data$value, .data$place, colour = .data$what, shape = .data$what, size = .data$n)
    )
  )
}

forest_average_lines <- function(x) {
  list(
    ggplot2::geom_vline(xintercept = 0, colour = "grey40", linetype = "dashed", linewidth = 0.4),
    if (!is.null(x$average)) ggplot2::geom_vline(xintercept = x$average$Estimate, colour = accent, linewidth = 0.35, alpha = 0.7),
    ggplot2::geom_hline(yintercept = 2.1, colour = "grey50", linewidth = 0.4)
  )
}

# The diamond of the average in row 1, the range for a new person in row 0.
forest_summary <- function(x, limits) {
  new <- pmin(pmax(x$new, limits[[1L]]), limits[[2L]])
  range <- ggplot2::annotate("segment", x = new[[1L]], xend = new[[2L]], y = 0.2, yend = 0.2, colour = accent, linewidth = 0.9, lineend = "square")
  if (is.null(x$average)) return(range)
  a <- x$average
  diamond <- data.frame(x = c(a$lower, a$Estimate, a$upper, a$Estimate), y = 1.2 + c(0, 0.36, 0, -0.36))
  list(range, ggplot2::geom_polygon(data = diamond, ggplot2::aes(.data$x, .data$y), fill = accent, colour = accent))
}

# Names and numbers are the labels of two axes, so that they cannot run into the picture whatever its size.
forest_axis <- function(x, table) {
  number <- slope_numbers(x)
  interval <- function(value, low, high) paste0(number(value), "  [", number(low), ", ", number(high), "]")
  unit <- plain_level(x$group)
  average <- if (is.null(x$average)) "" else interval(x$average$Estimate, x$average$lower, x$average$upper)
  places <- c(max(table$place) + 1, table$place, 1.2, 0.2)
  left <- c(paste0(unit, " (rows)"), paste0(short_labels(table$person), " (", table$n, ")"), "Average", paste("Range for a new", unit))
  right <- c(
    paste0("slope  [", format(100 * x$level), " % interval]"), interval(table$slope, table$lower, table$upper), average,
    paste0("[", number(x$new[[1L]]), ", ", number(x$new[[2L]]), "]")
  )
  ggplot2::scale_y_continuous(
    breaks = places, labels = left, limits = c(-0.3, max(places) + 0.3), expand = c(0, 0),
    sec.axis = ggplot2::sec_axis(~., breaks = places, labels = right)
  )
}

forest_theme <- function(n) {
  size <- max(5, min(9, 330 / n))
  ggplot2::theme(
    axis.text.y = ggplot2::element_text(size = size, colour = "grey15"), axis.text.y.right = ggplot2::element_text(size = size, hjust = 1, colour = "grey15"),
    panel.grid.major.y = ggplot2::element_blank(), axis.line.x = ggplot2::element_line(colour = "grey50", linewidth = 0.3)
  )
}
