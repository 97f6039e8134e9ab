# R squared in print: shares in per cent, in plain words.

#' @rdname r2
#' @export
print.hlm_r2 <- function(x, digits = 1L, ...) {
  cat("R squared after ", x$source, "\n", sep = "")
  if (x$method == "rights-sterba") print_decomposition(x, digits) else print_measures(x, x$measures, digits)
  if (x$method == "reduction") print_reduction(x)
  if (!is.null(x$nsim)) {
    cat(" Intervals: ", format(100 * x$conf.level), " %, ", boot_words(x$status), "\n", sep = "")
  }
  invisible(x)
}

boot_words <- function(status) {
  lost <- sum(!boot_usable(status))
  paste0("parametric bootstrap (", length(status), " samples", if (lost > 0L) paste0(", ", lost, " of them without an answer"), ")")
}

percent <- function(value, digits = 1L) {
  # no "-0.0 %"
  value[!is.na(value) & abs(value) < 0.5 * 10^-(digits + 2)] <- 0
  ifelse(is.na(value), "", paste0(formatC(100 * value, format = "f", digits = digits), " %"))
}

with_interval <- function(measures, digits) {
  shown <- percent(measures$estimate, digits)
  known <- !is.na(measures$lower)
  limits <- paste0(" [", formatC(100 * measures$lower, format = "f", digits = digits), ", ",
    formatC(100 * measures$upper, format = "f", digits = digits), "]")
  paste0(shown, ifelse(known, limits, ""))
}

print_measures <- function(x, measures, digits) {
  names <- c(
    marginal = "marginal: predictors", conditional = "conditional: predictors and random effects"
  )
  words <- switch(x$method,
    nakagawa = unname(names[measures$measure]), `snijders-bosker` = paste0(measures$measure, ": ", measures$of),
    reduction = measures$meaning
  )
  words <- sub("^level([0-9]+)", "level \\1", words)
  cells <- with_interval(measures, digits)
  cells[is.na(measures$estimate)] <- "not defined: the variance was zero before"
  print_table(cbind(Level = words, `R squared` = cells))
}

print_reduction <- function(x) {
  cat(" Share of each variance that is gone, against ", x$against, "\n", sep = "")
  if (any(x$measures$estimate < 0, na.rm = TRUE)) {
    text <- paste(
      "A negative value is no error: the variance is larger once the predictors are in the model. Predictors that explain differences within",
      "persons often uncover differences between them (and slopes change what the intercept means)."
    )
    cat_lines(text)
  }
}

print_decomposition <- function(x, digits) {
  components <- x$components
  measure <- x$measures
  one <- function(of) {
    place <- match(paste(components$component, of), paste(measure$measure, measure$of))
    shown <- with_interval(measure[place, ], digits)
    shown[is.na(place)] <- ""
    shown
  }
  table <- cbind(Level = paste0(components$meaning, " (", components$component, ")"), Total = one("total"))
  residual <- components$source == "residual"
  table[residual, 1L] <- components$meaning[residual]
  table[residual, 2L] <- percent(components$share[residual], digits)
  for (l in x$levels$level) {
    column <- one(x$levels$name[[l]])
    if (l == 1L) column[residual] <- percent(components$share_level[residual], digits)
    table <- cbind(table, column)
    colnames(table)[[ncol(table)]] <- x$levels$name[[l]]
  }
  share <- c("share of the total", percent(1, digits), percent(x$levels$share, digits))
  colnames(table)[[1L]] <- "Level"
  table <- rbind(table, share)
  rownames(table) <- NULL
  cat(" Shares of the variance the model implies, in total and at each level\n")
  print_table(table)
  sums <- measure[measure$measure %in% c("f", "fv", "fvm") & measure$of == "total", ]
  cat("\n Explained in total by\n")
  print_table(cbind(Level = paste0(sums$meaning, " (", sums$measure, ")"), ` ` = with_interval(sums, digits)), indent = "  ")
  print_uncentred(x)
}

# Rights & Sterba (2019, p. 318): the slope of a predictor that is not centred is a blend of its effects within and between.
print_uncentred <- function(x) {
  shares <- as.matrix(x$coefficients[grep("^level[0-9]+$", names(x$coefficients))])
  several <- x$coefficients$name[rowSums(shares > 1e-10 * rowSums(shares)) > 1L & !x$coefficients$type %in% c("between", "contextual")]
  if (!length(several)) return(invisible())
  text <- paste0(
    "Not centred, so counted at each level at which ", if (length(several) == 1L) "it varies: " else "they vary: ", show_some(several), "."
  )
  cat_lines(text)
}
