# The path diagram of a reciprocal model ('ggplot2').

#' @rdname reciprocal
#' @details `plot()` draws the path diagram: the earlier session on the left, the later one on the right, `x` above. Numbers are the effects per
#'   unit, in brackets within-person standardised; stars mark
#'   p below .05, .01 and .001. Width follows the standardised size, and effects whose interval includes zero are dashed.
#' @export
plot.hlm_reciprocal <- function(x, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  boxes <- path_boxes(x)
  arrows <- path_arrows(x, boxes)
  plot <- ggplot2::ggplot()
  for (i in seq_len(nrow(arrows))) plot <- plot + path_layer(arrows[i, ])
  plot +
    ggplot2::geom_tile(data = arrows, ggplot2::aes(.data$label_x, .data$label_y), width = 0.16, height = 0.12, fill = "white") +
    ggplot2::geom_text(
      data = arrows, ggplot2::aes(.data$label_x, .data$label_y, label = .data$label), colour = arrows$colour, size = 3.6, lineheight = 0.95
    ) +
    ggplot2::geom_rect(
      data = boxes, ggplot2::aes(xmin = .data$x - box_width, xmax = .data$x + box_width, ymin = .data$y - box_height, ymax = .data$y + box_height),
      fill = "white", colour = ink, linewidth = 0.6
    ) +
    ggplot2::geom_text(data = boxes, ggplot2::aes(.data$x, .data$y, label = .data$label), colour = ink, size = 4, lineheight = 0.95) +
    ggplot2::coord_cartesian(xlim = c(-0.25, 1.3), ylim = c(-0.2, 1.2), expand = FALSE) +
    ggplot2::labs(
      title = "Which comes first? Within-person effects in both directions", subtitle = path_subtitle(x), caption = path_caption(x), x = NULL, y = NULL
    ) +
    theme_hlm() + ggplot2::theme(
      axis.text = ggplot2::element_blank(), panel.grid = ggplot2::element_blank(), plot.caption = ggplot2::element_text(hjust = 0, colour = "grey30"),
      plot.caption.position = "plot"
    )
}

# half the width and height of a box; arrows end a little before it
box_width <- 0.17
box_height <- 0.11
box_gap <- 0.012

# Earlier values on the left, later ones on the right, x above y. With lag 0 a direction starts on the right.
path_boxes <- function(x) {
  settings <- x$settings
  lags <- settings$lags
  before <- pmax(lags, 1L)
  # x earlier: predictor of xy at its lag, earlier outcome of yx
  earlier <- list(
    x = c(if (lags[["xy"]] > 0L) lags[["xy"]], if (settings$autoregression != "none") before[["yx"]], if (settings$concurrent && lags[["xy"]] == 0L) 1L),
    y = c(if (lags[["yx"]] > 0L) lags[["yx"]], if (settings$autoregression != "none") before[["xy"]], if (settings$concurrent && lags[["yx"]] == 0L) 1L)
  )
  when <- function(lag) {
    lag <- sort(unique(lag))
    if (!length(lag)) return(NA_character_)
    paste("session", paste(ifelse(lag == 1L, "t - 1", paste("t -", lag)), collapse = ", "))
  }
  boxes <- data.frame(
    name = c("x_before", "y_before", "x_now", "y_now"), x = c(0, 0, 1, 1), y = c(1, 0, 1, 0),
    what = settings$labels[c("x", "y", "x", "y")], when = c(when(earlier$x), when(earlier$y), "session t", "session t"), stringsAsFactors = FALSE
  )
  boxes <- boxes[!is.na(boxes$when), , drop = FALSE]
  boxes$label <- paste0(vapply(boxes$what, function(text) paste(strwrap(text, 16L), collapse = "\n"), ""), "\n", boxes$when)
  boxes
}

# One row per arrow: from, to, ends, curvature, label.
path_arrows <- function(x, boxes) {
  effects <- x$effects[x$effects$role %in% c("within", "concurrent", "autoregression"), , drop = FALSE]
  rows <- lapply(seq_len(nrow(effects)), function(i) path_arrow(x, effects[i, ], boxes))
  arrows <- do.call(rbind, rows)
  largest <- max(abs(arrows$size), 0.1, na.rm = TRUE)
  arrows$width <- ifelse(is.na(arrows$size), 0.8, 0.4 + 1.8 * abs(arrows$size) / largest)
  arrows
}

path_arrow <- function(x, effect, boxes) {
  way <- effect$direction
  predictor <- substr(way, 1L, 1L)
  outcome <- substr(way, 2L, 2L)
  lag <- x$settings$lags[[way]]
  from <- switch(effect$role,
    autoregression = paste0(outcome, "_before"),
    within = paste0(predictor, if (lag == 0L) "_now" else "_before"), concurrent = paste0(predictor, if (lag == 0L) "_before" else "_now")
  )
  a <- boxes[boxes$name == from, ]
  b <- boxes[boxes$name == paste0(outcome, "_now"), ]
  ends <- arrow_ends(a, b, sum(x$effects$role == "concurrent") == 2L && endsWith(from, "_now"), way)
  significant <- effect$p.value < 1 - x$settings$conf.level
  data.frame(
    role = effect$role, x = ends$x[[1L]], y = ends$y[[1L]], xend = ends$x[[2L]], yend = ends$y[[2L]], label_x = ends$label[[1L]], label_y = ends$label[[2L]],
    label = path_label(effect), size = effect$std.estimate, linetype = if (significant) "solid" else "22",
    colour = if (effect$role == "autoregression") "grey45" else if (effect$role == "within") accent else ink, stringsAsFactors = FALSE
  )
}

# From edge to edge of the boxes; labels on the first part of crossing arrows, so that they stay apart. Two arrows between the same boxes lie side by side.
arrow_ends <- function(a, b, pair, way) {
  if (a$x == b$x) {
    side <- if (pair) (if (way == "xy") -0.08 else 0.08) else 0
    up <- sign(b$y - a$y)
    x <- rep(a$x + side, 2L)
    y <- c(a$y + up * box_height, b$y - up * (box_height + box_gap))
    return(list(x = x, y = y, label = c(x[[1L]] + (if (pair && way == "xy") -0.14 else 0.14), mean(y))))
  }
  if (a$y == b$y) {
    x <- c(a$x + box_width, b$x - box_width - box_gap)
    return(list(x = x, y = c(a$y, b$y), label = c(mean(x), a$y + 0.11 * (if (a$y > 0.5) 1 else -1))))
  }
  shift <- 0.045 * sign(b$y - a$y)
  x <- c(a$x + box_width, b$x - box_width - box_gap)
  y <- c(a$y + shift, b$y - shift)
  at <- 0.27
  list(x = x, y = y, label = c(x[[1L]] + at * diff(x), y[[1L]] + at * diff(y)))
}

path_label <- function(effect) {
  number <- sub("[.]$", "", formatC(effect$estimate, digits = 2L, format = "fg", flag = "#"))
  stars <- if (is.na(effect$p.value)) "" else strrep("*", sum(effect$p.value < c(0.05, 0.01, 0.001)))
  if (is.na(effect$std.estimate)) return(paste0(number, stars))
  paste0(number, stars, "\n(", formatC(effect$std.estimate, format = "f", digits = 2L), ")")
}

# The shaft may be dashed, the head is not.
path_layer <- function(arrow) {
  length <- sqrt((arrow$xend - arrow$x)^2 + (arrow$yend - arrow$y)^2)
  back <- 0.03 / length
  arrow$x_head <- arrow$xend - back * (arrow$xend - arrow$x)
  arrow$y_head <- arrow$yend - back * (arrow$yend - arrow$y)
  list(
    ggplot2::geom_segment(
      data = arrow, ggplot2::aes(.data$x, .data$y, xend = .data$x_head, yend = .data$y_head), colour = arrow$colour, linewidth = arrow$width,
      linetype = arrow$linetype
    ),
    ggplot2::geom_segment(
      data = arrow, ggplot2::aes(.data$x_head, .data$y_head, xend = .data$xend, yend = .data$yend), colour = arrow$colour, linewidth = 0.5,
      arrow = ggplot2::arrow(length = ggplot2::unit(0.14, "inches"), type = "closed", angle = 22), linejoin = "mitre"
    )
  )
}

path_subtitle <- function(x) {
  clear <- function(way) {
    row <- x$effects[x$effects$direction == way & x$effects$role == "within", ]
    nrow(row) == 1L && isTRUE(row$p.value < 1 - x$settings$conf.level)
  }
  labels <- x$settings$labels
  found <- c(xy = clear("xy"), yx = clear("yx"))
  none <- function(from, to) paste("no clear effect of", labels[[from]], "on", labels[[to]])
  if (all(found)) return(paste0("Clear effects in both directions: ", labels[["x"]], " on ", labels[["y"]], ", and ", labels[["y"]], " on ", labels[["x"]]))
  if (found[["xy"]]) return(paste0("An effect of ", labels[["x"]], " on ", labels[["y"]], "; ", none("y", "x")))
  if (found[["yx"]]) return(paste0("An effect of ", labels[["y"]], " on ", labels[["x"]], "; ", none("x", "y")))
  paste0("N", substring(none("x", "y"), 2L), ", nor of ", labels[["y"]], " on ", labels[["x"]])
}

path_caption <- function(x) {
  number <- function(value) sub("[.]$", "", formatC(value, digits = 2L, format = "fg", flag = "#"))
  slopes <- x$slopes
  spread <- if (!is.null(slopes)) {
    paste0("SD of the within effect between persons: ", paste0(slopes$direction, " ", number(slopes$sd), collapse = ", "))
  }
  residual <- paste0("Residual SD: ", paste0(x$settings$labels[c("y", "x")], " ", number(vapply(x$fits[c("xy", "yx")], stats::sigma, 0)), collapse = ", "))
  outcome <- c(
    switch(x$settings$outcome, change = "Outcomes: change since the session before", residualised = "Outcomes: residualised change"),
    if ("moderation" %in% x$effects$role) "Within effects where the moderators are 0 or at their reference"
  )
  paste(c(
    "Effects per unit (within-person standardised); dashed: interval includes zero; * p < .05, ** p < .01, *** p < .001",
    paste(c(spread, residual), collapse = ". "), if (length(outcome)) paste(outcome, collapse = ". ")
  ), collapse = "\n")
}
