# The specification curve of compare_disaggregation().

#' Specification curve of a comparison of disaggregations
#'
#' Above, the effect and its confidence interval in every specification, one panel per effect, sorted by size and coloured by significance; below, in the
#' same columns, the choices that make up each specification. Only choices in which specifications differ are drawn. Specifications that are
#' another form of an earlier one, and those that could not be fitted, have no column.
#'
#' @param x The result of [compare_disaggregation()].
#' @param variable The variable to show; by default the first.
#' @param sort The effect that the columns are sorted by; by default the first one.
#' @param raw Show the effect of the variable not split, hollow, in every panel?
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: An error of class `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` when there is no such
#'   variable or effect.
#' @source Simonsohn, Simmons and Nelson (2020), *Nature Human Behaviour* 4, 1208-1214.
#' @seealso [compare_disaggregation()]
#' @examplesIf requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session)
#' plot(compare_disaggregation(fit))
#' @export
plot.hlm_disaggregation <- function(x, variable = NULL, sort = NULL, raw = TRUE, ...) {
  check_dots(...)
  check_flag(raw, "raw")
  rlang::check_installed("ggplot2", "to draw plots")
  variable <- chosen_one(variable, x$variables, "variable")
  curve <- specification_table(x, variable, sort, raw)
  choices <- choice_table(x, curve)
  scale <- curve_scale(curve, choices)
  draw_curve(x, variable, curve, choices, scale)
}

chosen_one <- function(value, known, argument) {
  if (is.null(value)) return(known[[1L]])
  if (!is.character(value) || length(value) != 1L || !value %in% known) {
    abort_hlm("data", c("{.arg {argument}} = {.val {shown_value(value)}} is not in this comparison.", i = "Choose one of {.val {known}}."))
  }
  value
}

# Estimates by effect and specification, with the column (position) of each specification.
specification_table <- function(x, variable, sort, raw) {
  table <- x$specifications
  table <- table[table$status %in% c("converged", "boundary") & is.na(table$same_as), ]
  effects <- x$effects[x$effects$variable == variable & x$effects$effect != "contextual" & !is.na(x$effects$estimate), ]
  effects <- effects[effects$variant %in% table$variant, ]
  shown <- setdiff(unique(effects$effect), "not split")
  if (!length(shown)) abort_hlm("data", "No specification has an estimate to draw.")
  sort <- chosen_one(sort, shown, "sort")
  unsplit <- effects[effects$effect == "not split", ]
  effects <- effects[effects$effect != "not split", ]
  if (raw) {
    # it belongs to none of the effects, and is taken for each of them
    for (effect in if (nrow(unsplit)) shown) {
      unsplit$effect <- effect
      effects <- rbind(effects, unsplit)
    }
  }
  first <- effects[effects$effect == sort, ]
  order <- unique(c(first$variant[order(first$estimate)], effects$variant))
  effects$place <- match(effects$variant, order)
  effects$effect <- factor(heading_of(effects$effect), levels = heading_of(shown))
  split <- table$x[match(effects$variant, table$variant)] != "raw"
  alpha <- 1 - x$conf.level
  effects$kind <- ifelse(!split, "not split", ifelse(effects$p.value < alpha, "significant", "not significant"))
  effects$fitted <- effects$variant == "fitted"
  effects
}

# One row per choice and specification: panel (what is chosen), choice, place, chosen.
choice_table <- function(x, curve) {
  table <- x$specifications[x$specifications$variant %in% curve$variant, ]
  place <- curve$place[match(table$variant, curve$variant)]
  panels <- list(
    list("Split of x", table$x, c(mean = "person means", detrend = "own trends", contextual = "x and mean", raw = "not split")),
    list("Outcome y", table$y, c(observed = "as observed", detrend = "detrended")),
    list("Time", ifelse(table$time, "yes", "no"), c(yes = "covariate", no = "not in the model")),
    list("x of session", as.character(table$lag / x$step), lag_names(table$lag / x$step)),
    list("Means over", table$means, c(analysis = "analysed rows", available = "available rows")),
    list("Grand mean", table$weighting, c(persons = "over persons", rows = "over rows")),
    list("Reliability", ifelse(table$corrected, "yes", "no"), c(no = "not corrected", yes = "corrected"))
  )
  rows <- lapply(panels, function(panel) {
    known <- intersect(names(panel[[3L]]), panel[[2L]])
    if (length(known) < 2L) return(NULL)
    data.frame(
      panel = panel[[1L]], choice = rep(unname(panel[[3L]][known]), each = length(place)), place = rep(place, length(known)),
      chosen = unlist(lapply(known, function(value) panel[[2L]] == value)), stringsAsFactors = FALSE
    )
  })
  do.call(rbind, rows)
}

lag_names <- function(lag) {
  lags <- sort(unique(lag))
  words <- ifelse(lags == 0L, "the same", ifelse(lags == 1L, "before", ifelse(lags > 1L, paste(lags, "before"), paste(-lags, "after"))))
  stats::setNames(words, lags)
}

# One y scale serves all panels: estimates are drawn in units of rows of the matrix (so that panels get heights to measure), the choices far above,
# where only their own panels see them; breaks and labels look at where they are.
curve_scale <- function(curve, choices) {
  span <- range(curve$conf.low, curve$conf.high, curve$estimate, 0, na.rm = TRUE, finite = TRUE)
  spans <- vapply(split(curve, curve$effect), function(part) diff(range(part$conf.low, part$conf.high, part$estimate, 0, na.rm = TRUE)), 0)
  height <- max(7, length(unique(paste(choices$panel, choices$choice))) / nlevels(curve$effect))
  unit <- stats::setNames(height / spans, levels(curve$effect))
  offset <- 1000 + 10 * max(abs(span)) * max(unit)
  list(unit = unit, offset = ceiling(offset / 1000) * 1000, height = height)
}

draw_curve <- function(x, variable, curve, choices, scale) {
  # each effect has a stretch of the axis to itself, so that labels know its unit
  zero <- seq_len(nlevels(curve$effect)) * 4 * scale$offset
  names(zero) <- levels(curve$effect)
  effect <- as.character(curve$effect)
  panels <- c(levels(curve$effect), unique(choices$panel))
  for (name in c("estimate", "conf.low", "conf.high")) curve[[name]] <- zero[effect] + curve[[name]] * scale$unit[effect]
  curve$panel <- factor(effect, levels = panels)
  base <- data.frame(panel = factor(names(zero), levels = panels), y = zero)
  names <- character()
  if (!is.null(choices)) {
    # the first choice of a panel on top
    key <- paste(choices$panel, choices$choice)
    names <- rev(choices$choice[!duplicated(key)])
    choices$y <- length(names) + 1L - match(key, unique(key))
    choices$panel <- factor(choices$panel, levels = panels)
  }
  axis <- curve_axis(zero, scale$unit, names)
  marked <- curve$place[curve$fitted][1L]
  ggplot2::ggplot(curve, ggplot2::aes(.data$place, .data$estimate)) +
    (if (!is.na(marked)) ggplot2::annotate("rect", xmin = marked - 0.5, xmax = marked + 0.5, ymin = -Inf, ymax = Inf, fill = "grey90")) +
    ggplot2::geom_hline(ggplot2::aes(yintercept = .data$y), data = base, colour = "grey60") +
    ggplot2::geom_linerange(ggplot2::aes(ymin = .data$conf.low, ymax = .data$conf.high, colour = .data$kind), linewidth = 0.7) +
    ggplot2::geom_point(ggplot2::aes(colour = .data$kind, shape = .data$kind), size = 2.2, fill = "white") +
    draw_choices(choices) +
    ggplot2::facet_grid(ggplot2::vars(.data$panel), scales = "free_y", space = "free_y", switch = "y") +
    ggplot2::scale_y_continuous(breaks = axis$breaks, labels = axis$labels, expand = ggplot2::expansion(add = 0.6)) +
    ggplot2::scale_x_continuous(breaks = NULL, expand = ggplot2::expansion(add = 0.6)) +
    ggplot2::scale_colour_manual(NULL, values = c(significant = accent, `not significant` = ink, `not split` = "grey55")) +
    ggplot2::scale_shape_manual(NULL, values = c(significant = 16, `not significant` = 16, `not split` = 21)) +
    ggplot2::labs(
      title = paste0(if (x$standardized) "Standardised effect" else "Effect", " of ", variable, " (x) on ", x$outcome, " (y), within and between persons"),
      subtitle = paste0("Each column is a model; the shaded one is the model as fitted", if (is.na(marked)) " (not shown)"),
      x = NULL, y = NULL, caption = paste0(format(100 * x$conf.level), " % intervals; significant: p < ", format(round(1 - x$conf.level, 10)))
    ) + theme_curve()
}

draw_choices <- function(choices) {
  if (is.null(choices)) return(NULL)
  list(
    ggplot2::geom_point(ggplot2::aes(.data$place, .data$y), data = choices[!choices$chosen, ], colour = "grey85", size = 1.4),
    ggplot2::geom_point(ggplot2::aes(.data$place, .data$y), data = choices[choices$chosen, ], colour = ink, size = 2.2)
  )
}

# Breaks and labels by where on the axis a panel lies: choices at 1, 2, ..., each effect around its own zero, in its own unit.
curve_axis <- function(zero, unit, names) {
  distance <- if (length(zero) > 1L) diff(zero)[[1L]] else zero[[1L]]
  own <- function(value) which.min(abs(zero - value))
  is_choice <- function(value) value < zero[[1L]] - distance / 2
  list(
    breaks = function(limits) {
      if (is_choice(limits[[1L]])) return(seq_along(names))
      k <- own(limits[[1L]])
      zero[[k]] + pretty((limits - zero[[k]]) / unit[[k]], 4) * unit[[k]]
    },
    labels = function(breaks) {
      known <- breaks[!is.na(breaks)]
      if (length(known) && is_choice(known[[1L]])) return(ifelse(is.na(breaks), NA, names[round(breaks)]))
      k <- own(known[[1L]])
      # far from zero the axis carries rounding errors of its own
      ifelse(is.na(breaks), NA, format(signif((breaks - zero[[k]]) / unit[[k]], 6), trim = TRUE))
    }
  )
}

theme_curve <- function() {
  theme_hlm() + ggplot2::theme(
    strip.placement = "outside", strip.text.y.left = ggplot2::element_text(angle = 0, hjust = 1, face = "bold"),
    panel.grid.major.x = ggplot2::element_blank(), panel.spacing.y = ggplot2::unit(4, "pt"), plot.title = ggplot2::element_text(size = 12),
    axis.text.y = ggplot2::element_text(size = 9)
  )
}
