# Pictures of an audit: who has data when, who stays, how variables move, where they pile up.

#' Plots of an audit
#'
#' `"map"`: one line per person, one cell per session: measured, measured in part, missed in between, not there any more. Persons are sorted by
#' their last session. `"dropout"`: the share of persons who still have a value at this session or later (with 95 % Wilson limits), and the
#' share with a value at this session; the distance of the two is what is missed in between. `"trend"`: the mean of each variable by session with its
#' 95 % interval. `"bounds"`: the distribution of each variable, with the share of values at the ends of the scale.
#'
#' Times that differ too much between persons for cells of their own (more than 60 different ones) are gathered into 40 intervals.
#'
#' @param x An audit made by [audit()].
#' @param which `"map"`, `"dropout"`, `"trend"` or `"bounds"`.
#' @param variable For `"map"` and `"dropout"`: one variable instead of all. For `"trend"` and `"bounds"`: the variables to show.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: `hlm_error_data` when the audit has no time to draw against, or no such variable; an error of class
#'   `rlib_error_package_not_found` when 'ggplot2' is not installed.
#' @source Wilson (1927), *Journal of the American Statistical Association* 22, 209-212, for the limits of a share.
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' a <- audit(implement, y = bai, x = wai, id = id, time = session)
#' plot(a)
#' plot(a, "dropout")
#' plot(a, "trend")
#' plot(a, "bounds")
#' @export
plot.hlm_audit <- function(x, which = c("map", "dropout", "trend", "bounds"), variable = NULL, ...) {
  check_dots(...)
  which <- check_choice(which, c("map", "dropout", "trend", "bounds"), "which")
  rlang::check_installed("ggplot2", "to draw plots")
  names <- names(x$data$columns)
  if (!is.null(variable) && (!is.character(variable) || !all(variable %in% names))) {
    abort_hlm("data", c("{.arg variable} must name audited variables.", i = "Audited: {.var {names}}."))
  }
  if (which != "bounds") check_audit_time(x)
  switch(which,
    map = plot_audit_map(x$data, variable), dropout = plot_audit_dropout(x$data, variable), trend = plot_audit_trend(x$data, variable %||% names),
    bounds = plot_audit_bounds(x$data, variable %||% names)
  )
}

check_audit_time <- function(x) {
  if (!is.null(x$data$time)) return(invisible())
  abort_hlm("data", c("The audit was made without {.arg time}: there are no sessions to draw.", i = "Give {.code time = session} to {.fn audit}."))
}

# Cells of the time axis: each time of its own, or 40 intervals; cell of every row, position and width of each cell.
audit_cells <- function(a) {
  times <- sort(unique(a$time[a$seen]))
  if (length(times) <= 60L) {
    width <- if (length(times) > 1L) min(diff(times)) else 1
    # equally spaced cells where the times are; otherwise side by side in their order
    even <- length(times) < 3L || max(diff(times)) <= 1.01 * width
    return(list(cell = match(a$time, times), at = times, width = width, even = even))
  }
  breaks <- seq(times[[1L]], times[[length(times)]], length.out = 41L)
  list(cell = findInterval(a$time, breaks, rightmost.closed = TRUE), at = (breaks[-1L] + breaks[-41L]) / 2, width = breaks[[2L]] - breaks[[1L]], even = TRUE)
}

# Which rows hold a value of all (or of the one) variables, and of any of them.
audit_presence <- function(a, variable) {
  columns <- if (is.null(variable)) a$columns else a$columns[variable]
  known <- lapply(columns, function(x) !is.na(x))
  list(any = Reduce(`|`, known), all = Reduce(`&`, known))
}

# persons x cells: "measured", "in part", "missed in between", "before the first", "after the last".
audit_states <- function(a, variable) {
  cells <- audit_cells(a)
  presence <- audit_presence(a, variable)
  state <- matrix(0L, a$n_persons, length(cells$at))
  use <- presence$any & !is.na(cells$cell) & cells$cell > 0L & cells$cell <= length(cells$at)
  state[cbind(a$person, cells$cell)[use, , drop = FALSE]] <- 1L
  state[cbind(a$person, cells$cell)[use & presence$all, , drop = FALSE]] <- 2L
  seen <- state > 0L
  first <- ifelse(rowSums(seen) > 0L, max.col(seen, "first"), ncol(seen) + 1L)
  last <- ifelse(rowSums(seen) > 0L, max.col(seen, "last"), 0L)
  column <- col(state)
  label <- ifelse(state == 2L, "measured", ifelse(state == 1L, "in part", ifelse(
    column > last, "after the last", ifelse(column < first, "before the first", "missed in between")
  )))
  list(label = matrix(label, nrow(state)), first = first, last = last, seen = seen, cells = cells)
}

# Without a common spacing nobody knows which session was missed: the same cells in a paler colour.
audit_state_colours <- function(regular = TRUE) {
  colours <- c(measured = ink, `in part` = "#8C9BAB", `missed in between` = accent, `after the last` = "#E9E6E1", `before the first` = "#F7F5F2")
  if (!regular) {
    colours[[3L]] <- "#EBC4B3"
    names(colours)[[3L]] <- "between measurements"
  }
  colours
}

plot_audit_map <- function(a, variable) {
  states <- audit_states(a, variable)
  order <- order(states$last, rowSums(states$seen), decreasing = TRUE)
  cells <- states$cells
  place <- if (cells$even) cells$at else seq_along(cells$at)
  table <- data.frame(
    time = rep(place, each = a$n_persons), person = rep(match(seq_len(a$n_persons), order), length(place)),
    state = factor(as.vector(states$label), names(audit_state_colours()), names(audit_state_colours(a$grid$regular)))
  )
  labels <- a$person_labels[order]
  few <- a$n_persons <= 40L && max(nchar(labels)) <= 12L
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$time, .data$person, fill = .data$state)) +
    ggplot2::geom_tile(width = if (cells$even) cells$width else 1, colour = if (a$n_persons <= 100L) "white" else NA, linewidth = 0.2) +
    ggplot2::scale_fill_manual(name = NULL, values = audit_state_colours(a$grid$regular), drop = TRUE) +
    ggplot2::scale_y_reverse(expand = c(0, 0), breaks = if (few) seq_along(labels), labels = if (few) labels) +
    ggplot2::labs(
      x = a$names$time, y = paste0(a$names$id, " (sorted by last session)"),
      title = paste0("Who has ", if (is.null(variable)) "data" else paste(variable, collapse = ", "), " when")
    ) +
    theme_hlm() + ggplot2::theme(panel.grid = ggplot2::element_blank(), axis.text.y = ggplot2::element_text(size = 6))
  plot + audit_time_axis(cells)
}

audit_time_axis <- function(cells) {
  guide <- ggplot2::guide_axis(check.overlap = TRUE)
  if (!cells$even) {
    return(ggplot2::scale_x_continuous(breaks = seq_along(cells$at), labels = audit_value(cells$at), expand = c(0.01, 0), guide = guide))
  }
  if (length(cells$at) <= 16L) {
    return(ggplot2::scale_x_continuous(breaks = cells$at, labels = audit_value(cells$at), expand = c(0.01, 0), guide = guide))
  }
  ggplot2::scale_x_continuous(expand = c(0.01, 0))
}

# Limits of a share (Wilson 1927).
wilson_limits <- function(share, n, level = 0.95) {
  z <- stats::qnorm(1 - (1 - level) / 2)
  centre <- (share + z^2 / (2 * n)) / (1 + z^2 / n)
  half <- z / (1 + z^2 / n) * sqrt(share * (1 - share) / n + z^2 / (4 * n^2))
  list(low = pmax(centre - half, 0), high = pmin(centre + half, 1))
}

plot_audit_dropout <- function(a, variable) {
  states <- audit_states(a, variable)
  cells <- states$cells
  staying <- vapply(seq_along(cells$at), function(k) mean(states$last >= k), 0)
  present <- colMeans(states$seen)
  limits <- wilson_limits(staying, a$n_persons)
  stay <- paste0("at this ", a$names$time, " or later")
  here <- paste("at this", a$names$time)
  table <- data.frame(
    time = rep(cells$at, 2L), share = c(staying, present), kind = factor(rep(c(stay, here), each = length(cells$at)), c(stay, here)),
    low = c(limits$low, present), high = c(limits$high, present)
  )
  # without a common spacing nobody is expected at a given time
  if (!a$grid$regular) table <- table[table$kind == stay, , drop = FALSE]
  ggplot2::ggplot(table, ggplot2::aes(.data$time, .data$share, colour = .data$kind)) +
    ggplot2::geom_ribbon(
      data = table[table$kind == stay, ], ggplot2::aes(ymin = .data$low, ymax = .data$high), fill = ink, alpha = 0.12, colour = NA
    ) +
    ggplot2::geom_line(linewidth = 0.8) + ggplot2::geom_point(size = 1.6) +
    ggplot2::scale_colour_manual(name = "Persons with a value", values = stats::setNames(c(ink, accent), c(stay, here))) +
    ggplot2::scale_y_continuous(labels = function(v) paste0(format(100 * v, trim = TRUE), " %"), limits = c(0, 1), expand = c(0, 0.02)) +
    audit_time_axis(within_even(cells)) +
    ggplot2::labs(
      x = a$names$time, y = paste0("Share of ", a$n_persons, " persons"),
      title = paste0("Who stays", if (!is.null(variable)) paste0(" (", paste(variable, collapse = ", "), ")"))
    ) + theme_hlm()
}

# A line needs the times where they are, whatever their distance.
within_even <- function(cells) {
  cells$even <- TRUE
  cells
}

plot_audit_trend <- function(a, names) {
  cells <- audit_cells(a)
  table <- do.call(rbind, lapply(names, function(name) {
    x <- a$columns[[name]]
    use <- !is.na(x) & !is.na(cells$cell)
    sums <- engine_group_sums(ifelse(use, x, NA), ifelse(use, cells$cell, 0L), length(cells$at))
    mean <- sums$sum / sums$count
    squares <- engine_group_sums(ifelse(use, (x - mean[pmax(cells$cell, 1L)])^2, NA), ifelse(use, cells$cell, 0L), length(cells$at))$sum
    half <- stats::qt(0.975, pmax(sums$count - 1, 1)) * sqrt(squares / pmax(sums$count - 1, 1) / sums$count)
    data.frame(variable = name, time = cells$at, mean = mean, low = mean - half, high = mean + half, n = sums$count)
  }))
  table <- table[table$n > 1, , drop = FALSE]
  table$variable <- factor(table$variable, names)
  ggplot2::ggplot(table, ggplot2::aes(.data$time, .data$mean)) +
    ggplot2::geom_ribbon(ggplot2::aes(ymin = .data$low, ymax = .data$high), fill = ink, alpha = 0.15) +
    ggplot2::geom_line(colour = ink, linewidth = 0.8) + ggplot2::geom_point(ggplot2::aes(size = .data$n), colour = ink) +
    ggplot2::scale_size_area(name = "Persons measured", max_size = 2.5) +
    ggplot2::facet_wrap(ggplot2::vars(.data$variable), scales = "free_y") + audit_time_axis(within_even(cells)) +
    ggplot2::labs(x = a$names$time, y = "Mean and its 95 % interval", title = "Means of those measured at each session") + theme_hlm()
}

plot_audit_bounds <- function(a, names) {
  bars <- do.call(rbind, lapply(names, function(name) audit_bars(name, a$columns[[name]])))
  shares <- bound_shares(a)
  shares <- shares[shares$variable %in% names, , drop = FALSE]
  strip <- vapply(names, function(name) {
    mine <- shares[shares$variable == name, , drop = FALSE]
    paste0(name, "\n", paste0(audit_percent(mine$share), " at ", audit_value(mine$value), collapse = "\n"))
  }, "")
  bars$end <- mapply(function(name, low, high) {
    mine <- shares[shares$variable == name & shares$share >= 0.15 & shares$distinct > 3L, , drop = FALSE]
    any(mine$value >= low - 1e-9 & mine$value <= high + 1e-9)
  }, bars$variable, bars$low, bars$high)
  bars$variable <- factor(bars$variable, names, strip)
  ggplot2::ggplot(bars) +
    ggplot2::geom_rect(ggplot2::aes(xmin = .data$low, xmax = .data$high, ymin = 0, ymax = .data$share, fill = .data$end), colour = "white", linewidth = 0.2) +
    ggplot2::scale_fill_manual(values = c(`FALSE` = ink, `TRUE` = accent), guide = "none") +
    ggplot2::facet_wrap(ggplot2::vars(.data$variable), scales = "free") +
    ggplot2::scale_y_continuous(labels = function(v) paste0(format(100 * v, trim = TRUE), " %"), expand = ggplot2::expansion(c(0, 0.06))) +
    ggplot2::labs(x = NULL, y = "Share of the values", title = "Distribution and the ends of the scale (in colour: 15 % or more)") + theme_hlm() +
    ggplot2::theme(strip.text = ggplot2::element_text(face = "plain", size = 8))
}

# Bars of a histogram: one per value of a scale with few values, otherwise 25.
audit_bars <- function(name, x) {
  x <- x[!is.na(x)]
  values <- sort(unique(x))
  if (length(values) <= 25L) {
    half <- if (length(values) > 1L) min(diff(values)) / 2 else 0.5
    return(data.frame(variable = name, low = values - half, high = values + half, share = tabulate(match(x, values), length(values)) / length(x)))
  }
  breaks <- seq(values[[1L]], values[[length(values)]], length.out = 26L)
  share <- tabulate(findInterval(x, breaks, rightmost.closed = TRUE), 25L) / length(x)
  data.frame(variable = name, low = breaks[-26L], high = breaks[-1L], share = share)
}
