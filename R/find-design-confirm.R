# Candidates of a search for the cheapest design: read off the curve, confirmed by replicates of their own; the result and its print.

size_names <- c("n_patients", "n_sessions", "n_therapists")

# For each number of sessions and therapists the smallest number of patients whose smoothed power reaches the target, above those that
# their own replicates refuted.
candidate_table <- function(search, curves) {
  space <- search$space
  others <- list(n_sessions = space$n_sessions)
  if (!is.null(space$n_therapists)) others$n_therapists <- space$n_therapists
  others <- expand.grid(others, KEEP.OUT.ATTRS = FALSE)
  goal <- stats::qnorm(search$target)
  rows <- lapply(seq_len(nrow(others)), function(i) {
    possible <- space$n_patients
    if (!is.null(others$n_therapists)) possible <- possible[possible >= others$n_therapists[[i]]]
    if (!length(possible)) return(NULL)
    sizes <- cbind(n_patients = possible, others[rep(i, length(possible)), , drop = FALSE])
    p <- predict_curves(curves, sizes)
    p$link <- cummax(p$link)
    first <- function(reached) if (any(reached)) possible[[which(reached)[[1L]]]] else NA_integer_
    floor <- refuted_below(search, others[i, , drop = FALSE])
    cbind(
      n_patients = first(p$link >= goal & possible >= floor), others[i, , drop = FALSE], n_lower = first(p$link + 1.96 * p$se >= goal),
      n_upper = first(p$link - 1.96 * p$se >= goal)
    )
  })
  table <- do.call(rbind, rows)
  row.names(table) <- NULL
  table <- table[!is.na(table$n_patients), , drop = FALSE]
  if (!nrow(table)) return(table)
  # a number that was raised because its own replicates fell short
  table$n_upper <- pmax(table$n_upper, table$n_patients)
  table$cost <- search$cost(table)
  table[order(table$cost, table$n_patients), , drop = FALSE]
}

# The least number of patients to try next, from confirmation runs that stayed below the target: one more where chance may explain it (the curve, which has seen
# these replicates, says how many more), otherwise as many as it takes when the probit of power moves with sqrt(n).
refuted_below <- function(search, other) {
  known <- search$results[search$results$confirmed, ]
  for (name in names(other)) known <- known[known[[name]] == other[[name]], ]
  least <- 0
  z <- stats::qnorm(1 - search$alpha / 2)
  for (n in unique(known$n_patients)) {
    share <- confirmed_power(search, cbind(n_patients = n, other))
    if (share$power >= search$target) next
    seen <- max(stats::qnorm(share$power_upper) + z, 0.1)
    least <- max(least, n + 1, floor(n * min(4, ((stats::qnorm(search$target) + z) / seen)^2)))
  }
  least
}

# Simulates the cheapest candidates until the cheapest one has been confirmed; then, for the table, those next to it.
confirm_candidates <- function(search, rounds = 12L, runners = 4L) {
  simulate <- function(search, table) {
    simulate_sizes(search, table[intersect(size_names, names(table))], search$confirm, TRUE)
  }
  for (round in seq_len(rounds + 1L)) {
    table <- candidate_table(search, fit_curves(search))
    if (!nrow(table)) break
    wanted <- utils::head(table, runners + 1L)
    open <- is.na(confirmed_power(search, wanted)$power)
    if (!open[[1L]] || round > rounds) {
      if (any(open)) search <- simulate(search, wanted[open, , drop = FALSE])
      break
    }
    # after the first rounds only what could still be the cheapest
    if (round > 3L) open <- open & seq_along(open) == 1L
    search <- simulate(search, wanted[open, , drop = FALSE])
  }
  search$table <- table
  search
}

# Power of the weakest effect in the confirmation runs of these sizes, all replicates of the same sizes together.
confirmed_power <- function(search, sizes) {
  names <- intersect(size_names, names(sizes))
  key <- function(table) do.call(paste, unname(as.list(table[names])))
  known <- search$results[search$results$confirmed, ]
  rows <- lapply(key(sizes), function(k) {
    mine <- known[key(known) == k, ]
    value <- if (!nrow(mine)) rep(NA_real_, 3L) else {
      significant <- tapply(mine$significant, mine$effect, sum)
      n <- tapply(mine$nsim, mine$effect, sum)
      weakest <- which.min(significant / n)
      share_interval(significant[[weakest]], n[[weakest]], 0.95)
    }
    stats::setNames(as.data.frame(t(value)), c("power", "power_lower", "power_upper"))
  })
  do.call(rbind, rows)
}

# The result ---------------------------------------------------------------------------------------------------------------------------------

finish_search <- function(search) {
  curves <- fit_curves(search)
  table <- search$table
  if (nrow(table)) {
    table <- cbind(table, confirmed_power(search, table))
    table$reached <- !is.na(table$power) & table$power >= search$target
    row.names(table) <- NULL
  }
  best <- if (nrow(table)) which(table$reached)
  design <- NULL
  if (length(best)) {
    design <- changed_study(search$design, as.list(table[best[[1L]], intersect(size_names, names(table)), drop = FALSE]))
  }
  grid <- search$results
  row.names(grid) <- NULL
  grid$power <- grid$significant / grid$nsim
  structure(
    list(
      design = design, candidates = table, grid = grid, curve = search_curve(search, curves, design), effect = search$effect, target = search$target,
      alpha = search$alpha, nsim = search$nsim, confirm = search$confirm, space = search$space, failed = sum(grid$nsim - grid$usable), seed = search$seed
    ),
    class = "hlm_design_search"
  )
}

# Smoothed power over the numbers of patients, for numbers of sessions and therapists that were searched: at most five of them, to draw, and the design's.
search_curve <- function(search, curves, design) {
  space <- search$space
  few <- function(values, own) sort(unique(c(values[round(seq(1, length(values), length.out = min(5L, length(values))))], own)))
  n <- space$n_patients[unique(round(seq(1, length(space$n_patients), length.out = min(60L, length(space$n_patients)))))]
  sizes <- list(n_patients = n, n_sessions = few(space$n_sessions, design$truth$n_sessions))
  if (!is.null(space$n_therapists)) sizes$n_therapists <- few(space$n_therapists, design$truth$n_therapists)
  sizes <- expand.grid(sizes, KEEP.OUT.ATTRS = FALSE)
  if (!is.null(sizes$n_therapists)) sizes <- sizes[sizes$n_therapists <= sizes$n_patients, ]
  p <- predict_curves(curves, sizes)
  cbind(sizes, power = stats::pnorm(p$link), power_lower = stats::pnorm(p$link - 1.96 * p$se), power_upper = stats::pnorm(p$link + 1.96 * p$se))
}

#' @rdname find_design
#' @export
as.data.frame.hlm_design_search <- function(x, row.names = NULL, optional = FALSE, ...) x$candidates

#' @rdname find_design
#' @param row.names,optional Not used.
#' @param n Number of candidates to print.
#' @export
print.hlm_design_search <- function(x, n = 6L, ...) {
  check_dots(...)
  what <- paste(x$effect, collapse = ", ")
  cat("Search for the cheapest design with a power of ", round(100 * x$target), " % for: ", what, "\n\n", sep = "")
  table <- x$candidates
  if (is.null(x$design)) {
    best <- x$grid[which.max(x$grid$power), ]
    cat_lines(paste0(
      "No design in the ranges was found to reach it. The highest share seen was ", percent(best$power, 1L), " (", size_words(best),
      "). Search larger ranges."
    ))
  } else {
    place <- which(table$reached)[[1L]]
    one <- table[place, ]
    cat_lines(paste0(size_words(one), ", cost ", format(one$cost, big.mark = ",")), indent = 1L)
    cat_lines(paste0(
      "Power ", percent(one$power, 1L), " [", percent(one$power_lower, 1L), ", ", percent(one$power_upper, 1L), "] in ",
      format(x$confirm, big.mark = ","),
      " replicates of its own", compatible_words(one), "."
    ))
    if (place > 1L) cat_lines("Cheaper candidates in the table were not confirmed within the rounds of the search.")
  }
  if (NROW(table)) {
    cat("\nCandidates, cheapest first\n")
    print_candidates(utils::head(table, n))
  }
  total <- sum(x$grid$nsim[x$grid$effect == x$effect[[1L]]])
  lost <- if (x$failed > 0) paste0("; ", format(x$failed, big.mark = ","), " without a usable result count as not significant")
  cat_lines(paste0(format(total, big.mark = ","), " replicates of ", nrow(unique(x$grid[intersect(size_names, names(x$grid))])), " designs in all", lost, "."))
  invisible(x)
}

size_words <- function(row) {
  paste0(
    count(row$n_patients, "patient"), ", ", count(row$n_sessions, "session"), if (!is.null(row$n_therapists)) paste0(", ", count(row$n_therapists, "therapist"))
  )
}

compatible_words <- function(row) {
  if (is.na(row$n_lower) || row$n_lower == row$n_patients && row$n_upper %in% row$n_patients) return("")
  upper <- if (is.na(row$n_upper)) "more than were searched" else row$n_upper
  paste0("; with the Monte-Carlo error of the whole search the number needed lies between ", row$n_lower, " and ", upper, " patients")
}

print_candidates <- function(table) {
  sizes <- intersect(size_names, names(table))
  shown <- as.matrix(format_cells(table[sizes]))
  needed <- paste(table$n_lower, "to", ifelse(is.na(table$n_upper), "?", table$n_upper))
  power <- percent_range(table, "power")
  print_table(cbind(
    shown, cost = format(table$cost, big.mark = ",", trim = TRUE), `power % [95 % MC]` = ifelse(nzchar(power), power, "not simulated"),
    `patients needed` = needed
  ), right = seq_len(ncol(shown) + 3L))
}

#' @rdname find_design
#' @export
plot.hlm_design_search <- function(x, ...) {
  check_dots(...)
  rlang::check_installed("ggplot2", "to draw plots")
  curve <- x$curve
  curve$line <- factor(curve$n_sessions, levels = sort(unique(curve$n_sessions)))
  grid <- x$grid[x$grid$n_sessions %in% curve$n_sessions, ]
  if (!is.null(grid$n_therapists)) grid <- grid[grid$n_therapists %in% curve$n_therapists, ]
  # of several effects the weakest one counts
  same <- interaction(grid[c(intersect(size_names, names(grid)), "confirmed")], drop = TRUE)
  grid <- grid[grid$power == stats::ave(grid$power, same, FUN = min), ]
  grid$line <- factor(grid$n_sessions, levels = levels(curve$line))
  one <- nlevels(curve$line) == 1L
  colours <- if (one) ink else line_colours(nlevels(curve$line), TRUE)
  plot <- ggplot2::ggplot(curve, ggplot2::aes(.data$n_patients, .data$power, colour = .data$line, fill = .data$line)) + target_line(x$target) +
    ggplot2::geom_ribbon(ggplot2::aes(ymin = .data$power_lower, ymax = .data$power_upper), alpha = 0.15, colour = NA) +
    ggplot2::geom_line(linewidth = 0.7) +
    ggplot2::geom_point(data = grid, ggplot2::aes(size = .data$confirmed), alpha = 0.75) +
    ggplot2::scale_size_manual(values = c(`FALSE` = 1.3, `TRUE` = 2.6), labels = c(`FALSE` = "coarse grid", `TRUE` = "confirmation"), name = NULL) +
    ggplot2::scale_colour_manual(
      values = colours, aesthetics = c("colour", "fill"), name = vary_label("n_sessions"), guide = if (one) "none" else "legend"
    ) + share_scale()
  if (!is.null(x$design)) {
    truth <- x$design$truth
    best <- x$candidates[which(x$candidates$reached)[[1L]], ]
    mark <- data.frame(n_patients = truth$n_patients, power = best$power)
    if (!is.null(truth$n_therapists)) mark$n_therapists <- truth$n_therapists
    plot <- plot + ggplot2::geom_point(
      data = mark, ggplot2::aes(.data$n_patients, .data$power), inherit.aes = FALSE, shape = 21, size = 5, colour = accent, stroke = 1.1
    )
  }
  if (!is.null(curve$n_therapists) && length(unique(curve$n_therapists)) > 1L) {
    plot <- plot + ggplot2::facet_wrap("n_therapists", labeller = power_panels("n_therapists"))
  }
  plot + ggplot2::labs(
    title = paste("Power for", paste(x$effect, collapse = ", ")),
    subtitle = if (!is.null(x$design)) paste("Cheapest design (circle):", size_words(best)), x = vary_label("n_patients"), y = "Share significant",
    caption = paste0(
      "Lines: smoothed power with 95 % bands; points: simulated designs (", x$nsim, " or ", x$confirm, " replicates); dashed: ", round(100 * x$target), " %."
    )
  ) + theme_power()
}
