# Printed power: one design in full, a grid as one table of shares.

#' @rdname power_hlm
#' @param row.names,optional Not used.
#' @export
as.data.frame.hlm_power <- function(x, row.names = NULL, optional = FALSE, ...) x$table

#' @rdname power_hlm
#' @export
tidy.hlm_power <- function(x, ...) {
  check_dots(...)
  figures <- c("power", "power_usable", "estimate", "bias", "se_empirical", "se_model", "coverage", "type_s", "type_m")
  kept <- c(x$vary, "effect", "term", "kind", "truth", "quantity")
  pieces <- lapply(figures, function(name) {
    cbind(x$table[kept], statistic = name, estimate = x$table[[name]], conf.low = x$table[[paste0(name, "_lower")]],
      conf.high = x$table[[paste0(name, "_upper")]])
  })
  long <- do.call(rbind, pieces)
  long <- long[!is.na(long$estimate), ]
  as_tidy(long[order(match(long$effect, unique(long$effect))), ])
}

#' @rdname power_hlm
#' @export
print.hlm_power <- function(x, ...) {
  check_dots(...)
  cat("Power by simulation\n")
  print_power_source(x)
  if (nrow(x$cells) == 1L) print_power_single(x) else print_power_grid(x)
  print_power_replicates(x)
  invisible(x)
}

print_power_source <- function(x) {
  if (!is.null(x$design)) {
    cat_lines(paste0("Analysis: ", x$design$analysis$formula), exdent = 3L)
  } else {
    cat_lines(paste0("Outcomes drawn from the pilot fit ", paste(trimws(deparse(x$formula, 500L)), collapse = " ")), exdent = 3L)
  }
  cell <- x$cells[1L, ]
  size <- if (nrow(x$cells) == 1L && is.finite(cell$persons)) {
    therapists <- if (cell$therapists > 0) paste0(count(round(cell$therapists), "therapist"), ", ")
    paste0(count(round(cell$persons), "patient"), ", ", therapists, format(round(cell$rows), big.mark = ","), " rows on average; ")
  }
  cat_lines(paste0(size, count(x$nsim, "replicate"), if (nrow(x$cells) > 1L) " per design", ", two-sided tests at ", format(x$alpha), ", ", ddf_words(x$ddf)))
}

ddf_words <- function(ddf) {
  switch(ddf,
    asymptotic = "normal distribution", residual = "residual degrees of freedom", `between-within` = "between-within degrees of freedom",
    paste0(ddf, "'s degrees of freedom")
  )
}

# "81.2 [79.9, 82.5]" in per cent
percent_range <- function(table, name) {
  one <- function(value) formatC(100 * value, format = "f", digits = 1L)
  shown <- paste0(one(table[[name]]), " [", one(table[[paste0(name, "_lower")]]), ", ", one(table[[paste0(name, "_upper")]]), "]")
  ifelse(is.na(table[[name]]), "", shown)
}

# A design's intercept and a fit's.
without_intercept <- function(table) table[!table$effect %in% c("intercept", "(Intercept)"), ]

print_power_single <- function(x) {
  table <- without_intercept(x$table)
  number <- function(value) ifelse(is.na(value), "", vapply(value, function(v) format(signif(v, 3L), scientific = 6L), ""))
  names <- if (is.null(x$design)) table$term else table$label
  for (kind in c("power", "type-I error")) {
    some <- !is.na(table$quantity) & table$quantity == kind
    if (!any(some)) next
    what <- if (kind == "power") "Power: how often the effect is found" else "Type-I error: how often something is found where nothing is"
    cat("\n", what, " (%)\n", sep = "")
    print_table(cbind(
      Effect = names[some], True = number(table$truth[some]), `Significant [95 % MC]` = percent_range(table[some, ], "power")
    ), right = 2:3)
  }
  unknown <- is.na(table$quantity)
  if (any(unknown)) {
    cat("\nWithout a true value in this design (%)\n")
    print_table(cbind(Effect = names[unknown], Significant = percent_range(table[unknown, ], "power")), right = 2L)
  }
  cat("\nEstimates\n")
  share <- function(value) ifelse(is.na(value), "", formatC(100 * value, format = "f", digits = 1L))
  print_table(cbind(
    Effect = table$effect, Mean = number(table$estimate), Bias = number(table$bias), `SE emp.` = number(table$se_empirical),
    `SE model` = number(table$se_model), `Cover %` = share(table$coverage), `Type S %` = share(table$type_s),
    `Type M` = ifelse(is.na(table$type_m), "", formatC(table$type_m, format = "f", digits = 2L))
  ), right = 2:8, fold = 1L)
  cat_lines(paste(
    "SE emp.: SD of the estimates; SE model: mean standard error. Type S: wrong sign among significant results; Type M: by how much these exaggerate",
    "the effect."
  ))
}

# Rows: designs; columns: effects, share significant.
print_power_grid <- function(x, most = 40L) {
  table <- without_intercept(x$table)
  effects <- unique(table$effect)
  cells <- do.call(paste, c(x$cells[x$vary], sep = "\r"))
  place <- match(do.call(paste, c(table[x$vary], sep = "\r")), cells)
  share <- matrix(NA_real_, length(cells), length(effects))
  share[cbind(place, match(table$effect, effects))] <- table$power
  shown <- as.matrix(format_cells(x$cells[x$vary]))
  shown <- cbind(shown, matrix(ifelse(is.na(share), "", formatC(100 * share, format = "f", digits = 1L)), nrow(share)))
  colnames(shown) <- c(x$vary, effects)
  cat("\nSignificant (%)\n")
  print_table(utils::head(shown, most), right = seq_len(ncol(shown)), fold = length(x$vary))
  if (nrow(shown) > most) cat(" ... ", nrow(shown) - most, " more designs: as.data.frame()\n", sep = "")
  zero <- unique(table$effect[!is.na(table$quantity) & table$quantity == "type-I error"])
  if (length(zero)) cat_lines(paste0("Without a true effect (type-I error): ", paste(zero, collapse = ", "), "."))
  half <- max((table$power_upper - table$power_lower) / 2, na.rm = TRUE)
  cat_lines(paste0("Monte-Carlo error (95 %): at most ", formatC(100 * half, format = "f", digits = 1L), " points either way."))
}

format_cells <- function(table) {
  as.data.frame(lapply(table, function(column) if (is.numeric(column)) format(column, trim = TRUE) else as.character(column)), check.names = FALSE)
}

# Replicates without a usable result are never passed over.
print_power_replicates <- function(x) {
  cells <- x$cells
  total <- colSums(cells[status_names])
  bad <- total[["failed"]] + total[["unidentified"]]
  all <- sum(total)
  cat("\nReplicates\n")
  if (bad == 0) {
    cat_lines(paste0("All ", format(all, big.mark = ","), " gave estimates", at_boundary_words(total[["boundary"]], all), "."))
    return(invisible())
  }
  words <- c(
    if (total[["failed"]] > 0) paste(format(total[["failed"]], big.mark = ","), "did not converge"),
    if (total[["unidentified"]] > 0) paste(format(total[["unidentified"]], big.mark = ","), "did not identify the model")
  )
  cat_lines(paste0("Of ", format(all, big.mark = ","), ", ", paste(words, collapse = " and "), at_boundary_words(total[["boundary"]], all), "."))
  differs <- which(x$table$power_usable - x$table$power > 0.0005)
  text <- "They count as not significant above"
  if (length(differs)) {
    most <- differs[[which.max(x$table$power_usable[differs] - x$table$power[differs])]]
    text <- paste0(
      text, "; without them the shares would be up to ", formatC(100 * (x$table$power_usable[[most]] - x$table$power[[most]]), format = "f", digits = 1L),
      " points higher (", x$table$effect[[most]], ": ", formatC(100 * x$table$power_usable[[most]], format = "f", digits = 1L), " %)"
    )
  }
  cat_lines(paste0(text, "; estimates are those of the others."))
}

at_boundary_words <- function(n, all) {
  if (n == 0) return("")
  paste0(" (", format(n, big.mark = ","), " with a variance of zero or a correlation of 1, a valid estimate)")
}
