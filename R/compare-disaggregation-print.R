# Printing compare_disaggregation(): one table, notes, one sentence per effect.

#' @rdname compare_disaggregation
#' @export
print.hlm_disaggregation <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  width <- max(60L, min(getOption("width"), 100L))
  say <- function(text, indent = 1L, exdent = indent) cat(strwrap(text, width = width, indent = indent, exdent = exdent), sep = "\n")
  notes <- comparison_notes(x)
  for (variable in x$variables) {
    say(paste0(
      if (x$standardized) "Standardised effects of " else "Effects of ", variable, " (x) on ", x$outcome, " (y), within and between persons (", x$person,
      "), by how x is split"
    ), 0L)
    cat("\n")
    print_comparison(x, variable, notes$mark, digits)
    cat("\n")
    verdict <- x$verdict[x$verdict$variable == variable, ]
    for (i in seq_len(nrow(verdict))) say(paste0(heading_of(verdict$effect[[i]]), ": ", verdict$text[[i]]), 1L, 3L)
    print_raw(x, variable, say)
    cat("\n")
  }
  for (i in seq_along(notes$text)) say(paste0(i, ": ", notes$text[[i]]), 1L, 4L)
  for (line in comparison_remarks(x)) say(line)
  cat(" ", count(x$models, "model"), " in ", milliseconds(x$seconds), ".\n", sep = "")
  invisible(x)
}

milliseconds <- function(seconds) {
  if (seconds < 10) paste(max(1, round(1000 * seconds)), "ms") else paste(round(seconds), "s")
}

heading_of <- function(effect) paste0(toupper(substring(effect, 1L, 1L)), substring(effect, 2L))

# Numbered notes, each text once, and the mark of each specification.
comparison_notes <- function(x) {
  table <- x$specifications
  twin <- !is.na(table$same_as)
  text <- ifelse(table$status == "not possible", paste("Not possible:", table$reason), table$reason)
  text[twin] <- trimws(paste0("The same effects as '", table$label[match(table$same_as, table$variant)], "', counted once. ")[twin])
  known <- unique(text[nzchar(text)])
  list(text = known, mark = ifelse(nzchar(text), as.character(match(text, known)), ""))
}

print_comparison <- function(x, variable, marks, digits) {
  table <- x$specifications
  effects <- x$effects[x$effects$variable == variable, ]
  shown <- setdiff(unique(effects$effect), c("contextual", "not split"))
  # two effects side by side, those of higher levels in a table below
  parts <- split(shown, (seq_along(shown) - 1L) %/% 2L)
  for (i in seq_along(parts)) {
    if (i > 1L) cat("\n")
    print_effect_columns(table, effects, parts[[i]], marks, digits)
  }
  cat(" * as fitted\n")
}

print_effect_columns <- function(table, effects, shown, marks, digits) {
  rows <- ifelse(is.na(table$rows), "", format(table$rows, big.mark = ","))
  out <- cbind(Name = paste0(table$label, ifelse(table$variant == "fitted", " *", "")), Rows = rows)
  for (effect in shown) {
    mine <- effects[effects$effect == effect, ]
    mine <- mine[match(table$variant, mine$variant), ]
    cells <- format_effects(mine$estimate, mine$std.error, digits)
    cells[is.na(mine$estimate), ] <- ""
    out <- cbind(out, cells[, 1L], cells[, 2L], format_p(mine$p.value))
    colnames(out)[ncol(out) - 2:0] <- c(heading_of(effect), "SE", "p")
  }
  out <- cbind(out, Note = marks)
  if (!any(nzchar(marks))) out <- out[, -ncol(out), drop = FALSE]
  out <- out[table$x != "raw", , drop = FALSE]
  print_table(out)
}

# The effect of x as it is, set apart from the table: it is neither of the two.
print_raw <- function(x, variable, say) {
  raw <- x$effects[x$effects$variable == variable & x$effects$effect == "not split" & !is.na(x$effects$estimate), ]
  for (i in seq_len(nrow(raw))) {
    shown <- format_effects(raw$estimate[[i]], raw$std.error[[i]], 4L)
    p <- sub("^([^<])", "= \\1", format_p(raw$p.value[[i]]))
    numbers <- paste0(trimws(shown[1L, 1L]), " (SE ", trimws(shown[1L, 2L]), ", p ", p, ")")
    say(paste0(raw$label[[i]], ": ", numbers, ", a blend of the effects within and between, not to be read as either."), 1L, 3L)
  }
}

comparison_remarks <- function(x) {
  table <- x$specifications
  tried <- table[table$status != "not possible", ]
  c(
    if (length(x$unchanged)) paste0("Changing nothing here: ", paste(x$unchanged, collapse = ", "), "."),
    if (any(tried$time) && any(!tried$time)) paste0("'time': ", x$time, " is a covariate in the model."),
    if (any(tried$x == "detrend")) paste0("Detrended x: between is the level of the person's own trend at ", x$time, " = ", format(x$at), "."),
    if (any(tried$y == "detrend")) "Detrended y: standard errors do not know that a trend was estimated for every person.",
    if (any(tried$y == "detrend" & tried$x != "detrend")) "With only y detrended, the within effect shrinks by the share of trends in x.",
    if (x$lag != 0L) {
      paste0(
        "'x' is the value ", count(abs(x$lag) / x$step, "session"), if (x$lag > 0L) " before" else " after", lag_in_time(x$lag, x$step, x$time),
        ", where nothing else is said."
      )
    },
    if (length(x$moderators)) {
      paste0(
        "The model has interactions of x with ", paste(x$moderators, collapse = ", "), ": the effects hold where ",
        if (length(x$moderators) == 1L) "it is" else "these are", " 0 or at the reference category."
      )
    },
    if (!is.null(x$time) && x$time %in% x$moderators && any(!tried$time)) {
      paste0("Without time its interactions go, too: these effects are averages over ", x$time, ", the others hold at ", x$time, " = 0.")
    },
    paste0(format(100 * x$conf.level), " % intervals are in as.data.frame(); ", x$inference, ".")
  )
}

#' @rdname compare_disaggregation
#' @export
as.data.frame.hlm_disaggregation <- function(x, row.names = NULL, optional = FALSE, ...) {
  settings <- x$specifications
  place <- match(x$effects$variant, settings$variant)
  out <- cbind(x$effects, settings[place, setdiff(names(settings), c("variant", "label"))])
  row.names(out) <- NULL
  out
}

#' @rdname compare_disaggregation
#' @rawNamespace S3method(tidy, hlm_disaggregation)
tidy.hlm_disaggregation <- function(x, ...) as_tidy(as.data.frame.hlm_disaggregation(x))
