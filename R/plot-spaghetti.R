# Each person's course over time, and the average one.

#' Spaghetti plot: each person's course over time
#'
#' One thin line per person and a thick line for the mean of the persons observed at each time. From a fit, the outcome, the
#' person and the time are known.
#'
#' With `fitted = TRUE` (for a fit) the model's lines are added: for each person the fitted values, and as a thick line with its band the expected
#' course of the average person (random effects zero), averaged at each time over the predictors of the rows observed then; the means of the observed outcomes
#' are points. With `persons` each person has a panel with its observed points, its fitted line and, dashed, the average course.
#'
#' @param x A data frame, or a fitted model of class `hlm`.
#' @param outcome,id,time Names of the variables, bare or as strings. Needed for a data frame; for a fit they override what
#'   the fit knows.
#' @param group A variable that splits the plot into panels, for instance the treatment (optional).
#' @param highlight Persons (values of `id`) to draw in colour.
#' @param mean Draw the mean line?
#' @param fitted Draw what the model expects? For a fit only.
#' @param persons A number: so many persons, spread evenly over the persons' means, with a panel each; or the persons themselves (values of `id`).
#' @param level Coverage of the band of the expected course.
#' @param ddf Method for the degrees of freedom of that band, see [hlm-ddf].
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: `hlm_error_data` when a variable is not in the data or not known.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE) && requireNamespace("lme4", quietly = TRUE)
#' plot_spaghetti(lme4::sleepstudy, Reaction, id = Subject, time = Days)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy, time = Days)
#' plot_spaghetti(fit, fitted = TRUE)
#' plot_spaghetti(fit, fitted = TRUE, persons = 6)
#' @export
plot_spaghetti <- function(x, outcome = NULL, id = NULL, time = NULL, group = NULL, highlight = NULL, mean = TRUE, fitted = FALSE, persons = NULL,
                           level = 0.95, ddf = NULL, ...) {
  check_dots(...)
  check_flag(mean, "mean")
  check_flag(fitted, "fitted")
  check_level(level)
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(x, "hlm") && !is.list(x) && !is.matrix(x)) {
    abort_hlm("data", "{.arg x} must be a data frame or a model fitted with {.fn hlm}, not an object of class {.cls {class(x)}}.")
  }
  if (!is.null(highlight) && !is.atomic(highlight)) abort_hlm("data", "{.arg highlight} must hold values of {.arg id}.")
  names <- spaghetti_names(
    x, outcome = substitute(outcome), id = substitute(id), time = substitute(time), group = substitute(group)
  )
  table <- spaghetti_data(x, names)
  if (fitted) table <- add_fitted(x, table, names)
  if (!is.null(persons)) {
    return(draw_person_panels(x, table, names, persons, fitted, level, ddf))
  }
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$time, .data$outcome)) +
    ggplot2::geom_line(ggplot2::aes(group = .data$id), colour = if (fitted) "grey70" else "grey45", alpha = line_alpha(table$id), linewidth = 0.35)
  if (fitted) plot <- plot + theme_hlm() + fitted_layers(x, table, level, ddf, mean)
  plot <- plot + highlight_layers(table, highlight, names$id)
  if (mean && !fitted) {
    means <- mean_course(table)
    plot <- plot + ggplot2::geom_line(data = means, colour = accent, linewidth = 1.1) +
      ggplot2::geom_point(data = means, colour = accent, size = 1.6)
  }
  if (!is.null(names$group)) plot <- plot + ggplot2::facet_wrap(ggplot2::vars(.data$group))
  plot <- plot + ggplot2::labs(x = names$time, y = names$outcome)
  if (fitted) plot else plot + theme_hlm()
}

highlight_layers <- function(table, highlight, id) {
  chosen <- table[as.character(table$id) %in% as.character(highlight), , drop = FALSE]
  if (!nrow(chosen)) return(NULL)
  list(
    ggplot2::geom_line(data = chosen, ggplot2::aes(group = .data$id, colour = .data$id), linewidth = 0.8),
    ggplot2::geom_point(data = chosen, ggplot2::aes(colour = .data$id), size = 1.4),
    ggplot2::scale_colour_viridis_d(end = 0.75, name = id)
  )
}

line_alpha <- function(id) max(0.1, min(0.6, 30 / length(unique(id))))

# Means per time; where the times of persons differ too much for that, means in twelve intervals.
mean_course <- function(table) {
  frame <- data.frame(time = time_cells(table$time), outcome = table$outcome, row.names = NULL)
  by <- c(list(time = frame$time), if (!is.null(table$group)) list(group = table$group))
  stats::aggregate(frame["outcome"], by, mean)
}

time_cells <- function(time) {
  if (!is.numeric(time) || length(unique(time)) <= 40L) return(time)
  breaks <- seq(min(time), max(time), length.out = 13L)
  cell <- findInterval(time, breaks, rightmost.closed = TRUE)
  ((breaks[-1L] + breaks[-13L]) / 2)[cell]
}

# Bare names, strings, or what the fit knows.
spaghetti_names <- function(x, ...) {
  given <- lapply(list(...), function(e) if (is.null(e)) NULL else if (is.character(e)) e else deparse1(e))
  if (inherits(x, "hlm")) {
    known <- list(outcome = deparse1(x$formula[[2L]]), id = x$id %||% group_names(x)[[1L]], time = x$time)
    for (name in names(known)) if (is.null(given[[name]])) given[[name]] <- known[[name]]
  }
  missing <- setdiff(c("outcome", "id", "time"), names(Filter(Negate(is.null), given)))
  if (length(missing)) {
    abort_hlm("data", c(
      "{.fn plot_spaghetti} needs to know {.arg {missing}}.",
      i = "For example {.code plot_spaghetti(data, outcome = distress, id = patient, time = session)}."
    ))
  }
  given
}

spaghetti_data <- function(x, names) {
  source <- if (inherits(x, "hlm")) x$data[x$rows, , drop = FALSE] else as.data.frame(x)
  columns <- lapply(names[c("outcome", "id", "time", if (!is.null(names$group)) "group")], function(name) {
    if (inherits(x, "hlm") && name %in% group_names(x)) {
      group <- x$design$groups[[match(name, group_names(x))]]
      return(factor(group$levels[group$codes], levels = group$levels))
    }
    value <- source[[name]] %||% tryCatch(eval(str2lang(name), source, baseenv()), error = function(e) NULL)
    if (is.null(value)) abort_hlm("data", "The data have no variable {.var {name}}.")
    value
  })
  table <- data.frame(columns, stringsAsFactors = FALSE)
  # its place among the analysed rows
  table$row <- seq_len(nrow(table))
  if (!is.numeric(table$outcome) && !is.logical(table$outcome)) {
    abort_hlm("data", "The outcome {.var {names$outcome}} must be a number, not of class {.cls {class(table$outcome)}}.")
  }
  table$id <- factor(table$id)
  table <- table[stats::complete.cases(table[c("outcome", "id", "time")]), , drop = FALSE]
  if (!nrow(table)) {
    shown <- unlist(names[c("outcome", "id", "time")])
    abort_hlm("data", "There is nothing to draw: no row has values of all of {.var {shown}}.")
  }
  table
}
