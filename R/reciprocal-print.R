# Reciprocal models in print: both directions side by side, then in words.

#' @rdname reciprocal
#' @param digits Significant digits to print.
#' @export
print.hlm_reciprocal <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  print_directions(x)
  roles <- c("within", "concurrent", "between", "autoregression", "moderation")
  print_side_by_side(x, x$effects[x$effects$role %in% roles, , drop = FALSE], digits)
  print_slope_spread(x, digits)
  print_direction_residuals(x)
  print_difference(x)
  cat("\nIn words\n")
  for (way in c("xy", "yx")) cat_lines(direction_words(x, way), indent = 1L, exdent = 3L)
  print_reciprocal_notes(x)
  invisible(x)
}

# Two digits, for sentences and pictures.
short_number <- function(value) sub("[.]$", "", formatC(value, digits = 2L, format = "fg", flag = "#"))

# "patient" or "client" is a word, "id" or "subj_nr" is not.
person_word <- function(fit) {
  name <- plain_level(fit$id)
  if (tolower(name) %in% c("patient", "client", "dyad", "couple", "student", "participant", "subject", "child", "member")) tolower(name) else "person"
}

plural_word <- function(word) if (word == "child") "children" else paste0(word, "s")

# What a step of time is called: a word that the time variable itself is, or "session".
time_word <- function(x) {
  name <- tolower(x$settings$time)
  if (name %in% c("week", "day", "month", "year", "hour", "visit", "occasion", "wave", "beep")) name else "session"
}

# The units of time that make one of these: sessions may lie several apart (dates of weekly sessions), hours are hours.
word_step <- function(x) if (time_word(x) == "session") x$settings$step else 1L

session_words <- function(x, way) {
  word <- time_word(x)
  step <- word_step(x)
  lag <- x$settings$lags[[way]] / step
  words <- if (lag == 0) paste("the same", word) else if (lag == 1) paste("the next", word) else paste0(format(lag), " ", word, "s later")
  paste0(words, lag_in_time(x$settings$lags[[way]], step, x$settings$time))
}

direction_title <- function(x, way) {
  labels <- x$settings$labels
  paste0(labels[[substr(way, 1L, 1L)]], " -> ", labels[[substr(way, 2L, 2L)]], ", ", session_words(x, way))
}

print_directions <- function(x) {
  cat("Lagged effects in both directions\n")
  settings <- x$settings
  for (way in c("xy", "yx")) {
    fit <- x$fits[[way]]
    person <- person_factor(fit)
    n_persons <- if (is.null(person)) "" else paste0(" of ", count(length(person$levels), person_word(fit), plural_word(person_word(fit))))
    cat(" ", way, ": ", direction_title(x, way), " (", count(n_rows(fit), "row"), n_persons, ")\n", sep = "")
  }
  outcome <- switch(settings$outcome,
    level = "the level", change = paste("the change since the earlier", time_word(x)),
    residualised = paste("the residual after regression on the earlier", time_word(x))
  )
  control <- switch(settings$autoregression,
    raw = "controlling its earlier value", within = "controlling its earlier value (centred within persons)", none = "not controlling its earlier value"
  )
  trend <- names(settings$detrend)[settings$detrend > 0L]
  cat(
    " Outcome: ", outcome, ", ", control, "\n",
    if (length(trend)) paste0(" Each person's own trend is removed from: ", paste(settings$labels[trend], collapse = " and "), "\n"), sep = ""
  )
}

# One table, a block for each direction.
print_side_by_side <- function(x, effects, digits) {
  cat("\nEffects (per unit, and in within-person standard deviations)\n")
  shown <- format_effects(effects$estimate, effects$std.error, digits)
  number <- function(value) ifelse(is.na(value), "", formatC(value, format = "f", digits = 3L))
  decimals <- max(nchar(sub("^[^.]*[.]?", "", shown[, "Estimate"])), 0L)
  limit <- function(value) if (any(grepl("e", shown))) formatC(value, digits = digits, format = "g") else formatC(value, digits = decimals, format = "f")
  tests <- cbind(
    ` ` = role_words(effects$role), shown, df = format_df(effects$df), t = formatC(effects$statistic, format = "f", digits = 2L), p = format_p(effects$p.value)
  )
  intervals <- cbind(
    Interval = paste0("[", limit(effects$conf.low), ", ", limit(effects$conf.high), "]"), Std. = number(effects$std.estimate),
    `Std. interval` = ifelse(is.na(effects$std.low), "", paste0("[", number(effects$std.low), ", ", number(effects$std.high), "]"))
  )
  lines <- direction_lines(x, effects, cbind(tests, intervals))
  if (max(nchar(lines)) > getOption("width")) {
    # two tables, one below the other
    lines <- c(direction_lines(x, effects, tests), "", direction_lines(x, effects, cbind(tests[, 1L, drop = FALSE], intervals)))
  }
  cat(lines, sep = "\n")
  cat_lines(paste0(
    "(t tests with ", paste(x$inference, collapse = "; "), "; ",
    format(100 * x$settings$conf.level), " % intervals; Std.: persons' own SDs, averaged over persons)"
  ))
}

# The lines of a table with a heading above the rows of each direction.
direction_lines <- function(x, effects, cells) {
  table <- cbind(paste0("  ", effects$term), cells)
  colnames(table)[[1L]] <- ""
  lines <- utils::capture.output(print_table(unname_rows(table), right = seq_len(ncol(table))[-(1:2)]))
  rows <- lapply(c("xy", "yx"), function(way) c(paste0(" ", way, ": ", direction_title(x, way)), lines[-1L][effects$direction == way]))
  c(lines[[1L]], unlist(rows))
}

unname_rows <- function(table) {
  rownames(table) <- NULL
  table
}

role_words <- function(role) {
  words <- c(
    within = "within *", concurrent = "within, other session", between = "between", autoregression = "earlier value", moderation = "changes *",
    moderator = "moderator", covariate = "covariate"
  )
  unname(words[role])
}

print_slope_spread <- function(x, digits) {
  slopes <- x$slopes
  if (is.null(slopes)) return(invisible())
  cat("\nDifferences between persons in the within effect\n")
  percent <- function(value) ifelse(is.na(value), "?", paste0(formatC(100 * value, format = "f", digits = 0L), " %"))
  # one format for SDs and limits of one direction
  numbers <- t(vapply(seq_len(nrow(slopes)), function(i) format_column(c(slopes$sd[[i]], slopes$sd.low[[i]], slopes$sd.high[[i]]), digits), character(3L)))
  print_table(cbind(
    Name = slopes$direction, `SD of slopes` = numbers[, 1L],
    Interval = ifelse(is.na(slopes$sd.low), "", paste0("[", numbers[, 2L], ", ", numbers[, 3L], "]")),
    `Other sign, expected` = percent(slopes$share),
    ` ` = ifelse(is.na(slopes$share.low), "", paste0("[", percent(slopes$share.low), ", ", percent(slopes$share.high), "]")),
    `estimated` = paste(slopes$other.sign, "of", slopes$persons)
  ))
  for (note in unique(stats::na.omit(paste0(slopes$direction, ": SD ", slopes$note)[!is.na(slopes$note)]))) cat_lines(note)
}

print_difference <- function(x) {
  cat("\nAre the two standardised within effects equal?\n")
  table <- x$difference
  if (is.null(table)) {
    cat_lines(paste0(toupper(substr(x$note, 1L, 1L)), substr(x$note, 2L, nchar(x$note))))
    return(invisible())
  }
  number <- function(value) formatC(value, format = "f", digits = 3L)
  print_table(cbind(
    Name = table$contrast, Difference = number(table$estimate), SE = number(table$std.error), df = format_df(table$df),
    t = formatC(table$statistic, format = "f", digits = 2L), p = format_p(table$p.value),
    Interval = paste0("[", number(table$conf.low), ", ", number(table$conf.high), "]")
  ))
  units <- if (identical(x$units, x$fits$xy$id)) plural_word(person_word(x$fits$xy)) else paste("units of", plain_group(x$units))
  how <- if (x$settings$test == "scores") {
    paste0("SE and correlation from what the ", units, " contribute to both, their SDs included")
  } else {
    paste0("SE and correlation from a bootstrap of ", units, ", ", x$settings$nsim, " draws")
  }
  cat_lines(paste0("(", how, "; correlation of the two estimates ", formatC(x$correlation, format = "f", digits = 2L), ")"))
}

# For clinicians ------------------------------------------------------------------------------------------------------------------------

direction_words <- function(x, way) {
  settings <- x$settings
  who <- settings$labels[[substr(way, 1L, 1L)]]
  what <- settings$labels[[substr(way, 2L, 2L)]]
  row <- x$effects[x$effects$direction == way & x$effects$role == "within", , drop = FALSE]
  if (!nrow(row)) return(paste0(direction_title(x, way), ": the within effect could not be estimated."))
  person <- person_word(x$fits[[way]])
  usual <- if (settings$detrend[[substr(way, 1L, 1L)]] > 0L) "expected from the own course of this" else "usual for this"
  lag <- settings$lags[[way]] / word_step(x)
  step <- time_word(x)
  a_step <- paste(if (step %in% c("occasion", "hour")) "an" else "a", step)
  when <- if (lag == 0) paste("In", a_step, "with") else if (lag == 1) paste("After", a_step, "with") else paste0(format(lag), " ", step, "s after one with")
  outcome <- switch(settings$outcome,
    level = paste("the value of", what, "was"), change = paste("the change in", what, "since then was"), residualised = paste("the change in", what, "was")
  )
  where <- if (lag == 0) paste("in that", step) else if (lag == 1) "at the next one" else "then"
  number <- function(value) formatC(abs(value), digits = 2L, format = "fg", flag = "#")
  limits <- paste0(format(100 * settings$conf.level), " % interval ", short_number(row$conf.low), " to ", short_number(row$conf.high))
  clear <- row$p.value < 1 - settings$conf.level
  size <- paste0(number(row$estimate), " points ", if (row$estimate < 0) "lower" else "higher", " for each point more")
  at <- if (any(x$effects$direction == way & x$effects$role == "moderation")) "where the moderators are 0 or at their reference; " else ""
  verdict <- if (clear) {
    paste0(outcome, " ", size)
  } else {
    paste0(outcome, " neither clearly higher nor clearly lower: ", size, " on average, no more than chance can bring about")
  }
  paste0(when, " higher ", who, " than ", usual, " ", person, ", ", verdict, " (", where, "; ", at, limits, ").")
}

print_reciprocal_notes <- function(x) {
  for (way in c("xy", "yx")) {
    found <- x$nickell[[way]]
    if (is.null(found)) next
    row <- found$table[1L, ]
    moved <- found$effects[found$effects$term == x$effects$term[x$effects$direction == way & x$effects$role == "within"], , drop = FALSE]
    number <- function(value) formatC(value, format = "f", digits = 3L)
    text <- if (is.na(row$bias)) {
      paste0(way, ": the earlier value of the outcome is endogenous; the size of the bias cannot be told. ", row$note)
    } else {
      paste0(
        way, ": with ", formatC(row$sessions, format = "f", digits = 1L),
        " sessions per person the effect of the outcome's earlier value (", number(row$estimate),
        ") is expected to be biased by ", number(row$bias),
        if (nrow(moved)) paste0(", the within effect by ", number(moved$bias), " (", formatC(moved$ratio, format = "f", digits = 1L), " standard errors)"), "."
      )
    }
    if (way == "xy" || is.null(x$nickell$xy)) cat("\nBias from the lagged outcome (Nickell bias)\n")
    cat_lines(text, 1L, 3L)
  }
  if (!all(vapply(x$nickell, is.null, NA))) cat_lines(nickell_advice)
  print_unknown_bias(x)
  for (way in c("xy", "yx")) print_direction_status(x$fits[[way]], way)
}

# The residual structure of each direction that has one.
print_direction_residuals <- function(x) {
  for (way in c("xy", "yx")) {
    fit <- x$fits[[way]]
    print_residual(residual_parameters(fit, x$settings$conf.level), fit$core$sigma, paste("Residuals of", way))
  }
}

# Directions with a residual structure, for which there is no expected bias.
print_unknown_bias <- function(x) {
  if (x$settings$autoregression == "none" || x$settings$outcome == "residualised") return(invisible())
  for (way in c("xy", "yx")) {
    fit <- x$fits[[way]]
    term <- x$effects$term[x$effects$direction == way & x$effects$role == "autoregression"]
    if (!length(term) || !has_residual_structure(fit)) next
    cat("\n")
    cat_lines(paste0(way, ": ", nickell_unknown(fit, list(term = term))), 1L, 3L)
  }
}

print_direction_status <- function(fit, way) {
  status <- fit_status(fit)
  if (status$status == "converged") return(invisible())
  cat("\nEstimation of ", way, ":", sep = "")
  print_status(status)
}

#' @rdname reciprocal
#' @param object A result of `reciprocal()`.
#' @export
summary.hlm_reciprocal <- function(object, ...) {
  check_dots(...)
  structure(object, class = c("summary.hlm_reciprocal", "hlm_reciprocal"))
}

#' @rdname reciprocal
#' @export
print.summary.hlm_reciprocal <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  print_directions(x)
  print_side_by_side(x, x$effects, digits)
  print_slope_spread(x, digits)
  print_direction_residuals(x)
  print_difference(x)
  for (way in c("xy", "yx")) {
    cat("\nRandom effects of ", way, "\n", sep = "")
    print_table(varcorr_table(VarCorr.hlm(x$fits[[way]]), c("Variance", "Std.Dev."), digits))
  }
  print_reciprocal_notes(x)
  invisible(x)
}

#' @rdname reciprocal
#' @param row.names,optional Not used.
#' @export
as.data.frame.hlm_reciprocal <- function(x, row.names = NULL, optional = FALSE, ...) x$effects

#' @rdname reciprocal
tidy.hlm_reciprocal <- function(x, ...) {
  check_dots(...)
  as_tidy(x$effects)
}
