# From the rows of a run to its files: the table (CSV and md), growth and core (CSV), two plots (PNG).

significant <- function(x, digits = 3L) {
  text <- trimws(formatC(signif(x, digits), format = "fg", digits = digits, big.mark = ",", flag = "#"))
  ifelse(is.na(x), "-", sub("\\.$", "", text))
}

columns_of_table <- c(
  "data", "rows", "patients", "model", "tool", "version", "method", "status", "note", "runs", "best_s", "q10_s", "median_s", "first_s", "cpu_s",
  "ratio_to_lme4", "ratio_to_best_peer", "data_mb", "before_mb", "peak_mb", "fit_mb", "peak_to_data", "criterion", "criterion_gap", "own_difference",
  "expected_s", "others_load", "call"
)

# A peer counts as one to beat when it fits the same model and comes this near to the optimum (-2 log-likelihood).
near <- 0.01

as_table <- function(rows) {
  table <- do.call(rbind, lapply(rows, function(row) {
    row <- lapply(stats::setNames(columns_of_table, columns_of_table), function(name) row[[name]] %||% NA)
    as.data.frame(row, stringsAsFactors = FALSE)
  }))
  cell <- paste(table$data, table$model)
  table$ratio_to_lme4 <- table$ratio_to_best_peer <- NA_real_
  for (one in unique(cell)) {
    here <- cell == one
    lme4 <- table$q10_s[here & table$tool == "lme4" & table$status == "ok"]
    if (length(lme4)) table$ratio_to_lme4[here] <- lme4 / table$q10_s[here]
    peers <- here & rivals(table)
    if (any(peers)) table$ratio_to_best_peer[here] <- min(table$q10_s[peers]) / table$q10_s[here]
  }
  table
}

rivals <- function(table) {
  !startsWith(table$tool, "hlm") & table$status == "ok" & !startsWith(ifelse(is.na(table$note), "", table$note), "smaller model") &
    (is.na(table$criterion_gap) | table$criterion_gap < near)
}

# ---- Markdown

md_table <- function(x) {
  c(paste("|", paste(names(x), collapse = " | "), "|"), paste0("|", strrep("---|", length(x))),
    apply(x, 1L, function(row) paste("|", paste(row, collapse = " | "), "|")))
}

nice_data <- function(label) {
  parts <- strsplit(label, "x")
  vapply(parts, function(part) {
    if (length(part) == 2L) paste(format(as.numeric(part[[1L]]), big.mark = ",", scientific = FALSE), "x", part[[2L]]) else part
  }, "")
}

cells_of <- function(table) unique(table[c("data", "model")])
find_row <- function(table, cell, tool) {
  row <- table[table$data == cell$data & table$model == cell$model & table$tool == tool, ]
  if (nrow(row)) row
}

# Our calls against lme4 and the best peer.
main_table <- function(table) {
  cells <- cells_of(table)
  do.call(rbind, lapply(seq_len(nrow(cells)), function(i) {
    cell <- cells[i, ]
    whole <- find_row(table, cell, "hlm, grammar")
    plain <- find_row(table, cell, "hlm, columns")
    lme4 <- find_row(table, cell, "lme4")
    if (is.null(plain)) {
      return(NULL)
    }
    # crossed data have nothing to split
    ours <- if (!is.null(whole) && whole$status == "ok") whole else plain
    peers <- table[table$data == cell$data & table$model == cell$model & rivals(table), ]
    best <- peers[which.min(peers$q10_s), ]
    data.frame(
      data = nice_data(cell$data), model = cell$model,
      `hlm, s` = times_of(whole), `hlm, columns given, s` = times_of(plain), `lme4, s` = times_of(lme4),
      `lme4 / hlm` = lme4_ratio(lme4, ours), `best peer` = if (nrow(best)) paste0(best$tool, " ", significant(best$q10_s)) else "-",
      `best peer / hlm` = if (nrow(best)) significant(best$q10_s / ours$q10_s, 2L) else "-",
      `columns given` = if (nrow(best)) significant(best$q10_s / plain$q10_s, 2L) else "-",
      `criterion above the best` = if (is.na(ours$criterion_gap)) "-" else sprintf("%.0e", max(ours$criterion_gap, plain$criterion_gap, na.rm = TRUE)),
      check.names = FALSE
    )
  }))
}

times_of <- function(row) {
  if (is.null(row)) "-" else if (row$status == "ok") sprintf("%s (%s)", significant(row$q10_s), significant(row$median_s)) else row$status
}

lme4_ratio <- function(lme4, ours) {
  if (is.null(lme4) || ours$status != "ok") {
    "-"
  } else if (lme4$status == "ok") {
    significant(lme4$q10_s / ours$q10_s, 2L)
  } else if (!is.na(lme4$expected_s)) {
    paste("about", significant(lme4$expected_s / ours$q10_s, 2L), "(expected)")
  } else {
    "-"
  }
}

# One column per program; a mark where something has to be said below.
wide_table <- function(table, value) {
  cells <- cells_of(table)
  tools <- unique(table$tool)
  wide <- lapply(stats::setNames(tools, tools), function(tool) {
    vapply(seq_len(nrow(cells)), function(i) {
      row <- find_row(table, cells[i, ], tool)
      if (is.null(row)) "-" else if (row$status != "ok") row$status else paste0(value(row), if (nzchar(row$note %||% "") && !is.na(row$note)) " *")
    }, "")
  })
  cbind(data.frame(data = nice_data(cells$data), model = cells$model), as.data.frame(wide, check.names = FALSE))
}

notes_of <- function(table) {
  said <- table[!is.na(table$note) & nzchar(table$note), ]
  if (!nrow(said)) {
    return("None.")
  }
  # numbers differ from row to row: say them per row, everything else once
  key <- paste0(said$tool, ": ", ifelse(said$status == "ok", "", paste0(said$status, ", ")), said$note)
  vapply(unique(key), function(one) {
    cells <- said[key == one, ]
    sprintf("- %s (%s)", one, paste(nice_data(cells$data), cells$model, collapse = "; "))
  }, "")
}

noise_line <- function(run) {
  text <- sprintf("Load average (1, 5, 15 minutes) before the run %s, after it %s. Other work kept %.2f processors busy on average during the run.",
    paste(sprintf("%.2f", run$load_before), collapse = ", "), paste(sprintf("%.2f", run$load_after), collapse = ", "), run$others_load)
  if (isTRUE(run$others_load > 0.5) || isTRUE(run$load_before[[1L]] > 0.5)) {
    text <- c(text, "", "**Warning: other work ran on this machine. The times are noisy; ratios of long and short runs may be off by a factor of two.**")
  }
  text
}

machine_line <- function(run) {
  m <- run$machine
  sprintf("%s, %d cores, %.0f GB; %s; R %s, BLAS %s; wbhlm %s with up to %d threads (its default).", m$processor, m$cores, m$memory_gb, m$system, m$r, m$blas,
    run$version, run$threads)
}

growth_slopes <- function(growth) {
  pieces <- split(growth, growth[c("vary", "model")], drop = TRUE)
  do.call(rbind, lapply(pieces, function(piece) {
    size <- if (piece$vary[[1L]] == "rows") piece$rows else piece$patients
    # from the last two sizes: what holds for large data
    end <- utils::tail(order(size), 3L)
    data.frame(vary = piece$vary[[1L]], model = piece$model[[1L]], from = min(size), to = max(size), seconds_from = piece$seconds[[which.min(size)]],
      seconds_to = piece$seconds[[which.max(size)]], exponent = unname(stats::coef(stats::lm(log(piece$seconds[end]) ~ log(size[end])))[[2L]]))
  }))
}

growth_lines <- function(growth) {
  slopes <- growth_slopes(growth)
  big <- function(x) format(x, big.mark = ",", scientific = FALSE, trim = TRUE)
  shown <- data.frame(
    model = slopes$model,
    growing = ifelse(slopes$vary == "rows", "rows (1,000 patients)", "patients (1,000,000 rows)"),
    sizes = paste(big(slopes$from), "to", big(slopes$to)), seconds = paste(significant(slopes$seconds_from), "to", significant(slopes$seconds_to)),
    exponent = sprintf("%.2f", slopes$exponent))
  c("", "## Growth", "", "Seconds of hlm() with the grammar (best of several calls). Exponent: slope of log time on log size over the three largest sizes;",
    "1 is linear, below 1 less than linear.", "", md_table(shown))
}

core_table <- function(core) {
  core <- Filter(function(one) is.null(one$error) && is.null(one$over), core)
  do.call(rbind, lapply(core, function(one) as.data.frame(one[setdiff(names(one), "others_load")])))
}

core_lines <- function(core) {
  shown <- data.frame(
    rows = format(core$rows, big.mark = ",", scientific = FALSE, trim = TRUE), model = core$model, `plain pass, s` = significant(core$plain_s),
    `core, whole fit, s` = significant(core$core_s), evaluations = core$evaluations, `one evaluation, s` = significant(core$evaluation_s),
    `the core's pass, s` = significant(core$pass_s), `its pass / plain pass` = sprintf("%.1f", core$ratio),
    `whole fit / plain pass` = sprintf("%.1f", core$ratio_whole), check.names = FALSE)
  c("", "## The core and one plain pass over the memory", "",
    "Processor seconds, one thread each. Plain pass: every number of the columns of the model and every group code is read once. The core's pass: its",
    "time for the cross-products without evaluations (time of a pass with one evaluation, minus the time of an evaluation, which comes from the fit).",
    "Aim: below 3.",
    "", md_table(shown))
}

memory_lines <- function(table) {
  big <- table[table$rows >= 1e6 & table$status == "ok" & !is.na(table$fit_mb), ]
  if (!nrow(big)) {
    return(NULL)
  }
  shown <- data.frame(
    data = nice_data(big$data), model = big$model, program = big$tool, `columns, MB` = significant(big$data_mb),
    `before the fit, MB` = significant(big$before_mb),
    `peak, MB` = significant(big$peak_mb), `the fit itself, MB` = significant(big$fit_mb),
    `(data + fit) / data` = ifelse(is.na(big$peak_to_data), "-", sprintf("%.2f", big$peak_to_data)), check.names = FALSE)
  c("", "## Memory", "", "Each fit in its own process (VmHWM of the first call). `columns`: the data that the model needs, as that program was given them.",
    "(data + fit) / data: the peak beyond the process with its packages loaded, relative to the columns; aim: below 3.", "", md_table(shown))
}

report_lines <- function(table, core, growth, run) {
  calls <- unique(table[table$status == "ok", c("tool", "version", "call", "method")])
  own <- table$own_difference[!is.na(table$own_difference)]
  c("# Benchmarks", "",
    sprintf("Written by `make bench` on %s in %.0f minutes: synthetic data (patients x sessions), and lme4's InstEval.", run$date, run$minutes),
    "Seconds of the whole call, formula to fit, warm: 10 % quantile (median in brackets) of as many calls as fit into some seconds; a fit of more than",
    "a sixth of the budget is timed once. Each program runs in its own process; starting it and reading the data are not counted.",
    "`hlm, grammar` makes the within and between columns itself; all others are given them ready made.", "",
    machine_line(run), "", noise_line(run), "", "## hlm() against lme4 and the fastest peer", "", md_table(main_table(table)), "",
    sprintf("Best peer: the fastest other program that fits the same model and comes within %s of the best criterion (-2 log-likelihood) found.", near),
    "", "## Seconds of every program", "", md_table(wide_table(table, function(row) significant(row$q10_s))), "",
    sprintf("Budget: %.0f s for one program and row, %.0f s for lme4. What is not there, and what `*` says:", run$budget, 2.5 * run$budget), "",
    notes_of(table), "",
    "## Criterion", "", "-2 log (restricted) likelihood at each program's variance estimates, computed by our core (fixed effects and sigma at their best",
    "given these), minus the lowest by the same method (REML; gpboost: ML).",
    if (length(own)) sprintf("lme4's own value differs from ours at its estimates by at most %.1e.", max(abs(own))), "",
    md_table(wide_table(table, function(row) if (is.na(row$criterion_gap)) "?" else sprintf("%.1e", row$criterion_gap))),
    memory_lines(table), if (!is.null(core)) core_lines(core), if (!is.null(growth)) growth_lines(growth), "", "## How each program was called", "",
    md_table(data.frame(program = calls$tool, version = calls$version, call = paste0("`", calls$call, "`"), method = calls$method)))
}

# ---- plots

shown_models <- function(model) factor(model, levels = c("random intercept", "random slope", "three levels", "crossed"))

house_colours <- function(tools) {
  others <- setdiff(tools, c("hlm, grammar", "hlm, columns"))
  colours <- grDevices::hcl.colors(max(2L, length(others)), "Dark 3")[seq_along(others)]
  c(`hlm, grammar` = "#0b5394", `hlm, columns` = "#6fa8dc", stats::setNames(colours, others))
}

bench_theme <- function() {
  ggplot2::theme_minimal(base_size = 11) + ggplot2::theme(
    panel.grid.minor = ggplot2::element_blank(), legend.position = "bottom", strip.text = ggplot2::element_text(face = "bold"),
    plot.title.position = "plot", plot.caption.position = "plot", panel.spacing = ggplot2::unit(1, "lines")
  )
}

plain_numbers <- function(x) format(x, big.mark = ",", scientific = FALSE, trim = TRUE, drop0trailing = TRUE)
log_labels <- function(x) vapply(x, function(one) if (is.na(one)) "" else plain_numbers(one), "")

plot_rows <- function(table, run) {
  shown <- table[table$status == "ok" & table$model != "crossed", ]
  shown$model <- shown_models(shown$model)
  shown$tool <- factor(shown$tool, levels = intersect(names(house_colours(unique(shown$tool))), shown$tool))
  shown$ours <- startsWith(as.character(shown$tool), "hlm")
  # a program with one size has a point and no line
  sizes <- table(shown$tool, shown$model)
  lines <- shown[sizes[cbind(as.character(shown$tool), as.character(shown$model))] > 1L, ]
  ggplot2::ggplot(shown, ggplot2::aes(.data$rows, .data$q10_s, colour = .data$tool, linewidth = .data$ours)) +
    ggplot2::geom_line(data = lines) + ggplot2::geom_point(size = 1.4) + ggplot2::facet_wrap(ggplot2::vars(.data$model)) +
    ggplot2::scale_x_log10(labels = log_labels) + ggplot2::scale_y_log10(labels = log_labels, breaks = 10^(-4:4)) +
    ggplot2::scale_colour_manual(values = house_colours(levels(shown$tool))) +
    ggplot2::scale_linewidth_manual(values = c(`FALSE` = 0.4, `TRUE` = 1.1), guide = "none") + bench_theme() +
    ggplot2::theme(axis.text.x = ggplot2::element_text(angle = 30, hjust = 1)) +
    ggplot2::labs(x = "rows", y = "seconds of the whole call", colour = NULL, title = "Time by number of rows (both axes logarithmic)", caption = run$date)
}

plot_growth <- function(growth, run) {
  growth$size <- ifelse(growth$vary == "rows", growth$rows, growth$patients)
  growth$panel <- factor(ifelse(growth$vary == "rows", "more rows, 1,000 patients", "more patients, 1,000,000 rows"),
    levels = c("more rows, 1,000 patients", "more patients, 1,000,000 rows"))
  largest <- growth[growth$vary == "rows", ]
  # a line of slope one through the largest size
  guide <- do.call(rbind, lapply(split(largest, largest$model), function(part) {
    end <- part[which.max(part$size), ]
    data.frame(model = end$model, panel = end$panel, size = range(part$size), seconds = end$seconds * range(part$size) / end$size)
  }))
  ggplot2::ggplot(growth, ggplot2::aes(.data$size, .data$seconds, colour = shown_models(.data$model))) +
    ggplot2::geom_line(data = guide, linetype = "dotted") + ggplot2::geom_line() + ggplot2::geom_point(size = 1.6) +
    ggplot2::facet_wrap(ggplot2::vars(.data$panel), scales = "free_x") + ggplot2::scale_x_log10(labels = log_labels) +
    ggplot2::scale_y_log10(labels = log_labels) + ggplot2::scale_colour_manual(values = c("#0b5394", "#b45f06", "#38761d")) + bench_theme() +
    ggplot2::labs(x = "rows (left) or patients (right)", y = "seconds of hlm()", colour = NULL, caption = run$date,
      title = "Growth of hlm() with rows and with patients (both axes logarithmic)", subtitle = "Dotted: exactly linear growth")
}

plot_ratios <- function(table, run) {
  shown <- table[table$status == "ok" & !startsWith(table$tool, "hlm"), ]
  cells <- cells_of(shown)
  # three models to a line, the crossed data last
  cells <- cells[order(cells$model == "crossed"), ]
  shown$ratio <- vapply(seq_len(nrow(shown)), function(i) {
    ours <- find_row(table, shown[i, ], "hlm, grammar")
    if (is.null(ours) || ours$status != "ok") ours <- find_row(table, shown[i, ], "hlm, columns")
    if (is.null(ours) || ours$status != "ok") NA_real_ else shown$q10_s[[i]] / ours$q10_s
  }, 0)
  shown <- shown[!is.na(shown$ratio), ]
  shown$cell <- factor(paste0(nice_data(shown$data), "\n", shown$model), levels = unique(paste0(nice_data(cells$data), "\n", cells$model)))
  order <- names(house_colours(unique(shown$tool)))
  shown$tool <- factor(shown$tool, levels = rev(intersect(order, shown$tool)))
  ggplot2::ggplot(shown, ggplot2::aes(.data$ratio, .data$tool, fill = .data$ratio > 1)) +
    ggplot2::geom_col(width = 0.7) + ggplot2::geom_vline(xintercept = 1) +
    ggplot2::geom_text(ggplot2::aes(label = significant(.data$ratio, 2L), hjust = ifelse(.data$ratio > 1, -0.15, 1.15)), size = 2.7) +
    ggplot2::facet_wrap(ggplot2::vars(.data$cell), ncol = 3L) +
    ggplot2::scale_x_log10(labels = log_labels, breaks = 10^(0:3), expand = ggplot2::expansion(c(0.2, 0.22))) +
    ggplot2::scale_fill_manual(values = c(`FALSE` = "#cc4125", `TRUE` = "#6fa8dc"), guide = "none") + bench_theme() +
    ggplot2::labs(x = "time of the program / time of hlm() (logarithmic)", y = NULL, title = "How many times longer other programs take than hlm()",
      subtitle = "Red: faster than hlm()", caption = run$date)
}

save_plot <- function(plot, file, width, height) ggplot2::ggsave(file, plot, width = width, height = height, dpi = 110, bg = "white")

# ---- files

write_report <- function(table, core, growth, run, folder, ship = NULL) {
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  path <- function(ending) file.path(folder, paste0(run$date, ending))
  core <- core_table(core)
  write_table <- function(x, file) {
    number <- vapply(x, is.double, NA)
    x[number] <- lapply(x[number], signif, digits = 6L)
    utils::write.csv(x, file, row.names = FALSE, na = "")
  }
  # the criterion itself needs its digits
  table$criterion <- formatC(table$criterion, format = "f", digits = 6L)
  table$criterion[trimws(table$criterion) == "NA"] <- NA
  write_table(table, path(".csv"))
  table$criterion <- suppressWarnings(as.numeric(table$criterion))
  if (!is.null(core)) write_table(core, path("-core.csv"))
  if (!is.null(growth)) write_table(growth, path("-growth.csv"))
  jsonlite::write_json(run, path("-machine.json"), auto_unbox = TRUE, digits = 6, pretty = TRUE)
  lines <- report_lines(table, core, growth, run)
  plots <- character()
  if (requireNamespace("ggplot2", quietly = TRUE)) {
    plots <- tryCatch(write_plots(table, growth, run, path), error = function(e) {
      cat("The plots could not be drawn:", conditionMessage(e), "\n")
      character()
    })
  }
  if (length(plots)) lines <- c(lines, "", "## Plots", "", sprintf("![%s](%s)", names(plots), basename(plots)))
  writeLines(lines, path(".md"))
  if (!is.null(ship)) {
    dir.create(ship, recursive = TRUE, showWarnings = FALSE)
    unlink(list.files(ship, full.names = TRUE))
    shipped <- c(results.csv = path(".csv"), core.csv = path("-core.csv"), growth.csv = path("-growth.csv"), machine.json = path("-machine.json"))
    shipped <- shipped[file.exists(shipped)]
    file.copy(shipped, file.path(ship, names(shipped)), overwrite = TRUE)
  }
  cat("", utils::head(lines, grep("^## Seconds", lines)[[1L]] - 1L), "", paste("Written:", path(".md")), sep = "\n")
}

write_plots <- function(table, growth, run, path) {
  files <- character()
  measured <- table$status == "ok"
  if (any(measured & table$model != "crossed")) {
    files["Time by number of rows"] <- path("-rows.png")
    save_plot(plot_rows(table, run), path("-rows.png"), 9.5, 5)
  }
  if (any(measured & !startsWith(table$tool, "hlm"))) {
    files["Ratios"] <- path("-ratios.png")
    panels <- length(unique(paste(table$data, table$model)))
    save_plot(plot_ratios(table, run), path("-ratios.png"), 9.5, 1.4 + 1.75 * ceiling(panels / 3))
  }
  if (!is.null(growth)) {
    files["Growth"] <- path("-growth.png")
    save_plot(plot_growth(growth, run), path("-growth.png"), 9, 4.6)
  }
  files
}
