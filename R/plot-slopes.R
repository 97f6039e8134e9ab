# Caterpillar of slopes: who has which slope, and how sure that is.

#' Caterpillar plot of the persons' slopes
#'
#' Each person's slope in a predictor (fixed effect plus the person's deviation) with its interval, sorted. The band is the average slope with its
#' confidence interval; colours show the sign, full colour that the interval excludes zero. The subtitle counts the persons on each side.
#'
#' An interval is right for one person chosen in advance. Among many persons some exclude zero by chance; that one excludes zero and another does not is
#' no evidence that the two differ.
#'
#' @param x A fitted model of class `hlm`, or the result of [person_slopes()].
#' @param term,group,level,own,ddf As in [person_slopes()]; not used when `x` is its result.
#' @param labels Write the persons' names on the axis? By default for up to 40 persons.
#' @param max_persons At most so many persons, spread evenly over the sorted slopes; all by default.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: As [person_slopes()].
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' plot_slopes(fit, "Days")
#' @export
plot_slopes <- function(x, term = NULL, group = NULL, level = 0.95, own = c("alone", "adjusted"), ddf = NULL, labels = NULL, max_persons = Inf, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(x, "hlm_person_slopes")) x <- person_slopes(x, term, group, level, own, ddf)
  check_max_persons(max_persons)
  if (is.null(labels)) labels <- min(nrow(x$slopes), max_persons) <= 40L
  check_flag(labels, "labels")
  table <- x$slopes[order(x$slopes$slope, x$slopes$person), , drop = FALSE]
  if (nrow(table) > max_persons) table <- table[even_places(nrow(table), max_persons), , drop = FALSE]
  table$place <- seq_len(nrow(table))
  table$what <- slope_classes(table)
  unit <- plain_level(x$group)
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$slope, .data$place)) + average_layers(x) +
    ggplot2::geom_vline(xintercept = 0, colour = "grey40", linetype = "dashed") +
    ggplot2::geom_linerange(ggplot2::aes(xmin = .data$lower, xmax = .data$upper, colour = .data$what), linewidth = bar_width(nrow(table))) +
    ggplot2::geom_point(ggplot2::aes(colour = .data$what), size = if (nrow(table) > 150L) 0.5 else 1.3) +
    ggplot2::scale_colour_manual(name = NULL, values = slope_colours, drop = TRUE, guide = ggplot2::guide_legend(nrow = 2L, byrow = TRUE)) +
    slope_axis(table, labels, unit) +
    ggplot2::labs(
      x = paste0("Slope of ", x$outcome, " in ", x$term), y = unit, title = paste0("Slope of each ", unit), subtitle = slope_subtitle(x),
      caption = paste0("Bars: ", format(100 * x$level), " % intervals. Band: the average slope with its interval. Dashed: zero.")
    ) + theme_hlm() + caption_left()
  if (labels) plot else plot + ggplot2::theme(panel.grid.major.y = ggplot2::element_blank())
}

check_max_persons <- function(max_persons) {
  if (!is.numeric(max_persons) || length(max_persons) != 1L || !isTRUE(max_persons >= 1)) {
    abort_hlm("data", "{.arg max_persons} must be a number of at least 1.")
  }
}

even_places <- function(n, most) {
  if (n <= most) return(seq_len(n))
  unique(round(seq(1, n, length.out = most)))
}

# Blue and orange stay apart for colour-blind readers; pale: the interval holds zero.
slope_colours <- c(
  "below zero, interval excludes zero" = "#1F5A8A", "below zero" = "#9DBBD4", "above zero" = "#E3B49F", "above zero, interval excludes zero" = "#C4532A"
)

slope_classes <- function(table) {
  side <- ifelse(table$sign < 0, "below zero", "above zero")
  factor(paste0(side, ifelse(table$clear, ", interval excludes zero", "")), levels = names(slope_colours))
}

bar_width <- function(n) max(0.15, min(0.7, 40 / n))

# The average slope and its confidence interval, over the full height.
average_layers <- function(x) {
  if (is.null(x$average)) return(NULL)
  list(
    ggplot2::annotate("rect", xmin = x$average$lower, xmax = x$average$upper, ymin = -Inf, ymax = Inf, fill = "grey55", alpha = 0.25),
    ggplot2::annotate("segment", x = x$average$Estimate, xend = x$average$Estimate, y = -Inf, yend = Inf, colour = "grey25", linewidth = 0.6)
  )
}

slope_axis <- function(table, labels, unit) {
  n <- nrow(table)
  if (!labels) return(ggplot2::scale_y_continuous(breaks = NULL, expand = ggplot2::expansion(mult = 0.02)))
  list(
    ggplot2::scale_y_continuous(breaks = table$place, labels = short_labels(table$person), expand = ggplot2::expansion(add = 0.8)),
    ggplot2::theme(
      axis.text.y = ggplot2::element_text(size = max(4.5, min(9, 290 / n))), panel.grid.major.y = ggplot2::element_blank(),
      axis.title.y = ggplot2::element_text(margin = ggplot2::margin(r = 9))
    )
  )
}

# Long names are cut in the middle, where they differ least.
short_labels <- function(names, width = 24L) {
  long <- nchar(names, type = "width") > width
  half <- (width - 1L) %/% 2L
  short <- paste0(substr(names, 1L, half), "\u2026", substr(names, nchar(names) - half + 1L, nchar(names)))
  ifelse(long, short, names)
}

slope_subtitle <- function(x) {
  s <- x$slopes
  side <- function(mine, word) {
    paste0(sum(mine), " of ", nrow(s), " ", word, " zero", if (any(mine)) paste0(" (", sum(mine & s$clear), " clearly)"))
  }
  paste0(side(s$sign < 0, "below"), ", ", side(s$sign > 0, "above"), if (x$sd <= 0) "; variance of the slopes estimated as zero")
}
