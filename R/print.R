# Printed output: readers are clinicians, so sections have plain headings and numbers are aligned.

# Prints a character matrix with its column names; columns of words to the left, of numbers to the right. With `fold`, a table wider than the
# line is broken into blocks that begin with the first `fold` columns, and rows with a first cell only are headings, which take no part in the widths.
print_table <- function(table, right = NULL, indent = " ", fold = 0L) {
  words <- c("Groups", "Name", "Level", "Rows per group")
  if (is.null(right)) right <- which(!colnames(table) %in% words)
  cells <- rbind(colnames(table), table)
  heading <- fold > 0L & rowSums(cells[, -1L, drop = FALSE] != "") == 0L
  widths <- integer(ncol(cells))
  for (j in seq_len(ncol(cells))) {
    widths[[j]] <- max(nchar(cells[!heading, j], type = "width"))
    pad <- strrep(" ", pmax(widths[[j]] - nchar(cells[, j], type = "width"), 0L))
    cells[, j] <- if (j %in% right) paste0(pad, cells[, j]) else paste0(cells[, j], pad)
  }
  cells[heading, -1L] <- ""
  for (columns in table_blocks(widths + 2L, fold, getOption("width") - nchar(indent) + 2L)) {
    lines <- apply(cells[, columns, drop = FALSE], 1L, paste, collapse = "  ")
    cat(paste0(indent, sub(" +$", "", lines)), sep = "\n")
  }
}

# Columns of each block: as many as fit, at least one beside the first `fold`.
table_blocks <- function(widths, fold, room) {
  kept <- seq_len(fold)
  rest <- setdiff(seq_along(widths), kept)
  if (fold == 0L || !length(rest)) return(list(seq_along(widths)))
  block <- integer(length(rest))
  used <- Inf
  for (i in seq_along(rest)) {
    new <- used + widths[[rest[[i]]]] > room
    used <- (if (new) sum(widths[kept]) else used) + widths[[rest[[i]]]]
    block[[i]] <- max(block) + new
  }
  unname(lapply(split(rest, block), function(columns) c(kept, columns)))
}

# Numbers of a column with a common number of decimals, `digits` significant ones for a typical entry.
format_column <- function(x, digits = 4L) {
  shown <- rep("", length(x))
  known <- !is.na(x)
  if (!any(known)) return(shown)
  size <- abs(x[known & x != 0 & is.finite(x)])
  if (!length(size)) {
    shown[known] <- format(x[known])
    return(shown)
  }
  if (max(size) >= 1e7 || max(size) < 1e-5) {
    shown[known] <- formatC(x[known], digits = digits - 1L, format = "e")
    return(shown)
  }
  # Decimals for the largest entry, but at least two digits of the smallest one, within reason.
  decimals <- max(digits - 1L - floor(log10(max(size))), min(1L - floor(log10(min(size))), digits + 2L), 0L)
  shown[known] <- formatC(x[known], digits = min(decimals, 8L), format = "f")
  shown
}

format_p <- function(p, digits = 3L) {
  small <- 10^-digits
  shown <- formatC(pmax(p, small), format = "f", digits = digits)
  ifelse(is.na(p), "", ifelse(p < small, paste0("<", shown), shown))
}

format_df <- function(df) ifelse(is.na(df), "", ifelse(is.finite(df), formatC(df, format = "f", digits = 1L), "Inf"))

# Text in lines of the console's width.
cat_lines <- function(text, indent = 1L, exdent = indent) {
  cat(strwrap(text, width = max(40L, getOption("width") - 1L), indent = indent, exdent = exdent), sep = "\n")
}

count <- function(n, one, many = paste0(one, "s")) paste(format(n, big.mark = ",", trim = TRUE), if (n == 1L) one else many)

#' Print a fitted model
#'
#' A short account: who was analysed, the coefficients and their standard errors, how much persons differ. Tests, degrees of
#' freedom and the intraclass correlation need more computation and are shown by [summary()][summary.hlm].
#'
#' @param x A fitted model of class `hlm`.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return `x`, invisibly.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' @export
print.hlm <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  print_title(x)
  print_rows(rows_account(x))
  coefficients <- cbind(Estimate = fixef.hlm(x), SE = sqrt(diag(x$core$vcov)))
  cat("\nFixed effects\n")
  print_effects(coefficients, coefficient_sections(x), digits)
  cat("\nRandom effects (standard deviations)\n")
  print_table(varcorr_table(VarCorr.hlm(x), "Std.Dev.", digits))
  print_residual(residual_estimates(x), x$core$sigma)
  print_status(fit_status(x), quiet = TRUE)
  if (!is.null(lagged_outcome(x))) {
    where <- if (has_residual_structure(x)) "summary(fit)" else "nickell_bias(fit)"
    cat("\nThe outcome's earlier value is a predictor: see ", where, " on the bias this causes\n", sep = "")
  }
  cat("\nTests and degrees of freedom: summary(fit)\n")
  invisible(x)
}

print_title <- function(x) {
  method <- if (isTRUE(x$REML)) "restricted maximum likelihood (REML)" else "maximum likelihood (ML)"
  cat("Hierarchical linear model, ", method, "\n", sep = "")
  text <- paste(trimws(deparse(x$formula, width.cutoff = 500L)), collapse = " ")
  lines <- gsub("\001", " ", strwrap(keep_together(text), width = max(40L, getOption("width") - 11L)), fixed = TRUE)
  cat(paste0(c("Formula: ", rep("         ", length(lines) - 1L)), lines), sep = "\n")
}

# Blanks inside parentheses do not break a line: (1 | patient) stays whole.
keep_together <- function(text) {
  letters <- strsplit(text, "")[[1L]]
  depth <- cumsum((letters == "(") - (letters == ")"))
  paste(ifelse(letters == " " & depth > 0L, "\001", letters), collapse = "")
}

# What was analysed, for print() and summary(): counts only, nothing that needs a pass over more than the group codes.
rows_account <- function(fit) {
  groups <- fit$design$groups
  list(
    analysed = n_rows(fit), available = NROW(fit$data), dropped = fit$dropped, ngrps = ngrps.hlm(fit),
    per_group = lapply(groups, function(group) range(tabulate(group$codes, length(group$levels)))),
    means = means_account(fit), aliased = fit$design$x_names[fit$core$dropped], weights = !is.null(fit$design$weights),
    offset = !is.null(fit$design$offset)
  )
}

# Which rows define the person means, said whenever the model has any.
means_account <- function(fit) {
  if (!length(fit$means)) return(NULL)
  switch(fit$control$means %||% "analysis",
    available = "all rows in which the variable was observed", analysis = "the analysed rows"
  )
}

print_rows <- function(account) {
  cat("\nData\n")
  lost <- account$available - account$analysed
  cat(" ", count(account$analysed, "row"), " analysed", sep = "")
  if (lost > 0L) cat(", ", format(lost, big.mark = ","), " of ", format(account$available, big.mark = ","), " left out", sep = "")
  dropped <- account$dropped[account$dropped > 0L]
  if (length(dropped)) cat(" (missing values: ", paste(names(dropped), dropped, collapse = ", "), ")", sep = "")
  cat("\n")
  rows <- vapply(account$per_group, function(span) {
    shown <- format(span, big.mark = ",", trim = TRUE)
    if (span[[1L]] == span[[2L]]) paste(shown[[1L]], "each") else paste(shown, collapse = " to ")
  }, "")
  groups <- format(account$ngrps, big.mark = ",", trim = TRUE)
  print_table(cbind(Level = plain_group(names(account$ngrps)), Number = groups, `Rows per group` = rows))
  if (!is.null(account$means)) cat(" Person means are taken over ", account$means, "\n", sep = "")
  if (account$weights) cat(" Rows are weighted\n")
  if (account$offset) cat(" An offset was subtracted from the outcome\n")
  if (length(account$aliased)) {
    cat(" Not estimable, left out of the model: ", paste(account$aliased, collapse = ", "), "\n", sep = "")
  }
}

# The section in which each estimated coefficient is printed, sections in the order of reading.
coefficient_sections <- function(fit) {
  coefs <- fit$spec$coefs
  names <- names(fixef.hlm(fit))
  place <- match(names, coefs$name)
  type <- ifelse(is.na(place), "other", coefs$type[place])
  level <- ifelse(is.na(place), "1", as.character(coefs$level[place]))
  heading <- vapply(seq_along(names), function(i) section_heading(fit, type[[i]], level[[i]]), "")
  rank <- match(type, c("other", "time", "within", "between", "contextual", "cross-level"), nomatch = 7L)
  depth <- match(level, group_names(fit), nomatch = 0L)
  data.frame(name = names, heading = heading, rank = rank * 100 + ifelse(type == "between", depth, 0))
}

# "patient:therapist" is, to a reader, the patient, or the patient in a therapist's care.
plain_level <- function(name) sub(":.*", "", name)

# A cross-classification of two factors that are no levels themselves (dept:service) is not "in" anything.
plain_group <- function(name, levels = name) {
  one <- function(text) {
    outer <- gsub("^\\(|\\)$", "", sub("^[^:]*:", "", text))
    if (outer != text && outer %in% levels) return(paste(plain_level(text), "in", one(outer)))
    gsub(":", " and ", text, fixed = TRUE)
  }
  vapply(name, one, "", USE.NAMES = FALSE)
}

section_heading <- function(fit, type, level) {
  person <- plain_level(fit$id %||% group_names(fit)[[1L]])
  group <- if (level %in% c("1", NA)) person else plain_level(level)
  depth <- match(level, group_names(fit), nomatch = 1L) + 1L
  switch(type,
    within = paste0("Within-", person, " effects (level 1)"),
    between = paste0("Between-", group, " effects (level ", depth, ")"),
    contextual = "Contextual effects (between minus within)",
    `cross-level` = "Cross-level interactions",
    time = "Time",
    "Intercept and other predictors"
  )
}

# Estimates and standard errors with the same decimals: enough for two digits of the smallest standard error.
format_effects <- function(estimate, se, digits) {
  known <- is.finite(se) & se > 0
  smallest <- if (any(known)) min(se[known]) else 1
  largest <- max(abs(estimate), 1, na.rm = TRUE)
  decimals <- max(digits - 3L - floor(log10(smallest)), min(digits - 2L, max(0L, digits - floor(log10(largest)))), 0L)
  # Units that need more than that (seconds, say) read better with exponents.
  one <- function(x) if (decimals > 6L) formatC(x, digits = digits, format = "g") else formatC(x, digits = decimals, format = "f")
  cbind(Estimate = one(estimate), SE = one(se))
}

print_effects <- function(coefficients, sections, digits) {
  if (nrow(coefficients) == 0L) {
    cat(" none\n")
    return(invisible())
  }
  shown <- format_effects(coefficients[, 1L], coefficients[, 2L], digits)
  if (ncol(coefficients) == 5L) {
    shown <- cbind(
      shown, df = format_df(coefficients[, 3L]), t = formatC(coefficients[, 4L], format = "f", digits = 2L),
      p = format_p(coefficients[, 5L])
    )
  }
  order <- order(sections$rank, seq_along(sections$rank))
  headings <- unique(sections$heading[order])
  alone <- identical(headings, "Intercept and other predictors")
  rows <- lapply(headings, function(heading) {
    mine <- order[sections$heading[order] == heading]
    block <- cbind(Name = paste0(if (alone) "" else "  ", sections$name[mine]), shown[mine, , drop = FALSE])
    if (alone) block else rbind(c(heading, rep("", ncol(shown))), block)
  })
  table <- do.call(rbind, rows)
  colnames(table)[[1L]] <- ""
  print_table(table, right = seq_len(ncol(table))[-1L])
}
