# What a design means in numbers: variances of the true x and of what is left of y, effects in raw units; and the analysis as a formula.

study_truth <- function(a) {
  x <- x_variances(a)
  effects <- raw_effects(a, x)
  y <- y_variances(a, x, effects)
  list(
    x = list(
      sd_within = sqrt(x$within), sd_between = sqrt(x$between), sd_therapist = sqrt(x$therapist), error_sd = sqrt(x$error),
      trend = a$trend_x[["mean"]], trend_sd = a$trend_x[["sd"]], ar = a$autocorrelation[["x"]]
    ),
    y = y, effects = effects$fixed, slope_sd = effects$slope_sd, slope_cor = a$slope_cor, slope_sd_therapist = effects$slope_sd_therapist,
    trend_y = a$trend_y, lag = a$lag, moderator = a$moderator, dropout = a$dropout, missing = a$missing,
    n_patients = a$n_patients, n_sessions = a$n_sessions, n_therapists = a$n_therapists
  )
}

# The variance of x as measured = between therapists + between patients + true deviations + error.
x_variances <- function(a) {
  if (length(a$sd_x) == 2L) {
    sd <- check_named_numbers(a$sd_x, c("within", "between"), "sd_x")
    if (any(sd <= 0)) abort_hlm("data", "{.arg sd_x}: standard deviations must be positive.")
    total <- sum(sd^2)
    shares <- list(patient = sd[["between"]]^2 / total, therapist = 0)
    if (a$icc_x_therapist > 0) abort_hlm("data", "With {.arg icc_x_therapist} give one {.arg sd_x} and {.arg icc_x}.")
  } else {
    if (!is_number(a$sd_x) || a$sd_x <= 0) {
      abort_hlm("data", "{.arg sd_x} must be one positive number, or two: {.code c(within = , between = )}.")
    }
    check_share(a$icc_x, "icc_x")
    total <- a$sd_x^2
    shares <- list(patient = a$icc_x, therapist = a$icc_x_therapist)
  }
  true_within <- a$reliability - shares$patient - shares$therapist
  if (true_within < 1e-9 && a$n_sessions > 1L) {
    higher <- shares$patient + shares$therapist
    abort_hlm("data", c(
      "Of the variance of x {percent(higher, 0L)} lie between patients (and therapists) and {percent(1 - a$reliability, 0L)} are measurement error
       ({.arg reliability} = {a$reliability}): nothing is left to vary truly within patients.",
      i = "Give a higher {.arg reliability} or a lower {.arg icc_x}."
    ))
  }
  list(
    therapist = shares$therapist * total, between = shares$patient * total, within = max(true_within, 0) * total,
    error = (1 - a$reliability) * total
  )
}

# NULL stays NULL: not in the model.
raw_effects <- function(a, x) {
  scale <- list(within = 1, between = 1, interaction = 1, therapist = 1, moderator = 1, moderation = 1)
  if (a$units == "level") {
    if (a$variances != "total") abort_hlm("data", "{.code units = \"level\"} needs {.code variances = \"total\"}.")
    y_within <- a$sd_y * sqrt(1 - a$icc - a$icc_therapist)
    y_between <- a$sd_y * sqrt(a$icc)
    sd_m <- sqrt(if (is.null(a$moderator)) 1 else a$moderator$variance)
    # where x or the moderator does not vary, the effect is not in the model or zero
    safe <- function(value) if (value > 0) value else 1
    scale <- list(
      within = y_within / safe(sqrt(x$within)), between = y_between / safe(sqrt(x$between)),
      interaction = y_within / safe(sqrt(x$within * x$between)), therapist = a$sd_y * sqrt(a$icc_therapist) / safe(sqrt(x$therapist)),
      moderator = y_between / sd_m, moderation = y_within / safe(sqrt(x$within)) / sd_m
    )
  }
  times <- function(value, by) if (!is.null(value)) value * by
  therapist <- if (x$therapist > 0) {
    if (is.null(a$between_therapist)) times(a$between, scale$between) else a$between_therapist * scale$therapist
  }
  fixed <- list(
    time = a$trend_y[["mean"]], within = times(a$within, scale$within), between = times(a$between, scale$between), therapist = therapist,
    moderator = if (!is.null(a$moderator)) times(a$moderator_effect, scale$moderator),
    interaction = times(a$interaction, scale$interaction), moderation = times(a$moderation, scale$moderation), moderator_trend = a$moderator_trend
  )
  list(
    fixed = fixed[!vapply(fixed, is.null, NA)], slope_sd = a$slope_sd * scale$within, slope_sd_therapist = a$slope_sd_therapist * scale$within
  )
}

# Variances of y at each level before the predictors, what the effects explain, and what is left.
y_variances <- function(a, x, effects) {
  if (a$icc + a$icc_therapist >= 1) {
    abort_hlm("data", "{.arg icc} and {.arg icc_therapist} add up to {a$icc + a$icc_therapist}: nothing is left for the sessions. Their sum must be below 1.")
  }
  total <- a$sd_y^2 * c(therapist = a$icc_therapist, patient = a$icc, session = 1 - a$icc - a$icc_therapist)
  b <- function(name) effects$fixed[[name]] %||% 0
  m <- if (is.null(a$moderator)) 0 else a$moderator$variance
  explained <- c(
    therapist = b("therapist")^2 * x$therapist, patient = b("between")^2 * x$between + b("moderator")^2 * m,
    session = x$within * (b("within")^2 + b("interaction")^2 * (x$between + x$therapist) + b("moderation")^2 * m)
  )
  varying <- x$within * (effects$slope_sd^2 + effects$slope_sd_therapist^2)
  left <- if (a$variances == "total") total - explained - c(0, 0, varying) else total
  bad <- names(left)[left < -1e-12 | names(left) == "session" & left < 1e-12]
  if (length(bad)) {
    level <- bad[[1L]]
    needed <- signif(explained[[level]] + if (level == "session") varying else 0, 3L)
    abort_hlm("data", c(
      "The effects explain more variance between {level}s than the outcome has there ({needed} against {signif(total[[level]], 3L)}).",
      i = "Take smaller effects, check their units ({.arg sd_x}, {.arg sd_y}, {.arg units}), or say with {.code variances = \"residual\"} that {.arg sd_y} and
           {.arg icc} are what the predictors leave."
    ))
  }
  left <- pmax(left, 0)
  list(
    sd_therapist = sqrt(left[["therapist"]]), sd_patient = sqrt(left[["patient"]]), sd_residual = sqrt(left[["session"]]),
    ar = a$autocorrelation[["y"]], explained = explained, varying = varying, left = left
  )
}

# The analysis -----------------------------------------------------------------------------------------------------------------------

analysis_options <- c(
  "time", "random_slope", "random_trend", "therapist", "random_slope_therapist", "split_therapist", "correlated", "detrend", "lagged_outcome", "REML"
)

study_analysis <- function(a) {
  given <- a$analysis
  if (!is.list(given) || length(given) && (is.null(names(given)) || !all(names(given) %in% analysis_options))) {
    abort_hlm("data", "{.arg analysis} must be a list with some of {.val {analysis_options}}.")
  }
  for (name in names(given)) check_flag(given[[name]], paste0("analysis$", name))
  split <- !is.null(a$n_therapists) && a$icc_x_therapist > 0 && !is.null(a$between)
  use <- list(
    time = any(c(a$trend_x, a$trend_y[c("mean", "sd")]) != 0) || !is.null(a$moderator_trend), random_slope = a$slope_sd > 0,
    random_trend = a$trend_y[["sd"]] > 0, therapist = !is.null(a$n_therapists), random_slope_therapist = a$slope_sd_therapist > 0,
    split_therapist = split, correlated = TRUE, detrend = FALSE, lagged_outcome = FALSE, REML = TRUE
  )
  use[names(given)] <- given
  check_analysis(a, use)
  use$lag <- a$lag
  use$fixed <- analysis_terms(a, use)
  use$random <- analysis_random(use)
  use$formula <- analysis_formula(use)
  use
}

check_analysis <- function(a, use) {
  no_therapists <- is.null(a$n_therapists)
  asked <- c("therapist", "random_slope_therapist", "split_therapist")
  asked <- asked[vapply(use[asked], isTRUE, NA)]
  if (no_therapists && length(asked)) abort_hlm("data", "{.code analysis = list({asked[[1L]]} = TRUE)} needs {.arg n_therapists}.")
  if (use$split_therapist && a$icc_x_therapist == 0) {
    abort_hlm("data", "{.code analysis = list(split_therapist = TRUE)} needs therapists who differ in x: give {.arg icc_x_therapist}.")
  }
  if (use$random_slope_therapist && !use$therapist) abort_hlm("data", "A slope that varies between therapists needs {.code analysis = list(therapist = TRUE)}.")
  if (is.null(a$within) && (use$random_slope || use$random_slope_therapist)) {
    abort_hlm("data", "A random slope of x needs the within effect in the model: give {.arg within}.")
  }
  if (!use$time && (use$random_trend || !is.null(a$moderator_trend))) {
    abort_hlm("data", "{.arg moderator_trend} and a random trend need time in the model: leave {.code time = FALSE} out of {.arg analysis}.")
  }
  if (use$detrend && a$n_sessions - a$lag < 3L) abort_hlm("data", "{.code detrend = TRUE} needs at least 3 sessions with x.")
  if (use$lagged_outcome && a$n_sessions < 3L) abort_hlm("data", "{.code lagged_outcome = TRUE} needs at least 3 sessions.")
}

# One row per coefficient, in hlm()'s order: key, parts (comma-separated) and hlm()'s name.
analysis_terms <- function(a, use) {
  x <- if (use$lag > 0L) paste0("x_lag", use$lag) else "x"
  w <- paste0(x, "_within")
  b <- paste0(x, "_between")
  rows <- list(
    intercept = c("", "(Intercept)"),
    time = if (use$time) c("time", "session"),
    lagged_outcome = if (use$lagged_outcome) c("y_lag", "y_lag1"),
    within = if (!is.null(a$within)) c("within", w),
    between = if (!is.null(a$between)) c("between", b),
    between_therapist = if (use$split_therapist) c("therapist", paste0(b, "_therapist")),
    moderator = if (!is.null(a$moderator) && !is.null(a$moderator_effect)) c("moderator", "moderator"),
    interaction = if (!is.null(a$interaction)) c("within,between", paste0(w, ":", b)),
    # within(x):between(x, level = "therapist") has both products
    interaction_therapist = if (!is.null(a$interaction) && use$split_therapist) c("within,therapist", paste0(w, ":", b, "_therapist")),
    moderation = if (!is.null(a$moderation)) c("within,moderator", paste0(w, ":moderator")),
    moderator_trend = if (!is.null(a$moderator_trend)) c("time,moderator", "session:moderator")
  )
  rows <- rows[!vapply(rows, is.null, NA)]
  data.frame(effect = names(rows), parts = vapply(rows, `[[`, "", 1L), term = vapply(rows, `[[`, "", 2L), row.names = NULL)
}

# Random-effect terms as the core takes them: coarsest factor last, parts of the columns.
analysis_random <- function(use) {
  structure <- if (use$correlated) "unstructured" else "diagonal"
  patient <- c(list(character()), if (use$random_slope) list("within"), if (use$random_trend) list("time"))
  terms <- list(list(group = "patient", columns = patient, structure = structure))
  if (use$therapist) {
    therapist <- c(list(character()), if (use$random_slope_therapist) list("within"))
    terms <- c(terms, list(list(group = "therapist", columns = therapist, structure = structure)))
  }
  terms
}

analysis_formula <- function(use) {
  x <- if (use$lag == 0L) "x" else if (use$lag == 1L) "lagged(x)" else paste0("lagged(x, n = ", use$lag, ")")
  detrend <- if (use$detrend) ", detrend = TRUE" else ""
  level <- if (use$split_therapist) ", level = \"therapist\"" else ""
  within <- paste0("within(", x, detrend, ")")
  between <- paste0("between(", x, detrend, level, ")")
  words <- c(
    intercept = "1", time = "session", lagged_outcome = "lagged(y)", within = within, between = between, moderator = "moderator",
    interaction = paste0(within, ":", between), moderation = paste0(within, ":moderator"),
    moderator_trend = "session:moderator"
  )
  used <- setdiff(use$fixed$effect, c("between_therapist", "interaction_therapist"))
  fixed <- if (length(used) > 1L) words[setdiff(used, "intercept")] else words[["intercept"]]
  bars <- vapply(use$random, function(term) {
    columns <- vapply(term$columns, function(part) switch(paste(part, collapse = ""), within = within, time = "session", "1"), "")
    paste0("(", paste(columns, collapse = " + "), if (term$structure == "diagonal" && length(columns) > 1L) " || " else " | ", term$group, ")")
  }, "")
  paste("y ~", paste(c(fixed, bars), collapse = " + "))
}
