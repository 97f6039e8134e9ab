# What the model expects, drawn over what was observed.

add_fitted <- function(x, table, names) {
  if (!inherits(x, "hlm")) {
    abort_hlm("data", "{.code fitted = TRUE} needs a model fitted with {.fn hlm}, not an object of class {.cls {class(x)}}.")
  }
  if (!identical(names$outcome, deparse1(x$formula[[2L]]))) {
    abort_hlm("data", "{.code fitted = TRUE} draws the outcome of the model, {.var {deparse1(x$formula[[2L]])}}, not {.var {names$outcome}}.")
  }
  table$fitted <- (fixed_predictor(x) + random_predictor(x))[table$row]
  table
}

# The expected course with random effects zero: at each time the mean of the fixed part over the rows observed then, with its interval.
average_course <- function(fit, table, level, ddf, rows = kept_x(fit), offset = design_offset(fit$design)) {
  time <- time_cells(table$time)
  keys <- c(list(time), if (!is.null(table$group)) list(table$group))
  cell <- as.integer(interaction(keys, drop = TRUE))
  count <- tabulate(cell)
  l <- rowsum(rows[table$row, , drop = FALSE], cell) / count
  tests <- test_rows(fit, l, 0, resolve_inference(fit, ddf), level)
  first <- match(seq_along(count), cell)
  shift <- rowsum(offset[table$row], cell)[, 1L] / count
  course <- data.frame(time = time[first], outcome = tests$Estimate + shift, lower = tests$lower + shift, upper = tests$upper + shift)
  if (!is.null(table$group)) course$group <- table$group[first]
  course[order(course$time), , drop = FALSE]
}

fitted_layers <- function(fit, table, level, ddf, mean) {
  course <- average_course(fit, table, level, ddf)
  single <- if (is.factor(course$time) || is.character(course$time)) ggplot2::aes(group = 1)
  limits <- utils::modifyList(ggplot2::aes(ymin = .data$lower, ymax = .data$upper), as.list(single))
  c(
    list(
      ggplot2::geom_line(ggplot2::aes(y = .data$fitted, group = .data$id), colour = ink, alpha = line_alpha(table$id), linewidth = 0.35),
      ggplot2::geom_ribbon(data = course, limits, fill = accent, alpha = 0.25),
      ggplot2::geom_line(data = course, single, colour = accent, linewidth = 1.1),
      if (mean) ggplot2::geom_point(data = mean_course(table), colour = accent, fill = "white", shape = 21L, size = 1.7)
    ),
    list(ggplot2::labs(caption = paste0(
      "Grey: observed. Dark: fitted for each person.\nThick line: the average course with its ", format(100 * level), " % band",
      if (mean) "; circles: observed means"
    )), caption_left())
  )
}

# One small panel per person.
draw_person_panels <- function(x, table, names, persons, fitted, level, ddf) {
  course <- if (fitted) average_course(x, table[setdiff(names(table), "group")], level, ddf)
  chosen <- choose_persons(table$id, table$outcome, persons)
  shown <- table[table$id %in% chosen, , drop = FALSE]
  panels <- panel_labels(chosen)
  shown$panel <- panels[match(shown$id, chosen)]
  plot <- ggplot2::ggplot(shown, ggplot2::aes(.data$time, .data$outcome))
  if (fitted) {
    plot <- plot + ggplot2::geom_line(data = course, ggplot2::aes(group = 1), colour = accent, linetype = "42", linewidth = 0.5) +
      ggplot2::geom_line(ggplot2::aes(y = .data$fitted, group = 1), colour = ink, linewidth = 0.8)
  } else {
    plot <- plot + ggplot2::geom_line(ggplot2::aes(group = 1), colour = "grey60", linewidth = 0.4)
  }
  colour <- if (is.null(names$group)) {
    ggplot2::geom_point(colour = ink, size = 1.1, alpha = 0.8)
  } else {
    list(ggplot2::geom_point(ggplot2::aes(colour = factor(.data$group)), size = 1.2), ggplot2::scale_colour_viridis_d(end = 0.75, name = names$group))
  }
  plot + colour + ggplot2::facet_wrap(ggplot2::vars(.data$panel)) + ggplot2::labs(
    x = names$time, y = names$outcome,
    caption = if (fitted) paste0("Points: observed. Line: fitted for this ", plain_level(names$id), ". Dashed: the average course.")
  ) + theme_hlm() + caption_left() + ggplot2::theme(strip.text = ggplot2::element_text(size = max(6, min(9, 60 / sqrt(length(chosen) * 4)))))
}

# The levels asked for, or so many of them, spread evenly over the means of `value`.
choose_persons <- function(id, value, persons) {
  levels <- levels(factor(id))
  if (is.numeric(persons) && length(persons) == 1L && !is.na(persons)) {
    if (persons < 1 || persons != round(persons)) abort_hlm("data", "{.arg persons} must be a whole number of at least 1, or values of the id.")
    means <- tapply(value, factor(id, levels = levels), mean)
    return(levels[even_choice(as.double(means), persons)])
  }
  if (!is.atomic(persons) || anyNA(persons)) abort_hlm("data", "{.arg persons} must be a number or values of the id.")
  unknown <- setdiff(as.character(persons), levels)
  if (length(unknown)) {
    abort_hlm("data", c(
      "{.arg persons} names {cli::qty(length(unknown))}{?a person/persons} without rows: {show_some(unknown)}.",
      i = "One number is a count of persons; a single person is given as text: {.code persons = \"{levels[[1L]]}\"}."
    ))
  }
  unique(as.character(persons))
}

panel_labels <- function(ids) {
  names <- panel_names(ids)
  factor(names, levels = names)
}

# As much of each name as the head of a panel holds.
panel_names <- function(ids) make.unique(short_labels(ids, max(9L, 66L %/% ceiling(sqrt(length(ids))))))
