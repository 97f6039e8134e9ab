# What if? The predicted course as it is and under a shift of a predictor.

#' Predicted courses under a counterfactual shift
#'
#' The mean predicted outcome over time, twice: for the predictors as they were, and as if one of them had been higher or lower at one level,
#' `shift = c(alliance = 1), at = "within"` say: every session one point above what it was, the persons' means unchanged ([predict()][predict.hlm] does the
#' same row by row). Below, the difference of the two with its own interval, which is narrower than the two bands suggest: what
#' both courses share does not blur it. The subtitle has the difference averaged over the rows.
#'
#' The mean at a time is that over the rows observed then, with random effects zero. `by` makes panels: a category (or a number with up to four values)
#' splits the rows; any other number is set to its mean and one standard deviation below and above it in all rows. With `persons` each panel
#' is one person, with this person's random effects; those intervals take the variance components as known.
#'
#' The shift is a question to the model. It is the answer to a question about the world only if nothing else that changes the
#' outcome would have come with the shift.
#'
#' @param fit A fitted model of class `hlm`.
#' @param shift A named number, how far to move which variable; of a variable that enters lagged only, the lagged value: `c(alliance_lag1 = 1)`.
#' @param at The level that is moved: `"within"`, `"between"`, or a higher level of the formula (`"therapist"`).
#' @param by A variable that makes the panels, bare or as a string; also a part that the formula makes, `alliance_between`.
#' @param persons Persons to show: a number (spread evenly over the persons' means) or values of the id; `NULL` for the mean course.
#' @param time The time variable, if the fit does not know it.
#' @param difference Draw the panel with the difference (mean courses)?
#' @param level Coverage of the bands.
#' @param ddf Method for the degrees of freedom of the mean courses, see [hlm-ddf].
#' @param ... Not used.
#' @return A 'ggplot' object. Its `data` are the numbers: `panel`, `time`, `course` (`"as observed"`, `"shifted"`, `"difference"`),
#'   `estimate`, `lower`, `upper`.
#' @section Errors: `hlm_error_data` for a shift that moves nothing, unknown persons or variables, or an unknown time.
#' @seealso [predict.hlm()] with `shift`.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(bai ~ session * within(wai) + between(wai) + (1 | id), implement, time = session)
#' plot_trajectories(fit, shift = c(wai = 1))
#' @export
plot_trajectories <- function(fit, shift, at = "within", by = NULL, persons = NULL, time = NULL, difference = TRUE, level = 0.95, ddf = NULL, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  if (missing(shift) || is.null(shift)) {
    abort_hlm("data", c("{.arg shift} is missing.", i = "For example {.code shift = c(alliance = 1)}."))
  }
  check_flag(difference, "difference")
  check_level(level)
  names <- spaghetti_names(fit, outcome = NULL, id = NULL, time = substitute(time))
  by <- substitute(by)
  if (!is.null(by) && !is.character(by)) by <- gsub("^`|`$", "", deparse1(by))
  if (!is.null(by) && !is.null(persons)) abort_hlm("data", "Give {.arg by} or {.arg persons}, not both: each makes the panels.")
  check_shift(fit, newdata_columns(fit, NULL), shift, at)
  table <- spaghetti_data(fit, names)
  if (is.null(persons)) {
    panels <- trajectory_panels(fit, by)
    for (i in seq_along(panels)) panels[[i]]$rows <- intersect(panels[[i]]$rows, table$row)
    times <- rep(table$time[NA_integer_], n_rows(fit))
    times[table$row] <- time_cells(table$time)
    made <- population_trajectories(fit, panels, times, by, shift, at, level, ddf)
  } else {
    chosen <- choose_persons(table$id, table$outcome, persons)
    ids <- rep(NA_character_, n_rows(fit))
    ids[table$row] <- as.character(table$id)
    times <- rep(table$time[NA_integer_], n_rows(fit))
    times[table$row] <- table$time
    made <- person_trajectories(fit, chosen, ids, times, shift, at, level)
  }
  draw_trajectories(made, names, shift, at, level, difference, persons = !is.null(persons))
}

draw_trajectories <- function(made, names, shift, at, level, difference, persons) {
  words <- c("as observed", shift_words(shift, at))
  data <- made$courses
  names(words) <- c("as observed", "shifted")
  data$shown <- factor(c(words, difference = "difference")[data$course], levels = c(words, "difference"))
  rows <- c(paste("Predicted", names$outcome), "Difference")
  data$part <- factor(ifelse(data$course == "difference", rows[[2L]], rows[[1L]]), levels = rows)
  labels <- difference_words(made$overall)
  if (persons) levels(data$panel) <- paste0(panel_names(levels(data$panel)), "\n", labels)
  drawn <- if (difference && !persons) data else data[data$course != "difference", , drop = FALSE]
  zero <- data.frame(part = factor(rows[[2L]], levels = rows))
  single <- is.factor(data$time) || is.character(data$time)
  plot <- ggplot2::ggplot(data, ggplot2::aes(.data$time, .data$estimate, colour = .data$shown, fill = .data$shown, group = .data$shown)) +
    (if (difference && !persons) ggplot2::geom_hline(data = zero, ggplot2::aes(yintercept = 0), colour = "grey50", linetype = "dashed")) +
    ggplot2::geom_ribbon(data = drawn, ggplot2::aes(ymin = .data$lower, ymax = .data$upper), colour = NA, alpha = 0.18) +
    ggplot2::geom_line(data = drawn, linewidth = 0.9) + (if (single || persons) ggplot2::geom_point(data = drawn, size = 0.9)) +
    ggplot2::scale_colour_manual(name = NULL, values = trajectory_colours(words), breaks = unname(words)) +
    ggplot2::scale_fill_manual(name = NULL, values = trajectory_colours(words), breaks = unname(words)) +
    trajectory_facets(data, difference && !persons, persons)
  subtitle <- if (!persons) {
    panel <- if (nrow(made$overall) > 1L) paste0(made$overall$panel, ": ") else ""
    paste0(if (nrow(made$overall) == 1L) "Average difference " else "Average difference\n", paste0(panel, labels, collapse = "\n"))
  }
  plot + ggplot2::labs(
    x = names$time, y = if (difference && !persons) NULL else rows[[1L]], subtitle = subtitle,
    title = paste0("Predicted ", names$outcome, ", as observed and ", words[[2L]]),
    caption = paste0(
      "Bands: ", format(100 * level), " % intervals", if (persons) ". In the heads: the person's average difference" else " of the mean course", "."
    )
  ) + theme_hlm() + caption_left() + ggplot2::theme(
    strip.placement = "outside",
    strip.text = ggplot2::element_text(size = if (persons && nlevels(data$panel) > 9L) 7 else 9)
  )
}

trajectory_colours <- function(words) stats::setNames(c(ink, accent, "grey30"), c(words, "difference"))

trajectory_facets <- function(data, difference, persons) {
  if (!difference) {
    return(if (nlevels(data$panel) > 1L || persons) ggplot2::facet_wrap(ggplot2::vars(.data$panel)))
  }
  columns <- if (nlevels(data$panel) > 1L) ggplot2::vars(.data$panel)
  ggplot2::facet_grid(rows = ggplot2::vars(.data$part), cols = columns, scales = "free_y", switch = "y")
}

# For instance: with alliance + 1 (within).
shift_words <- function(shift, at) {
  moves <- paste0(names(shift), ifelse(shift < 0, " \u2212 ", " + "), vapply(abs(shift), format, "", digits = 4L))
  paste0("with ", paste(moves, collapse = ", "), " (", at, ")")
}

difference_words <- function(overall) {
  size <- stats::median(overall$`Std. Error`[overall$`Std. Error` > 0])
  decimals <- if (is.finite(size)) min(8, max(0, 1 - floor(log10(size)))) else 2
  number <- function(v) formatC(round(v, decimals) + 0, digits = decimals, format = "f")
  paste0(number(overall$Estimate), " [", number(overall$lower), ", ", number(overall$upper), "]")
}
