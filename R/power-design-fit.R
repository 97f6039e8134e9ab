# A design read from a pilot fit: sizes, variances, effects and dropout as estimated; what has no place in a design is named.

design_of_fit <- function(fit, given) {
  check_independent_residuals(fit, "A design from a fit is", "Write the design with {.fn hlm_design} and {.arg autocorrelation}.")
  label <- design_variable(fit)
  columns <- contextual_columns(fit, label)
  sizes <- design_sizes(fit)
  read <- c(
    sizes$arguments, design_effects_of(fit, columns), design_variances_of(fit, columns, sizes), design_x_of(fit, label, columns, sizes),
    list(variances = "residual", lag = max(0L, fit$means[[label]]$lag))
  )
  analysis <- list(time = design_has_time(fit), detrend = fit$means[[label]]$degree > 0L, REML = isTRUE(fit$REML))
  read$analysis <- utils::modifyList(analysis, as.list(given$analysis))
  report_left_out(fit, columns)
  read[names(given)[names(given) != "analysis"]] <- given[names(given) != "analysis"]
  longer <- check_whole(read$n_sessions, "n_sessions", 2) - length(read$dropout)
  if (is.null(given$dropout) && longer > 0) read$dropout <- c(read$dropout, rep(mean(read$dropout[-1L]), longer))
  make_study(read)
}

design_variable <- function(fit) {
  labels <- names(fit$means)
  if (length(labels) != 1L || is.null(contextual_columns(fit, labels[[1L]]))) {
    abort_hlm("data", c(
      "A design can be read from a fit with one variable that is split into within and between; this one has {length(labels)}.",
      i = "Write the design with {.fn hlm_design}, or give the fit to {.fn power_hlm}, which takes any model."
    ))
  }
  labels[[1L]]
}

# Sessions are the times that occur; without `time`, a patient's rows in order.
design_sizes <- function(fit) {
  groups <- fit$design$groups
  person <- pilot_person(fit)
  above <- Filter(function(g) g != person && is_nested(groups[[person]], groups[[g]]), seq_along(groups))
  if (length(groups) > 1L + length(above) || length(above) > 1L) {
    abort_hlm("design", "A design has patients and at most therapists above them; this fit has {.val {group_names(fit)}}. Write it with {.fn hlm_design}.")
  }
  codes <- groups[[person]]$codes
  time <- fit_times(fit)
  session <- if (is.null(time)) stats::ave(seq_along(codes), codes, FUN = seq_along) else match(time, sort(unique(time)))
  # a lag takes the first sessions out of the analysis, not out of the study
  session <- session + max(0L, fit$means[[1L]]$lag)
  last <- as.integer(tapply(session, codes, max))
  first <- min(session)
  n <- max(session)
  there <- vapply(seq_len(n), function(k) sum(last >= k), 0L)
  hazards <- c(0, 1 - there[-1L] / there[-n])
  rows <- sum(last - first + 1L)
  arguments <- list(n_patients = length(last), n_sessions = n, dropout = hazards, missing = max(0, 1 - length(codes) / rows))
  if (length(above)) arguments$n_therapists <- length(groups[[above]]$levels)
  list(arguments = arguments, person = person, above = if (length(above)) above)
}

design_has_time <- function(fit) any(fit$spec$coefs$type[kept_columns(fit)] == "time")

design_coefficient <- function(fit, names) {
  value <- fixef.hlm(fit)[intersect(names, names(fixef.hlm(fit)))]
  if (length(value)) value[[1L]]
}

design_effects_of <- function(fit, columns) {
  one <- function(...) design_coefficient(fit, c(...))
  both <- function(a, b) one(paste0(a, ":", b), paste0(b, ":", a))
  shift <- if (columns$contextual) one(columns$within) else 0
  between <- one(columns$between[[1L]])
  time <- fit$spec$coefs$name[kept_columns(fit)][fit$spec$coefs$type[kept_columns(fit)] == "time" & fit$spec$coefs$level[kept_columns(fit)] == "1"]
  # a list with NULL: not in the model
  list(
    within = one(columns$within), between = if (!is.null(between)) between + shift,
    interaction = both(columns$within, columns$between[[1L]]),
    between_therapist = if (length(columns$between) > 1L) one(columns$between[[2L]]) + shift
  )
}

# SDs of the random effects and residuals; the trend with what patients differ in it.
design_variances_of <- function(fit, columns, sizes) {
  place <- term_group(fit)
  covariance <- function(group, name) {
    sd <- c(intercept = 0, slope = 0, time = 0)
    cor <- c(slope = 0, time = 0)
    for (t in which(place == group)) {
      l <- fit$core$sigma * term_lambda(fit, t)
      v <- tcrossprod(l)
      names <- fit$design$terms[[t]]$names
      k <- c(intercept = match("(Intercept)", names), slope = match(columns$within, names), time = match(fit$time %||% "", names))
      for (part in names(k)[!is.na(k)]) sd[[part]] <- sqrt(v[k[[part]], k[[part]]])
      for (part in c("slope", "time")) {
        if (!is.na(k[["intercept"]]) && !is.na(k[[part]]) && sd[[part]] > 0 && sd[["intercept"]] > 0) {
          # an estimate of -1 or 1 is at the edge of what a design can have
          cor[[part]] <- max(-0.99, min(0.99, v[k[["intercept"]], k[[part]]] / (sd[["intercept"]] * sd[[part]])))
        }
      }
    }
    list(sd = sd, cor = cor)
  }
  patient <- covariance(sizes$person)
  therapist <- if (is.null(sizes$above)) list(sd = c(intercept = 0, slope = 0)) else covariance(sizes$above)
  total <- patient$sd[["intercept"]]^2 + therapist$sd[["intercept"]]^2 + fit$core$sigma^2
  trend <- if (!is.null(fit$time)) design_coefficient(fit, fit$time) else NULL
  list(
    sd_y = sqrt(total), icc = patient$sd[["intercept"]]^2 / total, icc_therapist = therapist$sd[["intercept"]]^2 / total, slope_sd = patient$sd[["slope"]],
    slope_cor = patient$cor[["slope"]], slope_sd_therapist = therapist$sd[["slope"]],
    trend_y = c(mean = trend %||% 0, sd = patient$sd[["time"]], cor = patient$cor[["time"]])
  )
}

# Variances of x itself, from an unconditional model (with time, where the fit has it) of its analysed rows.
design_x_of <- function(fit, label, columns, sizes) {
  x <- if (columns$contextual) {
    design_column(fit$design, fit$design$x[[match(columns$within, fit$design$x_names)]])
  } else {
    parts <- newdata_derived(fit, newdata_columns(fit, NULL), NULL, "within")
    Reduce(`+`, lapply(names(fit$means[[label]]$columns), function(name) parts$columns[[name]]))
  }
  d <- data.frame(x = x, patient = fit$design$groups[[sizes$person]]$codes)
  formula <- x ~ 1 + (1 | patient)
  if (!is.null(sizes$above)) {
    d$therapist <- fit$design$groups[[sizes$above]]$codes
    formula <- stats::update.formula(formula, . ~ . + (1 | therapist))
  }
  if (!is.null(fit$time) && design_has_time(fit)) {
    d$time <- fit_times(fit)
    formula <- stats::update.formula(formula, . ~ . + time)
  }
  own <- suppressMessages(suppressWarnings(hlm(formula, d, id = "patient"), classes = "hlm_warning"))
  variance <- vapply(seq_along(own$design$terms), function(t) own$core$sigma^2 * sum(term_lambda(own, t)^2), 0)
  names(variance) <- group_names(own)[term_group(own)]
  total <- sum(variance) + own$core$sigma^2
  list(
    sd_x = sqrt(total), icc_x = variance[["patient"]] / total, icc_x_therapist = if (is.null(sizes$above)) 0 else variance[["therapist"]] / total,
    trend_x = if (is.null(d$time)) 0 else fixef.hlm(own)[["time"]]
  )
}

report_left_out <- function(fit, columns) {
  w <- columns$within
  b <- columns$between
  known <- c("(Intercept)", w, b, paste0(w, ":", b), paste0(b, ":", w), fit$time)
  left <- setdiff(names(fixef.hlm(fit)), known)
  if (!length(left)) return(invisible())
  inform_hlm("design", c(
    "{cli::qty(length(left))}The design does not have the predictor{?s} {.var {left}} of the fit.",
    i = "{.fn power_hlm} of the fit itself keeps them."
  ))
}
