# Parameters of the residual structure: estimates, standard errors, intervals, and how they are printed.

# One row per parameter: structure, variable, level and reference (of hetero(); NA), distance (median distance in time of neighbours; NA), estimate,
# std.error, lower, upper. Standard errors from the observed
# information of all variance parameters together; limits are symmetric on the core's free scale (Fisher's z for AR(1), the logarithm for the
# rate of CAR(1) and for ratios of SDs), as those of nlme::intervals() are. At the limit of its range a parameter has neither.
residual_parameters <- function(fit, level = 0.95) {
  table <- residual_estimates(fit)
  if (is.null(table)) return(NULL)
  free <- fit$core$residual$free
  pieces <- engine_satterthwaite(known_design(fit), isTRUE(fit$REML), fit$core$theta)
  place <- length(fit$core$theta) + 1L + seq_along(free)
  se <- sqrt(diag(pieces$vcov_varpar)[place])
  # without curvature there is no standard error; the core leaves such directions out
  se[fit$core$residual$at_limit | se == 0] <- NA
  half <- stats::qnorm((1 + level) / 2) * se
  entries <- residual_registry()[table$structure]
  ends <- vapply(seq_along(free), function(k) {
    to <- entries[[k]]$natural
    sort(to(free[[k]] + c(-1, 1) * half[[k]]), na.last = TRUE)[1:2]
  }, c(0, 0))
  slope <- vapply(seq_along(free), function(k) entries[[k]]$slope(table$estimate[[k]]), 0)
  cbind(table, std.error = slope * se, lower = ends[1L, ], upper = ends[2L, ])
}

# The same without standard errors.
residual_estimates <- function(fit) {
  if (!has_residual_structure(fit)) return(NULL)
  rows <- lapply(fit$design$residual$parts, function(part) {
    data.frame(
      structure = part$name, variable = part$label, level = if (is.null(part$levels)) NA_character_ else part$levels[-1L],
      reference = part$levels[1L] %||% NA_character_, distance = part$unit %||% NA_real_
    )
  })
  cbind(do.call(rbind, rows), estimate = unname(fit$core$residual$natural))
}

# Lines for print() and summary(): one per correlation; one per group of rows.
print_residual <- function(table, sigma, title = "Residuals") {
  if (is.null(table)) return(invisible())
  cat("\n", title, "\n", sep = "")
  serial <- table$structure != "hetero"
  for (i in which(serial)) cat_lines(correlation_words(table[i, ]), 1L, 3L)
  strata <- table[!serial, , drop = FALSE]
  if (!nrow(strata)) return(invisible())
  cat(" Standard deviations that differ by ", strata$variable[[1L]], ":\n", sep = "")
  shown <- cbind(
    Level = c(strata$reference[[1L]], strata$level), Std.Dev. = format_column(sigma * c(1, strata$estimate)),
    ratio = formatC(c(1, strata$estimate), format = "f", digits = 2L)
  )
  if (!is.null(strata$lower)) {
    number <- function(x) formatC(x, format = "f", digits = 2L)
    limits <- ifelse(is.na(strata$lower), "", paste0("[", number(strata$lower), ", ", number(strata$upper), "]"))
    shown <- cbind(shown, ` ` = c("", limits))
  }
  print_table(shown)
}

correlation_words <- function(row) {
  # no -0.00
  number <- function(x) formatC(round(x, 2L) + 0, format = "f", digits = 2L)
  if (row$structure == "ar1") {
    power <- 1
    where <- paste0("from one ", row$variable, " to the next, AR(1)")
  } else {
    # phi is that of a distance of 1, which may be a second or a year
    power <- row$distance
    where <- paste0(
      "at the median distance of ", format(power, digits = 3L), " in ", row$variable, ", CAR(1) (phi of a distance of 1: ",
      format(row$estimate, digits = 3L), ")"
    )
  }
  limits <- if (is.null(row$lower) || is.na(row$lower)) "" else paste0(" [", number(row$lower^power), ", ", number(row$upper^power), "]")
  paste0("Residual autocorrelation ", number(row$estimate^power), limits, " ", where)
}

# The residual line of tables of variances: with hetero() sigma is the SD of the first group of rows.
residual_label <- function(fit) {
  table <- residual_estimates(fit)
  strata <- table[table$structure == "hetero", , drop = FALSE]
  if (is.null(table) || !nrow(strata)) return("Residual")
  paste0("Residual (", strata$variable[[1L]], " ", strata$reference[[1L]], ")")
}

# Rows of tidy(), after the random effects.
tidy_residual <- function(fit, level = NULL) {
  table <- if (is.null(level)) residual_estimates(fit) else residual_parameters(fit, level)
  if (is.null(table)) return(NULL)
  prefix <- vapply(residual_registry()[table$structure], `[[`, "", "term")
  tidy <- data.frame(
    effect = "ran_pars", group = "Residual", term = paste0(prefix, table$variable, ifelse(is.na(table$level), "", paste0(".", table$level))),
    estimate = table$estimate
  )
  if (is.null(level)) return(tidy)
  cbind(tidy, std.error = table$std.error, conf.low = table$lower, conf.high = table$upper)
}

# What a fit at the limit of the range of a residual parameter says.
residual_limit_words <- function(fit) {
  limit <- which(as.logical(fit$core$residual$at_limit))
  if (!length(limit)) return(character())
  table <- residual_estimates(fit)[limit, , drop = FALSE]
  vapply(seq_len(nrow(table)), function(i) {
    row <- table[i, ]
    if (row$structure == "hetero") {
      return(paste0("The residual SD where ", row$variable, " is '", row$level, "' cannot be told from ", if (row$estimate < 1) "zero." else "infinity."))
    }
    if (row$structure == "car1" && row$estimate^row$distance < 0.5) {
      return(paste0("The residual autocorrelation over ", row$variable, " is estimated as zero: the data show none beyond chance."))
    }
    paste0(
      "The residual autocorrelation over ", row$variable, " is estimated as ", if (row$estimate < 0) "-1" else "+1",
      ": the data cannot tell it from lasting differences between persons."
    )
  }, "")
}
