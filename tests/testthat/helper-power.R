# A second simulator of planned studies, in plain R, written independently of the core's: what the lme4 loops of
# data-raw/fixtures/power.R analyse, and what the core's studies are held against.

# study: as study_core() gives it. Data frame patient, therapist, session, time, x, y, moderator; missed sessions are left out.
r_study_data <- function(study) {
  n <- study$patients
  s <- length(study$times)
  x <- study$x
  therapist <- if (study$therapists > 0) ceiling(seq_len(n) * study$therapists / n) else rep(1L, n)
  x_therapist <- if (study$therapists > 0) stats::rnorm(study$therapists, sd = x$sd_therapist)[therapist] else numeric(n)
  x_person <- stats::rnorm(n, sd = x$sd_between)
  # deviations, `lag` sessions longer to have x before the first session
  total <- s + study$lag
  within <- matrix(stats::rnorm(n * total, sd = x$sd_within), n)
  for (k in seq_len(total)[-1L]) within[, k] <- x$ar * within[, k - 1L] + sqrt(1 - x$ar^2) * within[, k]
  trend <- stats::rnorm(n, x$trend, x$trend_sd)
  # a person's mean is that of the middle of the planned sessions
  now <- within[, study$lag + seq_len(s), drop = FALSE]
  before <- within[, seq_len(s), drop = FALSE]
  observed <- x_therapist + x_person + now + outer(trend, study$times - mean(study$times)) + matrix(stats::rnorm(n * s, sd = x$error_sd), n)
  m <- switch(study$moderator$kind,
    none = numeric(n), normal = stats::rnorm(n),
    binary = ifelse(sample(n) <= round(n * study$moderator$share), study$moderator$high, study$moderator$low)
  )
  time <- matrix(study$times, n, s, byrow = TRUE)
  parts <- list(within = before, between = matrix(x_person, n, s), therapist = matrix(x_therapist, n, s), moderator = matrix(m, n, s), time = time)
  part <- function(names) Reduce(`*`, parts[names], matrix(1, n, s))
  mean <- matrix(0, n, s)
  for (term in study$fixed) mean <- mean + term$value * part(term$parts)
  y <- mean
  for (term in study$random) {
    unit <- if (term$group == "patient") seq_len(n) else therapist
    u <- matrix(stats::rnorm(max(unit) * length(term$columns)), ncol = length(term$columns)) %*% t(term$root)
    for (k in seq_along(term$columns)) y <- y + u[unit, k] * part(term$columns[[k]])
  }
  e <- matrix(stats::rnorm(n * s, sd = study$residual$sd), n)
  for (k in seq_len(s)[-1L]) e[, k] <- study$residual$ar * e[, k - 1L] + sqrt(1 - study$residual$ar^2) * e[, k]
  y <- y + e
  there <- matrix(TRUE, n, s)
  for (k in seq_len(s)) {
    if (study$dropout_y != 0) stop("dropout that depends on the outcome is the core's own")
    stays <- stats::runif(n) >= study$dropout[[k]]
    there[, k] <- stays & (if (k == 1L) TRUE else there[, k - 1L])
  }
  came <- there & stats::runif(n * s) >= study$missing
  d <- data.frame(
    patient = rep(seq_len(n), s), therapist = rep(therapist, s), session = rep(seq_len(s), each = n), time = rep(study$times, each = n),
    x = as.double(observed), y = as.double(y), moderator = rep(m, s)
  )
  d <- d[as.logical(came), ]
  d[order(d$patient, d$session), ]
}

# Columns as the analysis has them: list(x = matrix of fixed effects, z = named columns, y, patient, therapist), from means over the analysed rows.
r_study_columns <- function(d, analysis) {
  if (analysis$lag > 0L) {
    key <- paste(d$patient, d$session)
    d$x <- d$x[match(paste(d$patient, d$session - analysis$lag), key)]
    d <- d[!is.na(d$x), ]
  }
  grand <- function(value, unit) mean(value[!duplicated(unit)])
  m <- stats::ave(d$x, d$patient)
  within <- d$x - m
  split <- "therapist" %in% unlist(analysis$fixed)
  if (split) {
    first <- !duplicated(d$patient)
    of_therapist <- tapply(m[first], d$therapist[first], mean)[as.character(d$therapist)]
    between <- m - of_therapist
    # each therapist's mean as a deviation from the mean over patients
    therapist <- as.double(of_therapist) - grand(m, d$patient)
  } else {
    between <- m - grand(m, d$patient)
    therapist <- numeric(nrow(d))
  }
  parts <- list(within = within, between = as.double(between), therapist = therapist, time = d$time, moderator = d$moderator)
  column <- function(names) Reduce(`*`, parts[names], rep(1, nrow(d)))
  x <- vapply(analysis$fixed, column, numeric(nrow(d)))
  list(x = x, parts = parts, y = d$y, patient = d$patient, therapist = d$therapist)
}
