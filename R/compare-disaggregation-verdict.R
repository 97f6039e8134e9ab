# What holds throughout the specifications, in words.

# Which specifications speak: fitted, the variable split, and no other form of an earlier one.
counted_specifications <- function(table) {
  table$status %in% c("converged", "boundary") & is.na(table$same_as) & table$x != "raw"
}

comparison_verdict <- function(table, effects, level) {
  table <- table[counted_specifications(table), ]
  effects <- effects[effects$variant %in% table$variant & !effects$effect %in% c("contextual", "not split") & !is.na(effects$estimate), ]
  keys <- unique(effects[c("variable", "effect")])
  if (!nrow(keys)) {
    return(data.frame(
      variable = character(), effect = character(), specifications = integer(), negative = integer(), positive = integer(),
      significant = integer(), lowest = numeric(), highest = numeric(), text = character()
    ))
  }
  rows <- lapply(seq_len(nrow(keys)), function(i) {
    mine <- effects[effects$variable == keys$variable[[i]] & effects$effect == keys$effect[[i]], ]
    settings <- table[match(mine$variant, table$variant), ]
    mine$significant <- !is.na(mine$p.value) & mine$p.value < 1 - level
    data.frame(
      keys[i, ], specifications = nrow(mine), negative = sum(mine$estimate < 0), positive = sum(mine$estimate > 0),
      significant = sum(mine$significant), lowest = min(mine$estimate), highest = max(mine$estimate),
      text = verdict_text(mine, settings, level), stringsAsFactors = FALSE
    )
  })
  out <- do.call(rbind, rows)
  row.names(out) <- NULL
  out
}

verdict_text <- function(mine, settings, level) {
  n <- nrow(mine)
  # 1 - 0.95 is 0.05 only after rounding
  alpha <- format(round(1 - level, 10))
  if (n == 1L) {
    return(paste0(
      sign_word(mine$estimate), if (mine$significant) " and significant" else ", not significant", " (p < ", alpha, ") in the only specification there is."
    ))
  }
  usual <- if (sum(mine$estimate < 0) >= sum(mine$estimate > 0)) "negative" else "positive"
  same <- mine$estimate < 0 & usual == "negative" | mine$estimate > 0 & usual == "positive"
  both <- same & mine$significant
  counted <- if (all(both)) {
    paste0(usual, " and significant in all ", n, " specifications (p < ", alpha, ").")
  } else if (!any(mine$significant)) {
    paste0(usual, " in ", share_words(sum(same), n), " specifications, significant in none (p < ", alpha, ").")
  } else {
    paste0(
      usual, " in ", share_words(sum(same), n), " specifications, significantly so in ", sum(both), " (p < ", alpha, "), not ",
      reason_words(same & !both, settings), "."
    )
  }
  # nothing but the sign differs where all of the usual sign are significant
  if (any(same) && all(both[same]) && !all(same)) counted <- sub(", not [^,]*\\.$", ".", counted)
  turned <- if (!all(same)) {
    other <- setdiff(c("negative", "positive"), usual)
    significant <- sum(mine$significant & !same)
    how <- if (significant == 0L) "not significant" else if (significant == sum(!same)) "significant" else paste("significant in", significant)
    paste0(" The sign changes ", reason_words(!same, settings), ": ", other, ", ", how, ".")
  }
  paste0(counted, turned, range_words(mine))
}

sign_word <- function(estimate) if (estimate < 0) "negative" else if (estimate > 0) "positive" else "zero"

share_words <- function(k, n) if (k == n) paste("all", n) else paste(k, "of", n)

range_words <- function(mine) {
  size <- abs(mine$estimate)
  shown <- trimws(format_column(mine$estimate, 3L))
  paste0(
    " Smallest ", shown[[which.min(size)]], " (", mine$label[[which.min(size)]], "), largest ", shown[[which.max(size)]], " (",
    mine$label[[which.max(size)]], ")."
  )
}

# The one choice that all these specifications share and no other has; otherwise their names.
reason_words <- function(hit, settings) {
  for (name in names(disaggregation_settings)) {
    value <- settings[[name]][hit]
    if (length(unique(value)) == 1L && !any(settings[[name]][!hit] == value[[1L]])) {
      words <- choice_words(name, value[[1L]])
      return(if (sum(hit) > 1L) paste(words, paste0("(", sum(hit), ")")) else paste0(words, " (", settings$label[hit], ")"))
    }
  }
  # beyond a few names the table reads better
  if (sum(hit) > 4L) return(paste("in", sum(hit), "others"))
  paste0("in: ", paste(settings$label[hit], collapse = "; "))
}

choice_words <- function(setting, value) {
  switch(setting,
    x = switch(value, detrend = "when x is detrended", mean = "when x is split by person means", "in the contextual form"),
    y = if (value == "detrend") "when the outcome is detrended" else "when the outcome is as observed",
    time = if (value) "when time is a covariate" else "when time is no covariate",
    lag = if (value == 0L) "when x is of the same session" else if (value == 1L) "when x is of the session before" else
      paste("when x is of", value, "sessions before"),
    means = if (value == "available") "when means are of all available rows" else "when means are of the analysed rows",
    weighting = if (value == "rows") "when grand means are over rows" else "when grand means are over persons",
    if (value) "when corrected for unreliable means" else "unless corrected for unreliable means"
  )
}
