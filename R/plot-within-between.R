# Two stories in one picture: the within-person slope of each person and the line between the persons.

#' Within/between plot
#'
#' Thin lines: for each person, the expected outcome over the range of that person's own values (the within-person effect,
#' with the person's own slope where the model has random slopes). Points: the persons' means. Thick line: the
#' between-person effect. When the two effects differ, thin and thick lines have different slopes.
#'
#' Other predictors of the model are held at their mean over the analysed rows, so that the lines show the adjusted effects.
#'
#' @param fit A fitted model of class `hlm` with within and between terms of a variable.
#' @param variable Name of the variable, bare or as a string; by default the first one that the formula splits.
#' @param max_persons Lines for at most so many persons, spread evenly over the range of person means.
#' @param points Draw the persons' means?
#' @param ... Not used.
#' @return A 'ggplot' object.
#' @section Errors: `hlm_error_data` when the model has no within and between terms of the variable.
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
  rlang::check_installed("ggplot2", "to draw plots")
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_flag(points, "points")
  if (!is.numeric(max_persons) || length(max_persons) != 1L || !isTRUE(max_persons >= 1)) {
    abort_hlm("data", "{.arg max_persons} must be a number of at least 1.")
  }
  variable <- split_variable(fit, substitute(variable))
  persons <- person_lines(fit, variable)
  between <- between_line(fit, variable, persons)
  shown <- persons[even_choice(persons$mean, max_persons), , drop = FALSE]
  plot <- ggplot2::ggplot() +
    ggplot2::geom_segment(
      data = shown, colour = ink, alpha = max(0.2, min(0.7, 25 / nrow(shown))), linewidth = 0.45,
      ggplot2::aes(.data$low, .data$y_low, xend = .data$high, yend = .data$y_high, linetype = "within each person")
    ) +
    ggplot2::geom_line(
      data = between, colour = accent, linewidth = 1.3, ggplot2::aes(.data$x, .data$y, linetype = "between persons")
    )
  if (points) {
    plot <- plot + ggplot2::geom_point(data = shown, ggplot2::aes(.data$mean, .data$y_mean), colour = ink, size = 1.3)
  }
  colours <- list(colour = c(accent, ink))
  plot + ggplot2::scale_linetype_manual(
    name = NULL, values = c("between persons" = "solid", "within each person" = "solid"),
    guide = ggplot2::guide_legend(override.aes = c(colours, list(alpha = 1)))
  ) + ggplot2::labs(x = variable, y = deparse1(fit$formula[[2L]])) + theme_hlm()
}

# The disaggregated variable: its label in fit$means.
split_variable <- function(fit, expr) {
  split <- names(Filter(function(means) {
    kinds <- vapply(means$columns, `[[`, "", "kind")
    "within" %in% kinds && any(kinds == "between")
  }, fit$means))
  wanted <- if (is.null(expr)) split[1L] else if (is.character(expr)) expr else deparse1(expr)
  if (!length(split) || !wanted %in% split) {
    abort_hlm("data", c(
      "The model has no within and between terms{if (is.null(expr)) '' else paste(' of', wanted)}.",
      i = if (length(split)) "It has them of {.var {split}}." else "Use {.code wb(x)} in the formula."
    ))
  }
  wanted
}

# Per person: range of its own values, mean, and the predicted outcome there with the other predictors at their means.
person_lines <- function(fit, variable) {
  means <- fit$means[[variable]]
  columns <- split_columns(fit, variable)
  within <- x_column(fit, columns$within)
  codes <- fit$design$groups[[person_group(fit)]]$codes
  first <- match(seq_len(max(codes)), codes)
  range <- vapply(split(within, codes), range, c(0, 0))
  own <- person_effects(fit, columns$within)
  # With level = "therapist" the person's mean is split further; the pieces add up to it again.
  between <- vapply(columns$between, function(name) x_column(fit, name)[first], double(length(first)))
  between <- matrix(between, length(first))
  beta <- fixef.hlm(fit)
  slope <- beta[[columns$within]] + own$slope + product_slope(fit, columns, between[, 1L])
  y_mean <- other_predictors(fit, columns) + drop(between %*% beta[columns$between]) + own$intercept
  mean <- rowSums(between) + grand_mean(means, columns$own)
  data.frame(
    mean = mean, y_mean = y_mean, low = mean + range[1L, ], high = mean + range[2L, ], y_low = y_mean + slope * range[1L, ],
    y_high = y_mean + slope * range[2L, ]
  )
}

between_line <- function(fit, variable, persons) {
  columns <- split_columns(fit, variable)
  x <- range(persons$mean)
  centred <- x - grand_mean(fit$means[[variable]], columns$own)
  data.frame(x = x, y = other_predictors(fit, columns) + fixef.hlm(fit)[[columns$between[[1L]]]] * centred)
}

# Coefficients of the within column and of the between columns, the persons' own first; own: its column in the data.
split_columns <- function(fit, variable) {
  columns <- fit$means[[variable]]$columns
  kind <- vapply(columns, `[[`, "", "kind")
  level <- vapply(columns, `[[`, "", "level")
  between <- names(columns)[kind == "between"][order(level[kind == "between"] != "")]
  found <- list(within = column_label(names(columns)[kind == "within"])[1L], between = column_label(between), own = between[[1L]])
  absent <- setdiff(c(found$within, found$between), names(fixef.hlm(fit)))
  if (length(absent)) {
    abort_hlm("data", c(
      "The plot needs both main effects of {.var {variable}}; the model has no estimate for {.var {absent}}.",
      i = "Use {.code wb({column_label(variable)})} in the formula."
    ))
  }
  found
}

x_column <- function(fit, name) {
  rep_len(design_column(fit$design, fit$design$x[[match(name, fit$design$x_names)]]), n_rows(fit))
}

grand_mean <- function(means, column) means$columns[[column]]$grand %||% 0

person_group <- function(fit) match(fit$id, group_names(fit), nomatch = 1L)

# The fixed part without any column that involves the variable, averaged over the rows.
other_predictors <- function(fit, columns) {
  others <- setdiff(names(fixef.hlm(fit)), columns_with(fit, c(columns$within, columns$between)))
  mean(design_offset(fit$design)) + sum(vapply(others, function(name) fixef.hlm(fit)[[name]] * mean(x_column(fit, name)), 0))
}

columns_with <- function(fit, variables) {
  names <- names(fixef.hlm(fit))
  names[vapply(strsplit(names, ":", fixed = TRUE), function(parts) any(parts %in% variables), TRUE)]
}

# Each person's deviation from the average line, random effects of all its levels added up; those of other predictors (a slope
# of session, say) at the mean of the predictor, as in the fixed part.
person_effects <- function(fit, within) {
  person <- fit$design$groups[[person_group(fit)]]$codes
  first <- match(seq_len(max(person)), person)
  effects <- list(intercept = numeric(length(first)), slope = numeric(length(first)))
  for (t in seq_along(fit$design$terms)) {
    term <- fit$design$terms[[t]]
    rows <- fit$design$groups[[term$group]]$codes[first]
    modes <- term_modes(fit, t)
    for (j in seq_along(term$columns)) {
      parts <- strsplit(term$names[[j]], ":", fixed = TRUE)[[1L]]
      if (identical(parts, within)) {
        effects$slope <- effects$slope + modes[rows, j]
      } else if (!within %in% parts) {
        effects$intercept <- effects$intercept + modes[rows, j] * mean(design_column(fit$design, term$columns[[j]]))
      }
    }
  }
  effects
}

# A cross-level product x_within:x_between changes the slope from person to person.
product_slope <- function(fit, columns, between) {
  own <- columns$between[[1L]]
  products <- c(paste(columns$within, own, sep = ":"), paste(own, columns$within, sep = ":"))
  found <- intersect(products, names(fixef.hlm(fit)))
  if (length(found)) fixef.hlm(fit)[[found[[1L]]]] * between else 0
}

even_choice <- function(mean, max_persons) {
  if (length(mean) <= max_persons) return(seq_along(mean))
  order(mean)[unique(round(seq(1, length(mean), length.out = max_persons)))]
}
