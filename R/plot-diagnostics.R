# Diagnostic plots of each level ('ggplot2'); plot.hlm() chooses among them.

# Quantile plots ------------------------------------------------------------------------------------------------------------------------

plot_qq <- function(x, level = 0.95, band = "simultaneous") {
  table <- qq_table(unname(stats::na.omit(residuals.hlm(x, "scaled"))), level, band)
  draw_qq(table) + ggplot2::labs(x = "Normal quantile", y = "Residual (in residual SDs)", caption = band_caption(level, band))
}

# Predictions of the random effects in units of the spread that they have under the model.
plot_ranef_qq <- function(x, group, level = 0.95, band = "simultaneous") {
  group <- check_group(x, group)
  values <- varying_effects(group_residuals(x, group), group)
  table <- do.call(rbind, lapply(split(values, values$effect, drop = TRUE), function(part) {
    part <- part[order(part$standardized), ]
    cbind(qq_table(part$standardized, level, band), effect = part$effect, group = part$group)
  }))
  worst <- table[table$value < table$low | table$value > table$high, , drop = FALSE]
  draw_qq(table) + ggplot2::facet_wrap(ggplot2::vars(.data$effect)) +
    ggplot2::geom_text(data = worst, ggplot2::aes(label = .data$group), colour = accent, size = 3, hjust = -0.2, check_overlap = TRUE) +
    ggplot2::labs(x = "Normal quantile", y = paste0("Random effect of ", plain_level(group), " (standardised)"), caption = band_caption(level, band))
}

varying_effects <- function(values, group) {
  values <- values[!is.na(values$standardized), , drop = FALSE]
  if (!nrow(values)) {
    abort_hlm("data", c(
      "The random effects of {.var {group}} have an estimated variance of zero, so there is nothing to plot."
    ))
  }
  values
}

qq_table <- function(value, level, band) {
  value <- sort(value)
  limits <- qq_band(length(value), level, band)
  data.frame(normal = stats::qnorm(stats::ppoints(length(value))), value = value, low = limits$low, high = limits$high)
}

draw_qq <- function(table) {
  ggplot2::ggplot(table, ggplot2::aes(.data$normal, .data$value)) +
    ggplot2::geom_ribbon(ggplot2::aes(ymin = .data$low, ymax = .data$high), fill = "grey60", alpha = 0.25) +
    ggplot2::geom_abline(slope = 1, intercept = 0, colour = "grey60") +
    ggplot2::geom_point(colour = ink, alpha = max(0.3, point_alpha(nrow(table))), size = 1.2) + theme_hlm()
}

band_caption <- function(level, band) {
  percent <- paste0(format(100 * level), " %")
  if (band == "simultaneous") {
    paste("Under the model all points lie in the band in", percent, "of data sets")
  } else {
    paste("Under the model each point lies in the band in", percent, "of data sets")
  }
}

# Spread and pattern ---------------------------------------------------------------------------------------------------------------------

# Root of the absolute standardised residual, of rows or (with `group`) of random effects, against what is predicted.
plot_scale_location <- function(x, group = NULL) {
  if (is.null(group)) {
    rows <- row_residuals(x)
    table <- data.frame(fitted = rows$fitted, size = sqrt(abs(rows$standardized)), effect = "")
    labels <- ggplot2::labs(x = "Fitted value", y = expression(sqrt("|standardised residual|")))
  } else {
    group <- check_group(x, group)
    values <- varying_effects(group_residuals(x, group), group)
    fixed <- group_means(x, group, fixed_predictor(x))
    table <- data.frame(fitted = fixed[values$group], size = sqrt(abs(values$standardized)), effect = values$effect)
    labels <- ggplot2::labs(
      x = paste("Mean outcome expected of the", plain_level(group), "from the fixed effects"), y = expression(sqrt("|standardised random effect|"))
    )
  }
  plot <- draw_smooth(table, "fitted", "size", "effect") + labels
  # E sqrt|Z| of a standard normal value
  plot + ggplot2::geom_hline(yintercept = 2^0.25 * gamma(0.75) / sqrt(pi), colour = "grey60", linetype = "dashed")
}

# Named by the groups.
group_means <- function(fit, group, value) {
  found <- fit$design$groups[[match(group, group_names(fit))]]
  means <- drop(rowsum(rep_len(value, n_rows(fit)), found$codes, reorder = TRUE)) / tabulate(found$codes, length(found$levels))
  stats::setNames(means, found$levels)
}

# Residuals against every predictor of their level: rows against level-1 predictors, random effects of a group against the predictors that
# vary between such groups, as the specification says.
plot_predictors <- function(x, group = NULL) {
  level <- if (is.null(group)) "1" else check_group(x, group)
  columns <- predictor_columns(x, level)
  if (!length(columns)) {
    abort_hlm("data", c(
      "The model has no predictor at the level of {.val {level}}.", i = "Levels of the predictors: {.val {unique(predictor_levels(x))}}."
    ))
  }
  values <- lapply(columns, function(name) x_column(x, name))
  if (is.null(group)) {
    residual <- row_residuals(x)$standardized
    table <- data.frame(value = unlist(values), residual = rep(residual, length(values)), predictor = rep(columns, each = length(residual)))
    y <- "Residual (in residual SDs)"
  } else {
    effects <- varying_effects(group_residuals(x, group), group)
    effects <- effects[effects$effect == effects$effect[[1L]], , drop = FALSE]
    pieces <- lapply(seq_along(values), function(k) {
      data.frame(value = group_means(x, group, values[[k]])[effects$group], residual = effects$standardized, predictor = columns[[k]])
    })
    table <- do.call(rbind, pieces)
    y <- paste0("Random effect of ", plain_level(group), ": ", effects$effect[[1L]], " (standardised)")
  }
  table$predictor <- factor(table$predictor, levels = columns)
  draw_smooth(table, "value", "residual", "predictor", free = TRUE) + ggplot2::geom_hline(yintercept = 0, colour = "grey60") +
    ggplot2::labs(x = "Value of the predictor", y = y)
}

predictor_levels <- function(fit) {
  coefs <- fit$spec$coefs
  coefs$level[coefs$name != "(Intercept)"]
}

# Main effects only: products follow from their factors.
predictor_columns <- function(fit, level) {
  coefs <- fit$spec$coefs
  coefs$name[coefs$name %in% names(fixef.hlm(fit)) & coefs$name != "(Intercept)" & coefs$level == level & !grepl(", ", coefs$variables, fixed = TRUE)]
}

# Points and a smooth line per panel; few distinct values (a binary predictor) have means instead of a smooth.
draw_smooth <- function(table, x, y, panel, free = FALSE) {
  lines <- do.call(rbind, lapply(split(table, table[[panel]], drop = TRUE), function(part) {
    known <- length(unique(part[[x]]))
    line <- if (known > 6L) stats::lowess(part[[x]], part[[y]]) else list(x = sort(unique(part[[x]])), y = as.double(tapply(part[[y]], part[[x]], mean)))
    stats::setNames(data.frame(line$x, line$y, part[[panel]][[1L]]), c(x, y, panel))
  }))
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data[[x]], .data[[y]])) +
    ggplot2::geom_point(colour = ink, alpha = point_alpha(nrow(table)), size = 1.2) +
    ggplot2::geom_line(data = lines, colour = accent, linewidth = 0.8) + theme_hlm()
  if (length(unique(table[[panel]])) < 2L && !free) return(plot)
  plot + ggplot2::facet_wrap(ggplot2::vars(.data[[panel]]), scales = if (free) "free_x" else "fixed")
}

# Outlying groups -------------------------------------------------------------------------------------------------------------------------

# Squared Mahalanobis distances of the groups' random effects against chi-square quantiles.
plot_mahalanobis <- function(x, group, level = 0.95, n_label = 5L) {
  group <- check_group(x, group)
  values <- varying_effects(group_residuals(x, group), group)
  values <- values[!duplicated(values$group), , drop = FALSE]
  values <- values[order(values$mahalanobis), , drop = FALSE]
  df <- values$df[[1L]]
  n <- nrow(values)
  table <- data.frame(expected = stats::qchisq(stats::ppoints(n), df), distance = values$mahalanobis, group = values$group)
  limits <- qq_band(n, level)
  # from the upper tail, where probabilities close to 1 keep their digits
  to_chi <- function(z) stats::qchisq(stats::pnorm(z, lower.tail = FALSE), df, lower.tail = FALSE)
  table$low <- to_chi(limits$low)
  table$high <- to_chi(limits$high)
  outside <- table[table$distance > table$high, , drop = FALSE]
  labelled <- utils::tail(if (nrow(outside)) outside else table, n_label)
  ggplot2::ggplot(table, ggplot2::aes(.data$expected, .data$distance)) +
    ggplot2::geom_ribbon(ggplot2::aes(ymin = .data$low, ymax = .data$high), fill = "grey60", alpha = 0.25) +
    ggplot2::geom_abline(slope = 1, intercept = 0, colour = "grey60") +
    ggplot2::geom_point(colour = ink, alpha = max(0.3, point_alpha(n)), size = 1.4) +
    ggplot2::geom_text(data = labelled, ggplot2::aes(label = .data$group), colour = accent, size = 3, hjust = 1.3, check_overlap = TRUE) +
    ggplot2::labs(
      x = paste0("Chi-square quantile (", df, " df)"), y = paste0("Squared distance of each ", plain_level(group)),
      caption = band_caption(level, "simultaneous")
    ) + theme_hlm()
}

#' Plot of influence measures
#'
#' One point per group: how much the estimates depend on it. The groups that matter most are labelled.
#'
#' @param x The result of [influence()][influence.hlm].
#' @param what `"cooks.distance"` (default), `"covratio"`, `"leverage"` or `"dfbetas"` (a panel per coefficient).
#' @param n_label How many groups are labelled in each panel.
#' @param ... Not used.
#' @return A 'ggplot' object. Dashed lines: 4/J for Cook's distance, plus and minus 2/sqrt(J) for DFBETAS, 1 plus and minus 3p/J for the covariance ratio,
#'   2p/J for the leverage (J groups, p coefficients).
#' @source Belsley, Kuh and Welsch (1980), *Regression Diagnostics*, chapter 2; van der Meer, te Grotenhuis and Pelzer (2010), *American
#'   Sociological Review* 75, 173-178.
#' @examplesIf requireNamespace("lme4", quietly = TRUE) && requireNamespace("ggplot2", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' plot(influence(fit))
#' plot(influence(fit), "dfbetas")
#' @export
plot.hlm_influence <- function(x, what = c("cooks.distance", "covratio", "leverage", "dfbetas"), n_label = 5L, ...) {
  what <- check_choice(what, c("cooks.distance", "covratio", "leverage", "dfbetas"), "what")
  if (!is_number(n_label) || n_label < 0) abort_hlm("data", "{.arg n_label} must be a number that is not negative.")
  rlang::check_installed("ggplot2", "to draw plots")
  values <- if (what == "dfbetas") x$dfbetas else matrix(x$groups[[what]], dimnames = list(NULL, what))
  j <- nrow(values)
  p <- ncol(x$dfbetas)
  shown <- is.finite(values[, 1L])
  table <- data.frame(
    index = rep(seq_len(j)[shown], ncol(values)), value = as.double(values[shown, ]), group = rep(x$groups$group[shown], ncol(values)),
    panel = factor(rep(colnames(values), each = sum(shown)), levels = colnames(values))
  )
  cut <- switch(what, cooks.distance = 4 / j, covratio = 1 + c(-3, 3) * p / j, leverage = 2 * p / j, dfbetas = c(-2, 2) / sqrt(j))
  zero <- if (what == "covratio") 1 else 0
  worst <- do.call(rbind, lapply(split(table, table$panel), function(part) {
    part[utils::head(order(-abs(part$value - zero)), n_label), , drop = FALSE]
  }))
  label <- c(cooks.distance = "Cook's distance", covratio = "Covariance ratio", leverage = "Leverage", dfbetas = "DFBETAS")[[what]]
  plot <- ggplot2::ggplot(table, ggplot2::aes(.data$index, .data$value)) +
    ggplot2::geom_hline(yintercept = zero, colour = "grey60") +
    ggplot2::geom_hline(yintercept = cut, colour = "grey60", linetype = "dashed") +
    ggplot2::geom_linerange(ggplot2::aes(ymin = pmin(zero, .data$value), ymax = pmax(zero, .data$value)), colour = ink, alpha = 0.4) +
    ggplot2::geom_point(colour = ink, size = if (j > 200L) 0.8 else 1.4) +
    ggplot2::geom_text(
      data = worst, ggplot2::aes(label = .data$group, vjust = ifelse(.data$value < zero, 1.6, -0.7)), colour = accent, size = 3, check_overlap = TRUE
    ) +
    ggplot2::scale_y_continuous(expand = ggplot2::expansion(mult = 0.1)) +
    ggplot2::labs(x = paste0("Each ", plain_level(x$level), ", in the order of the data"), y = label) + theme_hlm()
  if (what == "dfbetas") plot + ggplot2::facet_wrap(ggplot2::vars(.data$panel)) else plot
}
