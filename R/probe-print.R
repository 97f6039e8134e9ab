# Printed output of simple_slopes() and johnson_neyman().

#' @rdname simple_slopes
#' @export
print.hlm_simple_slopes <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  cat(slope_title(x), "\n", sep = "")
  cat_wrapped(paste0("Moderator: ", moderator_words(x$modx), default_words(x$modx, x$slopes$modx_label)))
  if (!is.null(x$mod2)) cat_wrapped(paste0("Second moderator: ", moderator_words(x$mod2), default_words(x$mod2, x$slopes$mod2_label)))
  cat("\n")
  print_slopes(x, digits)
  if (any(x$slopes$outside)) cat_wrapped("* outside the observed values: the line is extended to where there are no data.")
  print_differences(x, digits)
  cat("\n")
  cat_wrapped(paste0("t tests with ", x$inference, "; ", percent_words(x$conf.level), " confidence intervals"))
  print_notes(x$notes)
  invisible(x)
}

slope_title <- function(x) {
  what <- if (x$pred$kind == "factor") "Differences between categories of " else "Simple slopes of "
  paste0(what, x$pred$name, " on ", x$outcome)
}

cat_wrapped <- function(text) {
  if (!length(text)) return(invisible())
  cat(paste0(" ", strwrap(text, width = max(40L, getOption("width") - 2L))), sep = "\n")
}

percent_words <- function(p) paste(format(100 * p, digits = 4L), "%")

# "severity, one value per patient (60 patients), observed from 9.3 to 31.2".
moderator_words <- function(focal) {
  units <- if (focal$level == "1") paste0(", one value per row (", count(focal$n, "row"), ")") else
    paste0(", one value per ", focal$unit, " (", count(focal$n, focal$unit), ")")
  if (focal$kind == "factor") {
    return(paste0(focal$name, units, ": ", paste(names(focal$counts), focal$counts, collapse = ", ")))
  }
  paste0(focal$name, units, ", observed from ", paste(format_values(focal$range), collapse = " to "))
}

default_words <- function(focal, labels) {
  if (!any(grepl("SD", labels))) return("")
  paste0(", mean ", format_values(focal$mean), ", SD ", format_values(focal$sd))
}

# A block of slopes per contrast of the predictor and value of the second moderator.
print_slopes <- function(x, digits) {
  slopes <- x$slopes
  block <- interaction(slopes$contrast, slopes$mod2 %||% rep("", nrow(slopes)), drop = TRUE, lex.order = FALSE)
  blocks <- split(seq_len(nrow(slopes)), factor(block, levels = unique(block)))
  for (rows in blocks) {
    heading <- block_heading(x, slopes[rows[[1L]], ])
    if (nzchar(heading)) cat(" ", heading, "\n", sep = "")
    print_table(slopes_block(x, slopes[rows, ], digits), right = -1L, indent = if (nzchar(heading)) "  " else " ")
  }
}

block_heading <- function(x, row) {
  parts <- c(if (nzchar(row$contrast)) row$contrast, if (!is.null(x$mod2)) paste0(x$mod2$name, " = ", value_words(row$mod2, row$mod2_label)))
  paste(parts, collapse = ", ")
}

value_words <- function(value, words) {
  shown <- format_values(value)
  ifelse(nzchar(words), paste0(shown, " (", words, ")"), shown)
}

slopes_block <- function(x, slopes, digits) {
  values <- if (is.character(slopes$modx)) slopes$modx else format_moderator(slopes$modx, digits)
  words <- ifelse(nzchar(slopes$modx_label), paste0(" (", slopes$modx_label, ")"), "")
  if (!is.character(slopes$modx)) values <- formatC(values, width = max(nchar(values)))
  first <- paste0(values, words, ifelse(slopes$outside, " *", ""))
  table <- cbind(first, slope_cells(slopes, digits, if (x$pred$kind == "factor") "Difference" else "Slope"))
  colnames(table)[[1L]] <- x$modx$name
  table[is.na(slopes$Estimate), -1L] <- ""
  table[is.na(slopes$Estimate), 2L] <- "not estimable"
  table
}

# Whole numbers, such as 0 and 1 or sessions, stay whole.
format_moderator <- function(values, digits) {
  whole <- all(values == round(values) & abs(values) < 1e6, na.rm = TRUE)
  if (whole) formatC(values, format = "d") else format_column(values, digits)
}

slope_cells <- function(tests, digits, name) {
  shown <- format_effects(c(tests$Estimate, tests$lower, tests$upper), rep(tests$`Std. Error`, 3L), digits)
  shown[] <- sub("^-(0[.]?0*)$", "\\1", shown)
  k <- nrow(tests)
  i <- seq_len(k)
  table <- cbind(
    shown[i, , drop = FALSE], df = format_df(tests$df), t = formatC(tests$`t value`, format = "f", digits = 2L), p = format_p(tests$`Pr(>|t|)`),
    lower = shown[k + i, 1L], upper = shown[2L * k + i, 1L]
  )
  colnames(table)[[1L]] <- name
  table
}

# At most twenty differences: the rest is in the object.
print_differences <- function(x, digits) {
  found <- x$differences
  if (!is.null(found)) {
    factor <- x$modx$kind == "factor"
    cat("\n ", if (factor) "Differences of slopes between categories of " else "Change of the slope per unit of ", x$modx$name, "\n", sep = "")
    shown <- utils::head(found, 20L)
    parts <- list(shown$contrast, if (!is.null(x$mod2)) paste0(x$mod2$name, " = ", value_words(shown$mod2, shown$mod2_label)), if (factor) shown$modx)
    label <- vapply(seq_len(nrow(shown)), function(i) {
      words <- vapply(Filter(Negate(is.null), parts), `[[`, "", i)
      paste(words[nzchar(words)], collapse = ", ")
    }, "")
    table <- cbind(label, slope_cells(shown, digits, if (factor) "Difference" else "Change"))
    colnames(table)[[1L]] <- ""
    print_table(table, right = -1L, indent = "  ")
    if (nrow(found) > 20L) cat("  ... ", nrow(found) - 20L, " more: as.data.frame(x, what = \"differences\")\n", sep = "")
    if (nrow(found) > 1L && factor) cat("  (p values are not adjusted for the number of differences)\n")
  } else if (!x$moderated && !all(is.na(x$slopes$Estimate))) {
    cat("\n")
    cat_wrapped(paste0("The model has no interaction of ", x$pred$name, " with ", x$modx$name, ": the slope is the same at all values."))
  }
  print_joint(x)
}

print_joint <- function(x) {
  joint <- x$joint
  if (is.null(joint)) return(invisible())
  # one difference says the same as its F test
  said <- !is.null(x$differences) & joint$NumDF == 1 & startsWith(joint$hypothesis, "equal")
  for (i in which(!is.na(joint$`F value`) & !said)) {
    cat_wrapped(paste0(
      "Test of ", joint$hypothesis[[i]], ": F(", format(joint$NumDF[[i]]), ", ", format_df(joint$DenDF[[i]]), ") = ",
      formatC(joint$`F value`[[i]], format = "f", digits = 2L), ", p ", sub("^([^<])", "= \\1", format_p(joint$`Pr(>F)`[[i]]))
    ))
  }
}

print_notes <- function(notes) {
  for (note in notes) cat(strwrap(note, width = max(40L, getOption("width") - 2L), initial = " Note: ", prefix = "  "), sep = "\n")
}

#' @rdname johnson_neyman
#' @export
print.hlm_johnson_neyman <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  what <- if (x$pred$kind == "factor") "difference between categories of " else "slope of "
  cat("Johnson-Neyman regions: the ", what, x$pred$name, " on ", x$outcome, ", by ", x$modx$name, "\n", sep = "")
  cat_wrapped(paste0("Moderator: ", moderator_words(x$modx)))
  if (!is.null(x$mod2)) cat_wrapped(paste0("Second moderator: ", moderator_words(x$mod2), default_words(x$mod2, x$mod2_values$words)))
  curves <- curve_keys(x$regions)
  for (key in unique(curves)) {
    cat("\n")
    print_curve(x, which(curves == key), which(curve_keys(x$bounds) == key), digits)
  }
  cat("\n")
  cat_wrapped(rule_words(x))
  print_notes(x$notes)
  invisible(x)
}

# One key per row (paste() makes one of no rows).
curve_keys <- function(table) {
  if (!nrow(table)) return(character())
  paste(table$contrast, if (is.numeric(table$mod2)) sprintf("%.17g", table$mod2) else table$mod2 %||% "", sep = "\r")
}

print_curve <- function(x, regions, bounds, digits) {
  table <- x$regions[regions, ]
  heading <- block_heading(x, table[1L, ])
  if (nzchar(heading)) cat(" ", heading, "\n", sep = "")
  observed <- table[table$data != "none", ]
  seen <- x$modx$range
  ends <- format_column(c(pmax(observed$from, seen[[1L]]), pmin(observed$to, seen[[2L]])), digits)
  k <- nrow(observed)
  if (k) {
    cells <- cbind(
      paste(ends[seq_len(k)], "to", ends[k + seq_len(k)]), ifelse(observed$significant, observed$sign, "not different from zero"),
      paste0(observed$n, " (", format(100 * observed$share, digits = 1L, nsmall = 0L, trim = TRUE), " %)")
    )
    colnames(cells) <- c(x$modx$name, if (x$pred$kind == "factor") "Difference" else "Slope", if (x$modx$level == "1") "Rows" else paste0(x$modx$unit, "s"))
    print_table(cells, right = 3L, indent = if (nzchar(heading)) "  " else " ")
  }
  cat_wrapped(bounds_words(x, x$bounds[bounds, ], table, digits))
}

# Says what lies beyond the data.
bounds_words <- function(x, bounds, regions, digits) {
  inside <- bounds$bound[bounds$inside]
  beyond <- bounds$bound[!bounds$inside]
  what <- if (x$pred$kind == "factor") "difference" else "slope"
  within <- if (is.null(x$range)) "" else paste0(" between ", paste(format_values(x$range), collapse = " and "))
  first <- if (length(inside) || all(regions$data == "none")) {
    NULL
  } else if (all(regions$significant[regions$data != "none"])) {
    paste0("The ", what, " differs from zero at all observed values of ", x$modx$name, within, ".")
  } else {
    paste0("The ", what, " differs from zero at no observed value of ", x$modx$name, within, ".")
  }
  if (length(beyond)) {
    shown <- trimws(format_column(beyond, digits))
    second <- paste0(
      if (length(beyond) == 1L) "The bound at " else "The bounds at ", paste(shown, collapse = " and "), if (length(beyond) == 1L) " lies" else " lie",
      " outside the data: nothing can be concluded there."
    )
    return(paste(c(first, second), collapse = " "))
  }
  first %||% character()
}

rule_words <- function(x) {
  df <- range(x$curve$df)
  df <- if (diff(df) < 0.05 || any(is.infinite(df))) format_df(df[[1L]]) else paste(format_df(df), collapse = " to ")
  base <- paste0("t tests with ", x$inference, " (df ", df, ")")
  rules <- x$rules
  switch(x$adjust,
    none = paste0(base, ", p < ", format(x$alpha, digits = 3L), " at each value of ", x$modx$name, " by itself"),
    fdr = paste0(
      base, "; false discovery rate of ", percent_words(x$alpha), " over ", rules$tests[[1L]], " values of ", x$modx$name,
      " (Esarey & Sumner 2018): each value is tested at p < ",
      paste(unique(format(signif(rules$alpha, 3L), digits = 3L, trim = TRUE)), collapse = ", ")
    ),
    simultaneous = paste0(
      base, "; at all values of ", x$modx$name, " together with ", percent_words(1 - x$alpha), " confidence (Potthoff 1964): critical t ",
      paste(unique(formatC(rules$limit, format = "f", digits = 2L)), collapse = ", ")
    )
  )
}
