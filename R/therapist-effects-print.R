# Therapist effects on paper: the account in words and the picture of the therapists.

#' @rdname therapist_effects
#' @export
print.hlm_therapist_effects <- function(x, n = 10L, digits = 3L, ...) {
  unit <- plain_level(x$group)
  person <- plain_level(x$person)
  counts <- x$counts
  title <- paste0(toupper(substr(unit, 1L, 1L)), substr(unit, 2L, nchar(unit)))
  cat(
    title, " effects on ", x$outcome, ": ", counts[["therapists"]], " ", unit, "s, ", counts[["patients"]], " ", person, "s (", persons_range(x), " each), ",
    format(counts[["rows"]], big.mark = ","), " rows\n\n", sep = ""
  )
  print_therapist_variances(x, unit, digits)
  if (!is.null(x$effects)) print_therapist_predictors(x, digits)
  print_therapist_ranking(x, unit, n, digits)
  for (note in x$notes) cat("\n", paste0(strwrap(note, width = max(50L, getOption("width") - 2L), prefix = " "), collapse = "\n"), "\n", sep = "")
  invisible(x)
}

persons_range <- function(x) {
  span <- range(x$ranking$patients)
  if (span[[1L]] == span[[2L]]) span[[1L]] else paste(span, collapse = " to ")
}

print_therapist_variances <- function(x, unit, digits) {
  v <- x$variances
  percent <- function(value) ifelse(is.na(value), "-", paste0(formatC(100 * value, format = "f", digits = 1L), " %"))
  span <- function(low, high) ifelse(is.na(low) | is.na(high), "-", paste(low, "to", high))
  sd <- format_column(c(v$sd, v$sd_lower, v$sd_upper), digits)
  k <- nrow(v)
  sd <- ifelse(c(v$sd, v$sd_lower, v$sd_upper) %in% 0, "0", ifelse(nzchar(sd), sd, NA))
  cat("How much do ", unit, "s differ?\n", sep = "")
  print_table(cbind(
    Name = v$effect, SD = sd[seq_len(k)], Interval = span(sd[k + seq_len(k)], sd[2L * k + seq_len(k)]), Share = percent(v$share),
    Interval = ifelse(is.na(v$share_lower), "-", paste(percent(v$share_lower), "to", percent(v$share_upper))),
    Reliability = ifelse(is.na(v$reliability), "-", formatC(v$reliability, format = "f", digits = 2L)),
    p = ifelse(is.na(v$p.value), "-", format_p(v$p.value))
  ))
  first <- match("(Intercept)", v$effect)
  if (!is.na(first)) {
    agree <- paste0("; the data agree with anything from ", percent(v$share_lower[[first]]), " to ", percent(v$share_upper[[first]]))
    known <- !is.na(v$share_upper[[first]])
    cat_lines(paste0(percent(v$share[[first]]), " of the variance of the outcome lies between ", unit, "s", if (known) agree, "."))
  }
  if (any(!is.na(v$share_of) & v$effect != "(Intercept)")) {
    cat(" For a slope, share: of its differences between persons, those between ", unit, "s.\n", sep = "")
  }
  if (!all(is.na(v$sd_lower))) cat(" ", format(100 * x$level), " % intervals by profile likelihood.\n", sep = "")
  cat(" Reliability: of the ", unit, "s' own estimates.\n", sep = "")
  for (i in which(!is.na(v$test))) {
    text <- paste0("Test of ", v$effect[[i]], ": ", v$test[[i]], if (!is.na(v$note[[i]])) paste0(" (", v$note[[i]], ")"))
    cat(strwrap(text, width = max(50L, getOption("width") - 2L), indent = 1L, exdent = 3L), sep = "\n")
  }
  cat("\n")
}

print_therapist_predictors <- function(x, digits) {
  block <- function(table, name) {
    shown <- format_effects(table$Estimate, table$`Std. Error`, max(digits, 4L))
    print_table(cbind(
      Name = paste0(table$variable, ": ", table[[name]]), shown, df = format_df(table$df), t = formatC(table$`t value`, format = "f", digits = 2L),
      p = format_p(table$`Pr(>|t|)`)
    ))
  }
  cat("Effects at each level\n")
  block(x$effects, "effect")
  if (!is.null(x$differences)) {
    cat("Do they differ?\n")
    block(x$differences, "contrast")
    if (nrow(x$differences) > 1L) {
      joint <- x$joint
      cat(
        " All differences zero: F(", joint$NumDF, ", ", format_df(joint$DenDF), ") = ", formatC(joint$`F value`, format = "f", digits = 2L), ", p ",
        sub("^([^<])", "= \\1", format_p(joint$`Pr(>F)`)), "\n", sep = ""
      )
    }
  }
  cat(" (", x$inference, ")\n\n", sep = "")
}

print_therapist_ranking <- function(x, unit, n, digits) {
  r <- x$ranking
  if (all(r$se == 0)) {
    cat_lines(paste0("The ", unit, "s cannot be put in order: with a variance of zero between them, all are estimated at the average."), 0L)
    return(invisible())
  }
  size <- stats::median(r$se[r$se > 0])
  decimals <- if (is.finite(size)) min(8, max(0, digits - 2 - floor(log10(size)))) else 2
  number <- function(v) formatC(round(v, decimals) + 0, digits = decimals, format = "f")
  # the two ends are what readers look for
  shown <- if (nrow(r) <= n) seq_len(nrow(r)) else unique(c(seq_len(ceiling(n / 2)), nrow(r) - rev(seq_len(floor(n / 2))) + 1L))
  cat("The ", unit, "s, from the lowest ", x$outcome, " to the highest (deviation from the average ", unit, ")\n", sep = "")
  table <- cbind(
    rank = format(r$rank), Name = r$therapist, persons = format(r$patients), rows = format(r$rows), deviation = number(r$effect), lower = number(r$lower),
    upper = number(r$upper)
  )[shown, , drop = FALSE]
  print_table(table)
  if (length(shown) < nrow(r)) cat(" ... ", nrow(r) - length(shown), " between them not shown\n", sep = "")
  cat(
    " ", sum(r$clear), " of ", nrow(r), " intervals exclude zero; up to about ", formatC((1 - x$level) * nrow(r), format = "f", digits = 1L),
    " would by chance. Ranks are uncertain.\n", sep = ""
  )
}

#' @rdname therapist_effects
#' @export
as.data.frame.hlm_therapist_effects <- function(x, row.names = NULL, optional = FALSE, ...) x$ranking

#' @rdname therapist_effects
#' @export
plot.hlm_therapist_effects <- function(x, labels = NULL, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  table <- x$ranking
  table$place <- table$rank
  unit <- plain_level(x$group)
  person <- plain_level(x$person)
  if (is.null(labels)) labels <- nrow(table) <= 40L
  check_flag(labels, "labels")
  kinds <- c("interval holds zero", "interval excludes zero")
  table$what <- factor(ifelse(table$clear, kinds[[2L]], kinds[[1L]]), levels = kinds)
  table$person <- paste0(short_labels(table$therapist), " (", table$patients, ")")
  sd <- x$variances$sd[match("(Intercept)", x$variances$effect)]
  share <- x$variances$share[match("(Intercept)", x$variances$effect)]
  ggplot2::ggplot(table, ggplot2::aes(.data$effect, .data$place)) +
    (if (isTRUE(sd > 0)) ggplot2::annotate("rect", xmin = -sd, xmax = sd, ymin = -Inf, ymax = Inf, fill = "grey55", alpha = 0.18)) +
    ggplot2::geom_vline(xintercept = 0, colour = "grey40", linetype = "dashed") +
    ggplot2::geom_linerange(ggplot2::aes(xmin = .data$lower, xmax = .data$upper, colour = .data$what), linewidth = bar_width(nrow(table))) +
    ggplot2::geom_point(ggplot2::aes(colour = .data$what), size = if (nrow(table) > 150L) 0.5 else 1.6) +
    ggplot2::scale_colour_manual(name = NULL, values = stats::setNames(c("grey55", accent), kinds), drop = TRUE) +
    slope_axis(table, labels, unit) + ggplot2::labs(
      x = paste0("Deviation of ", x$outcome, " from the average ", unit), y = if (labels) paste0(unit, " (number of ", person, "s)") else unit,
      title = paste0("Effect of each ", unit), subtitle = therapist_share_words(x, share, unit),
      caption = paste0("Bars: ", format(100 * x$level), " % intervals", if (isTRUE(sd > 0)) paste0("; grey band: one SD between ", unit, "s"), ".",
                       caption_rank(table))
    ) + theme_hlm() + caption_left() + ggplot2::theme(panel.grid.major.y = ggplot2::element_blank())
}

caption_rank <- function(table) {
  if (all(table$se == 0)) " With a variance of zero all are estimated at the average." else " Ranks are uncertain."
}

therapist_share_words <- function(x, share, unit) {
  if (is.na(share)) return(NULL)
  v <- x$variances[match("(Intercept)", x$variances$effect), , drop = FALSE]
  percent <- function(value) formatC(100 * value, format = "f", digits = 1L)
  paste0(
    percent(share), " % of the variance lies between ", unit, "s",
    if (!is.na(v$share_upper)) paste0(" (", format(100 * x$level), " % interval ", percent(v$share_lower), " to ", percent(v$share_upper), " %)")
  )
}
