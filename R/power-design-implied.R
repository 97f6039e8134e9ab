# What follows from a design: rows, reliability of means, who is still there, shares explained; and the printed account of all that.

study_implied <- function(study) {
  truth <- study$truth
  n <- truth$n_sessions
  hazards <- dropout_hazards(truth$dropout, n)
  retention <- cumprod(1 - hazards)
  # chance that the last session attended is the k-th
  last <- retention * c(hazards[-1L], 1)
  usable <- max(0, n - truth$lag)
  come <- retention[seq_len(usable) + n - usable]
  sessions <- sum(come) * (1 - truth$missing)^(if (truth$lag > 0L) 2 else 1)
  x <- truth$x
  # means are taken over the sessions of x that are analysed
  counted <- pmax(seq_len(n) - truth$lag, 0L)
  reliable <- vapply(counted, mean_reliability, 0, x = x)
  y <- truth$y
  share <- function(level) {
    all <- y$explained[[level]] + y$left[[level]] + if (level == "session") y$varying else 0
    if (all > 0) y$explained[[level]] / all else NA_real_
  }
  total <- sum(y$explained) + sum(y$left) + y$varying
  between <- y$explained + y$left
  varies <- x$sd_between > 0 && sum(last[counted > 0]) > 0
  list(
    rows = truth$n_patients * sessions, sessions = sessions, retention = retention,
    reliability = c(
      session = (x$sd_therapist^2 + x$sd_between^2 + x$sd_within^2) / (x$sd_therapist^2 + x$sd_between^2 + x$sd_within^2 + x$error_sd^2),
      within = if (x$sd_within > 0) x$sd_within^2 / (x$sd_within^2 + x$error_sd^2) else NA_real_,
      mean_complete = if (usable > 0 && x$sd_between > 0) mean_reliability(usable, x) else NA_real_,
      mean = if (varies) sum((last * reliable)[counted > 0]) / sum(last[counted > 0]) else NA_real_
    ),
    icc = c(patient = between[["patient"]] / total, therapist = between[["therapist"]] / total),
    explained = c(session = share("session"), patient = share("patient"), therapist = share("therapist"))
  )
}

# Reliability of a mean of m sessions as a measure of the person's true mean (Lüdtke et al. 2008, eq. 4; with autocorrelated deviations their
# mean has the variance of an AR(1) average).
mean_reliability <- function(m, x) {
  if (m < 1L || x$sd_between == 0) return(NA_real_)
  lags <- seq_len(m - 1L)
  factor <- 1 + 2 * sum((1 - lags / m) * x$ar^lags)
  noise <- (x$sd_within^2 * factor + x$error_sd^2) / m
  x$sd_between^2 / (x$sd_between^2 + noise)
}

#' @rdname hlm_design
#' @export
print.hlm_study <- function(x, ...) {
  check_dots(...)
  truth <- x$truth
  cat("Design of a study\n\nAssumed\n")
  print_study_size(truth)
  print_study_x(truth)
  print_study_y(truth)
  print_study_effects(x)
  print_study_implied(x)
  cat("\nAnalysis\n")
  cat_lines(x$analysis$formula, indent = 1L, exdent = 3L)
  method <- if (x$analysis$REML) "REML" else "maximum likelihood"
  cat_lines(paste0("fitted by ", method, if (x$analysis$split_therapist) "; means of patients as deviations from their therapist's", "."))
  cat("\nPower: power_hlm(design). Another size: find_design(design, effect).\n")
  invisible(x)
}

print_study_size <- function(truth) {
  size <- c(
    count(truth$n_patients, "patient"), paste("up to", count(truth$n_sessions, "session"), "each"),
    if (!is.null(truth$n_therapists)) paste0(count(truth$n_therapists, "therapist"), " (", patients_each(truth), " patients each)")
  )
  cat_lines(paste0(paste(size, collapse = ", "), "."))
  if (truth$dropout$kind != "none") cat_lines(paste0("Dropout: ", truth$dropout$text, "."))
  if (truth$missing > 0) cat_lines(paste0("A single session is missed with a chance of ", percent(truth$missing, 0L), "."))
}

patients_each <- function(truth) {
  per <- range(tabulate(ceiling(seq_len(truth$n_patients) * truth$n_therapists / truth$n_patients), truth$n_therapists))
  if (per[[1L]] == per[[2L]]) format(per[[1L]]) else paste(per, collapse = " to ")
}

short <- function(x) format(signif(x, 3L), trim = TRUE)

print_study_x <- function(truth) {
  x <- truth$x
  variance <- c(x$sd_therapist, x$sd_between, x$sd_within, x$error_sd)^2
  share <- variance / sum(variance)
  parts <- c(
    if (share[[1L]] > 0) paste(percent(share[[1L]], 0L), "between therapists"), paste(percent(share[[2L]], 0L), "between patients"),
    paste(percent(share[[3L]], 0L), "true change within patients"), if (share[[4L]] > 0) paste(percent(share[[4L]], 0L), "measurement error")
  )
  cat_lines(paste0("x: SD ", short(sqrt(sum(variance))), " as measured; of its variance ", paste(parts, collapse = ", "), "."))
  if (x$trend != 0 || x$trend_sd > 0) {
    spread <- if (x$trend_sd > 0) paste0(" (SD between patients ", short(x$trend_sd), ")")
    cat_lines(paste0("x changes by ", short(x$trend), " per session", spread, "."))
  }
  if (x$ar != 0) cat_lines(paste0("Deviations of x in neighbouring sessions correlate by ", short(x$ar), "."))
}

print_study_y <- function(truth) {
  y <- truth$y
  parts <- c(
    paste("random intercepts of patients SD", short(y$sd_patient)),
    if (!is.null(truth$n_therapists)) paste("therapists SD", short(y$sd_therapist)), paste("residual SD", short(y$sd_residual))
  )
  cat_lines(paste0("y, what the predictors leave: ", paste(parts, collapse = ", "), "."))
  if (truth$slope_sd > 0) {
    cat_lines(paste0(
      "The within effect differs between patients (SD ", short(truth$slope_sd),
      if (truth$slope_cor != 0) paste0(", correlation with the intercept ", short(truth$slope_cor)), ")."
    ))
  }
  if (truth$slope_sd_therapist > 0) cat_lines(paste0("The within effect differs between therapists (SD ", short(truth$slope_sd_therapist), ")."))
  if (truth$trend_y[["sd"]] > 0) cat_lines(paste0("The change of y per session differs between patients (SD ", short(truth$trend_y[["sd"]]), ")."))
  if (y$ar != 0) cat_lines(paste0("Residuals of neighbouring sessions correlate by ", short(y$ar), "."))
  moderator <- truth$moderator
  if (is.null(moderator)) return(invisible())
  if (moderator$kind == "normal") {
    cat_lines("Moderator: normal, mean 0, SD 1.")
  } else {
    cat_lines(paste0(
      "Moderator: two groups, ", percent(moderator$share, 0L), " in the second, coded ", short(moderator$low), " and ", short(moderator$high),
      " (effects are differences between the groups; the other effects averages over them)."
    ))
  }
}

print_study_effects <- function(x) {
  cat("\nTrue effects (in units of y per unit of x")
  if (x$truth$lag > 0L) cat(", x", count(x$truth$lag, "session"), "before y")
  cat(")\n")
  table <- x$effects[x$effects$effect != "intercept", ]
  shown <- cbind(Effect = table$label, Term = table$term, True = ifelse(is.na(table$truth), "-", vapply(table$truth, short, "")))
  print_table(shown, right = 3L)
}

print_study_implied <- function(x) {
  implied <- x$implied
  truth <- x$truth
  cat("\nWhat follows\n")
  rows <- paste0(
    format(round(implied$rows), big.mark = ","), " rows expected in the analysis (", formatC(implied$sessions, format = "f", digits = 1L), " per patient)"
  )
  stay <- implied$retention[[length(implied$retention)]]
  cat_lines(paste0(rows, if (stay < 1) paste0("; ", percent(stay, 0L), " of the patients are still there at session ", truth$n_sessions), "."))
  icc <- paste0("ICC of y ", formatC(implied$icc[["patient"]], format = "f", digits = 2L), " (patients)")
  if (!is.null(truth$n_therapists)) icc <- paste0(icc, ", ", formatC(implied$icc[["therapist"]], format = "f", digits = 2L), " (therapists)")
  explained <- implied$explained[!is.na(implied$explained) & implied$explained > 0]
  where <- c(session = "within patients", patient = "between patients", therapist = "between therapists")
  if (length(explained)) {
    icc <- paste0(icc, "; effects explain ", paste(percent(explained, 1L), "of the variance of y", where[names(explained)], collapse = ", "))
  }
  cat_lines(paste0(icc, "."))
  r <- implied$reliability
  two <- function(value) formatC(value, format = "f", digits = 2L)
  if (!is.na(r[["mean"]])) {
    lower <- if (r[["mean"]] < r[["mean_complete"]] - 0.005) paste0(" (", two(r[["mean_complete"]]), " with all sessions)")
    cat_lines(paste0(
      "Patients' means of x over their sessions have a reliability of ", two(r[["mean"]]), lower, ": the between effect comes out nearer to the within effect."
    ))
  }
  if (!is.na(r[["within"]]) && r[["within"]] < 1) {
    cat_lines(paste0("Deviations of x within patients have a reliability of ", two(r[["within"]]), ": the within effect comes out about that much smaller."))
  }
}
