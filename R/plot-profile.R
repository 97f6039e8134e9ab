# Pictures of profile likelihoods.

#' Plot a profile likelihood
#'
#' `"zeta"`: \eqn{\zeta} against the parameter; a straight line means that the Wald interval is right. Horizontal lines are the limits of
#' intervals. `"pairs"`: for every pair of parameters the contours of 50, 80, 90, 95 and 99 per cent confidence regions, interpolated
#' from the curves, with the curves themselves.
#'
#' @param x A profile made by [profile()][profile.hlm].
#' @param which `"zeta"` or `"pairs"`.
#' @param absolute For `"zeta"`: show \eqn{|\zeta|}?
#' @param levels Coverage of the intervals or regions drawn.
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: `rlib_error_package_not_found` when 'ggplot2' is not installed; `hlm_error_data` for pairs of fewer than two parameters.
#' @source Bates and Watts (1988), *Nonlinear Regression Analysis and Its Applications*, section 6.1.3 and appendix 6, for the contours.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' p <- profile(hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
#' plot(p)
#' @export
plot.hlm_profile <- function(x, which = c("zeta", "pairs"), absolute = FALSE, levels = c(0.5, 0.8, 0.9, 0.95, 0.99), ...) {
  which <- check_choice(which, c("zeta", "pairs"), "which")
  check_flag(absolute, "absolute")
  if (!is.numeric(levels) || !length(levels) || !isTRUE(all(levels > 0 & levels < 1))) {
    abort_hlm("data", "{.arg levels} must be numbers between 0 and 1.")
  }
  rlang::check_installed("ggplot2", "to draw plots")
  if (which == "zeta") plot_zeta(x, absolute, levels) else plot_profile_pairs(x, levels)
}

held_parameters <- function(x) intersect(levels(x$.par), unique(as.character(x$.par)))

plot_zeta <- function(x, absolute, levels) {
  names <- held_parameters(x)
  table <- do.call(rbind, lapply(names, function(name) {
    rows <- x[x$.par == name, ]
    fine <- seq(min(rows$.zeta), max(rows$.zeta), length.out = 101L)
    data.frame(parameter = name, value = profile_interpolate(rows$.zeta, rows[[name]], fine), zeta = fine)
  }))
  table$parameter <- factor(table$parameter, levels = names)
  if (absolute) table$zeta <- abs(table$zeta)
  cut <- stats::qnorm((1 + levels) / 2)
  cut <- cut[cut <= max(abs(table$zeta))]
  lines <- data.frame(zeta = if (absolute) cut else c(-cut, cut))
  ggplot2::ggplot(table, ggplot2::aes(.data$value, .data$zeta)) +
    ggplot2::geom_hline(data = lines, ggplot2::aes(yintercept = .data$zeta), colour = "grey80", linewidth = 0.3) +
    ggplot2::geom_line(colour = ink) +
    ggplot2::facet_wrap(ggplot2::vars(.data$parameter), scales = "free_x") +
    ggplot2::labs(x = "Value of the parameter", y = if (absolute) "|zeta|" else "zeta") + theme_hlm()
}

plot_profile_pairs <- function(x, levels) {
  names <- held_parameters(x)
  if (length(names) < 2L) abort_hlm("data", "Pairs need the profiles of at least two parameters.")
  pairs <- utils::combn(length(names), 2L, simplify = FALSE)
  contours <- do.call(rbind, lapply(pairs, function(pair) pair_contours(x, names[pair], levels)))
  if (is.null(contours)) {
    abort_hlm("data", c(
      "No pair of parameters has contours at these levels.",
      i = "Follow the curves farther, {.code profile(fit, level.max = 0.999)}, or choose lower {.arg levels}."
    ))
  }
  traces <- do.call(rbind, lapply(pairs, function(pair) pair_traces(x, names[pair])))
  for (column in c("first", "second")) {
    contours[[column]] <- factor(contours[[column]], levels = names)
    traces[[column]] <- factor(traces[[column]], levels = names)
  }
  ggplot2::ggplot(contours, ggplot2::aes(.data$x, .data$y)) +
    ggplot2::geom_path(data = traces, ggplot2::aes(group = .data$trace), colour = "grey60", linewidth = 0.3) +
    ggplot2::geom_path(ggplot2::aes(group = .data$level), colour = ink, linewidth = 0.4) +
    ggplot2::facet_grid(ggplot2::vars(.data$second), ggplot2::vars(.data$first), scales = "free") +
    ggplot2::labs(x = NULL, y = NULL) + theme_hlm() +
    ggplot2::theme(strip.text = ggplot2::element_text(size = 8), axis.text = ggplot2::element_text(size = 7))
}

# zeta of each parameter along the curve of each other one.
zeta_of <- function(x, name, values) {
  rows <- x[x$.par == name, ]
  keep <- !duplicated(rows[[name]]) & is.finite(rows[[name]])
  if (sum(keep) < 2L) {
    return(rep(NA_real_, length(values)))
  }
  zeta <- rep(NA_real_, length(values))
  known <- is.finite(values)
  zeta[known] <- stats::splinefun(rows[[name]][keep], rows$.zeta[keep], method = "monoH.FC")(values[known])
  zeta
}

pair_traces <- function(x, pair) {
  do.call(rbind, lapply(pair, function(held) {
    rows <- x[x$.par == held, ]
    data.frame(first = pair[[1L]], second = pair[[2L]], trace = held, x = rows[[pair[[1L]]]], y = rows[[pair[[2L]]]])
  }))
}

# Bates & Watts' interpolation: on the scale of (zeta_1, zeta_2) a contour at radius r is (r cos(a + d/2), r cos(a - d/2)); the phase d is known at the four
# points where the contour meets the curves, and a periodic spline joins them.
pair_contours <- function(x, pair, levels) {
  rows <- lapply(pair, function(name) x[x$.par == name, ])
  along <- function(i, j) {
    other <- zeta_of(x, pair[[j]], rows[[i]][[pair[[j]]]])
    keep <- !duplicated(rows[[i]]$.zeta) & is.finite(other)
    if (sum(keep) < 2L) NULL else stats::splinefun(rows[[i]]$.zeta[keep], other[keep], method = "natural")
  }
  on_first <- along(1L, 2L)
  on_second <- along(2L, 1L)
  # a correlation that does not exist along the other's curve, or a flat curve: no contours
  if (is.null(on_first) || is.null(on_second)) {
    return(NULL)
  }
  reach <- function(i, r) min(rows[[i]]$.zeta) <= -r && max(rows[[i]]$.zeta) >= r
  do.call(rbind, lapply(levels, function(level) {
    # two parameters: the radius of a joint region
    r <- sqrt(stats::qchisq(level, 2))
    if (!reach(1L, r) || !reach(2L, r)) {
      return(NULL)
    }
    angle <- function(f, at) acos(pmin(1, pmax(-1, f(at) / r)))
    points <- rbind(
      phase(0, angle(on_first, r)), phase(angle(on_second, r), 0), phase(pi, angle(on_first, -r)), phase(angle(on_second, -r), pi)
    )
    points <- points[order(points[, 1L]), ]
    wrap <- rbind(points, c(points[1L, 1L] + 2 * pi, points[1L, 2L]))
    d <- stats::splinefun(wrap[, 1L], wrap[, 2L], method = "periodic")
    a <- seq(-pi, pi, length.out = 101L)
    data.frame(
      first = pair[[1L]], second = pair[[2L]], level = level,
      x = profile_interpolate(rows[[1L]]$.zeta, rows[[1L]][[pair[[1L]]]], r * cos(a + d(a) / 2)),
      y = profile_interpolate(rows[[2L]]$.zeta, rows[[2L]][[pair[[2L]]]], r * cos(a - d(a) / 2))
    )
  }))
}

phase <- function(x, y) {
  a <- (x + y) / 2
  d <- x - y
  c(if (d > 0) a else -a, abs(d))
}
