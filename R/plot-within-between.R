# Two stories in one picture: the within-person slope of each person and the line between the persons.

#' Within/between plot
#'
#' Thin lines: for each person, the expected outcome over the range of that person's own values (the within-person effect,
#' with the person's own slope where the model has random slopes). Points: the persons' means. Thick line: the
#' between-person effect; with `between(x, level = "therapist")` a second, dashed line for the effect between therapists. When the effects
#' differ, the lines have different slopes.
#'
#' Other predictors of the model are held at their mean over the analysed rows, so that the lines show the adjusted effects. Numbers that describe
#' persons and change the within effect (a cross-level interaction) have each person's own value. Categories that interact with the variable, a
#' treatment say, give one panel each. After `detrend`, a person's line is centred at the level of its trend and its range is that of the deviations
#' from the trend; for `lagged(x)` all values are those of the earlier session.
#'
#' @param fit A fitted model of class `hlm` with within and between terms of a variable.
#' @param variable Name of the variable, bare or as a string; by default the first one that the formula splits.
#' @param max_persons Lines for at most so many persons in all panels together, spread evenly over the range of person means.
#' @param points Draw the persons' means?
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: `hlm_error_data` when the model has no within and between terms of the variable; `hlm_error_design` when it enters as a curve.
#' @source The display follows Curran and Bauer (2011), *Annual Review of Psychology* 62, 583-619, figure 1.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' # synthetic: 40 persons, 6 sessions
#' set.seed(1)
#' d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40))
#' d$alliance <- rnorm(40)[d$patient] + rnorm(240)
#' d$distress <- 20 - d$alliance + rnorm(40)[d$patient] + rnorm(240)
#' fit <- hlm(distress ~ wb(alliance) + (1 | patient), d)
#' plot_within_between(fit, alliance)
#' @export
plot_within_between <- function(fit, variable = NULL, max_persons = 100L, points = TRUE, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  draw_within_between(fit, split_variable(fit, substitute(variable)), max_persons, points)
}

draw_within_between <- function(fit, variable, max_persons = 100L, points = TRUE) {
  check_flag(points, "points")
  check_max_persons(max_persons)
  parts <- split_parts(fit, variable)
  facets <- slope_facets(fit, parts)
  lines <- outcome_corners(fit, parts, facets)
  check_straight(fit, parts, facets, lines)
  persons <- person_lines(fit, variable, parts, facets, lines)
  shown <- do.call(rbind, lapply(split(persons, persons$facet), function(panel) {
    panel[even_choice(panel$mean, max(1, max_persons / length(facets$levels))), , drop = FALSE]
  }))
  words <- c("within each person", between_words(parts))
  between <- between_lines(fit, parts, facets, lines)
  between$kind <- factor(words[-1L][match(between$part, parts$between)], levels = words)
  shown$kind <- factor(words[[1L]], levels = words)
  plot <- ggplot2::ggplot() + ggplot2::geom_segment(
    data = shown, alpha = max(0.2, min(0.7, 25 / nrow(shown))),
    ggplot2::aes(.data$low, .data$y_low, xend = .data$high, yend = .data$y_high, linetype = .data$kind, colour = .data$kind, linewidth = .data$kind)
  ) + ggplot2::geom_line(
    data = between, ggplot2::aes(.data$x, .data$y, linetype = .data$kind, colour = .data$kind, linewidth = .data$kind)
  )
  if (points) {
    plot <- plot + ggplot2::geom_point(
      data = shown, ggplot2::aes(.data$mean, .data$y_mean), colour = ink, size = if (nrow(shown) > 60L) 0.9 else 1.3, alpha = 0.8
    )
  }
  if (length(facets$levels) > 1L) plot <- plot + ggplot2::facet_wrap(ggplot2::vars(.data$facet))
  plot + line_scales(words) + ggplot2::labs(x = variable_words(parts), y = deparse1(fit$formula[[2L]])) + theme_hlm() +
    ggplot2::theme(legend.key.width = ggplot2::unit(2.2, "lines"))
}

between_words <- function(parts) {
  c("between persons", if (length(parts$level) > 1L) paste("between", plural(plain_level(parts$level[-1L]))))[seq_along(parts$between)]
}

plural <- function(word) ifelse(grepl("[a-z]$", word), paste0(word, "s"), paste("levels of", word))

# One look per kind of line; in the legend all are opaque.
line_scales <- function(words) {
  colours <- c(ink, accent, "#3F7F93", "#8A6BB1")
  types <- c("solid", "solid", "42", "13")
  widths <- c(0.45, 1.3, 1.3, 1.3)
  pick <- function(values) stats::setNames(rep_len(values, length(words)), words)
  list(
    ggplot2::scale_colour_manual(name = NULL, values = pick(colours), drop = FALSE, guide = ggplot2::guide_legend(override.aes = list(alpha = 1))),
    ggplot2::scale_linetype_manual(name = NULL, values = pick(types), drop = FALSE),
    ggplot2::scale_linewidth_manual(name = NULL, values = pick(widths), drop = FALSE)
  )
}

variable_words <- function(parts) {
  if (parts$degree == 0L) return(parts$label)
  paste0(parts$label, " (level of the person's own trend and deviation from it)")
}

# The disaggregated variable: its label in fit$means.
split_variable <- function(fit, expr) {
  split <- names(Filter(function(means) any(vapply(means$columns, `[[`, "", "kind") == "between"), fit$means))
  wanted <- if (is.null(expr)) unlist(split[1L]) else if (is.character(expr)) expr else deparse1(expr)
  if (length(wanted) && !wanted %in% split) wanted <- gsub("^`|`$", "", wanted)
  if (!length(split) || !wanted %in% split) {
    abort_hlm("data", c(
      "The model has no within and between terms{if (is.null(expr)) '' else paste(' of', wanted)}.",
      i = if (length(split)) "It has them of {.var {split}}." else "Use {.code wb(x)} in the formula."
    ))
  }
  wanted
}

x_column <- function(fit, name) {
  rep_len(design_column(fit$design, fit$design$x[[match(name, fit$design$x_names)]]), n_rows(fit))
}

person_group <- function(fit) match(fit$id, group_names(fit), nomatch = 1L)

even_choice <- function(mean, max_persons) sort(order(mean)[even_places(length(mean), max_persons)])
