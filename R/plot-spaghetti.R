# Each person's course over time, and the average one.

#' Spaghetti plot: each person's course over time
#'
#' One thin line per person and a thick line for the mean of the persons observed at each time. From a fit, the outcome, the
#' person and the time are known.
#'
#' @param x A data frame, or a fitted model of class `hlm`.
#' @param outcome,id,time Names of the variables, bare or as strings. Needed for a data frame; for a fit they override what
#'   the fit knows.
#' @param group A variable that splits the plot into panels, for instance the treatment (optional).
#' @param highlight Persons (values of `id`) to draw in colour.
#' @param mean Draw the mean line?
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: `hlm_error_data` when a variable is not in the data or not known.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE) && requireNamespace("lme4", quietly = TRUE)
#' plot_spaghetti(lme4::sleepstudy, Reaction, id = Subject, time = Days)
#' @export
plot_spaghetti <- function(x, outcome = NULL, id = NULL, time = NULL, group = NULL, highlight = NULL, mean = TRUE, ...) {
  check_flag(mean, "mean")
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(x, "hlm") && !is.list(x) && !is.matrix(x)) {
    abort_hlm("data", "{.arg x} must be a data frame or a model fitted with {.fn hlm}, not an object of class {.cls {class(x)}}.")
  }
  if (!is.null(highlight) && !is.atomic(highlight)) abort_hlm("data", "{.arg highlight} must hold values of {.arg id}.")
  names <- spaghetti_names(
    x, outcome = substitute(outcome), id = substitute(id), time = substitute(time), group = substitute(group)
  )
  table <- spaghetti_data(x, names)
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$time, .data$outcome)) +
    ggplot2::geom_line(ggplot2::aes(group = .data$id), colour = "grey45", alpha = line_alpha(table$id), linewidth = 0.35)
  chosen <- table[as.character(table$id) %in% as.character(highlight), , drop = FALSE]
  if (nrow(chosen)) {
    plot <- plot +
      ggplot2::geom_line(data = chosen, ggplot2::aes(group = .data$id, colour = .data$id), linewidth = 0.8) +
      ggplot2::geom_point(data = chosen, ggplot2::aes(colour = .data$id), size = 1.4) +
      ggplot2::scale_colour_viridis_d(end = 0.75, name = names$id)
  }
  if (mean) {
    means <- mean_course(table)
    plot <- plot + ggplot2::geom_line(data = means, colour = accent, linewidth = 1.1) +
      ggplot2::geom_point(data = means, colour = accent, size = 1.6)
  }
  if (!is.null(names$group)) plot <- plot + ggplot2::facet_wrap(ggplot2::vars(.data$group))
  plot + ggplot2::labs(x = names$time, y = names$outcome) + theme_hlm()
}

line_alpha <- function(id) max(0.1, min(0.6, 30 / length(unique(id))))

# Means per time; where the times of persons differ too much for that, means in twelve intervals.
mean_course <- function(table) {
  time <- table$time
  if (is.numeric(time) && length(unique(time)) > 40L) {
    breaks <- seq(min(time), max(time), length.out = 13L)
    cell <- findInterval(time, breaks, rightmost.closed = TRUE)
    time <- ((breaks[-1L] + breaks[-13L]) / 2)[cell]
  }
  frame <- data.frame(time = time, outcome = table$outcome, row.names = NULL)
  by <- c(list(time = frame$time), if (!is.null(table$group)) list(group = table$group))
  stats::aggregate(frame["outcome"], by, mean)
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
