# A design as the simulation core takes it: the study to draw (core_study's `study`) and the model to fit (`analysis`); the table of effects.

# One row per quantity that power_hlm() reports: coefficients, the contextual difference, variances of random effects.
study_effects <- function(truth, analysis) {
  terms <- analysis$fixed
  value <- vapply(terms$effect, function(name) true_effect(name, truth), 0)
  table <- data.frame(
    effect = terms$effect, term = terms$term, label = effect_labels[terms$effect], truth = unname(value), kind = "coefficient", row.names = NULL,
    stringsAsFactors = FALSE
  )
  if (all(c("within", "between") %in% terms$effect)) {
    table <- rbind(table, data.frame(
      effect = "contextual", term = paste(terms$term[terms$effect == "between"], "-", terms$term[terms$effect == "within"]),
      label = effect_labels[["contextual"]], truth = value[["between"]] - value[["within"]], kind = "contrast"
    ))
  }
  rbind(table, variance_effects(truth, analysis))
}

effect_labels <- c(
  intercept = "Intercept", time = "Change per session", lagged_outcome = "Outcome of the session before", within = "Within-patient effect of x",
  between = "Between-patient effect of x", between_therapist = "Between-therapist effect of x", moderator = "Effect of the moderator",
  interaction = "Interaction within x between", interaction_therapist = "Interaction within x therapist's mean",
  moderation = "Moderation of the within effect", moderator_trend = "Moderator x session", contextual = "Contextual difference (between - within)",
  slope_sd = "SD of the within effect (patients)", slope_sd_therapist = "SD of the within effect (therapists)", trend_sd = "SD of the change per session",
  sd_therapist = "SD of therapists"
)

true_effect <- function(name, truth) {
  switch(name,
    intercept = 0,
    # autocorrelated residuals are not the model with an earlier outcome: its coefficient has no true value then
    lagged_outcome = if (truth$y$ar == 0) 0 else NA_real_,
    between_therapist = truth$effects$therapist,
    interaction_therapist = truth$effects$interaction,
    truth$effects[[name]]
  )
}

# Variances that a likelihood ratio test can take out of the model, one column at a time as ranova() does.
variance_effects <- function(truth, analysis) {
  rows <- lapply(reducible_columns(analysis$random), function(place) {
    name <- variance_name(place)
    sd <- switch(name,
      slope_sd = truth$slope_sd, slope_sd_therapist = truth$slope_sd_therapist, trend_sd = truth$trend_y[["sd"]], sd_therapist = truth$y$sd_therapist
    )
    data.frame(effect = name, term = place$term, label = effect_labels[[name]], truth = sd, kind = "variance")
  })
  do.call(rbind, rows)
}

variance_name <- function(place) {
  part <- paste(place$part, collapse = "")
  if (part == "time") return("trend_sd")
  if (part == "within") return(if (place$group == "patient") "slope_sd" else "slope_sd_therapist")
  "sd_therapist"
}

# Slopes always; an intercept only when it is alone in its term and another term remains.
reducible_columns <- function(random) {
  places <- list()
  for (t in seq_along(random)) {
    term <- random[[t]]
    alone <- length(term$columns) == 1L
    for (k in seq_along(term$columns)) {
      part <- term$columns[[k]]
      if (!length(part) && !(alone && length(random) > 1L && term$group == "therapist")) next
      label <- if (!length(part)) "(Intercept)" else if (part == "time") "session" else "x_within"
      places <- c(places, list(list(t = t, k = k, group = term$group, part = part, term = paste0("sd_", label, "|", term$group))))
    }
  }
  places
}

reduced_random <- function(random, place) {
  if (length(random[[place$t]]$columns) == 1L) return(random[-place$t])
  random[[place$t]]$columns <- random[[place$t]]$columns[-place$k]
  random
}

# Degrees of freedom that come with certainty (covariances of the column dropped), the variance itself is a mixture.
covariances_dropped <- function(random, place) {
  term <- random[[place$t]]
  if (term$structure == "diagonal") 0L else length(term$columns) - 1L
}

# What the core is told --------------------------------------------------------------------------------------------------------------

study_core <- function(study) {
  truth <- study$truth
  n <- truth$n_sessions
  moderator <- truth$moderator %||% list(kind = "none", share = 0, low = 0, high = 0)
  list(
    patients = truth$n_patients, therapists = truth$n_therapists %||% 0L, times = as.double(seq_len(n) - 1L),
    x = lapply(truth$x, as.double), moderator = moderator[c("kind", "share", "low", "high")],
    dropout = as.double(study_hazards(truth)), dropout_y = log(truth$dropout$odds), missing = as.double(truth$missing), lag = truth$lag,
    fixed = true_fixed(truth), random = true_random(truth), residual = list(sd = truth$y$sd_residual, ar = truth$y$ar)
  )
}

# Where dropout depends on the outcome, hazards for an average last outcome at which as many leave as the words say. Outcomes of the patients still there are no
# longer those of all: followed here through the sessions for many patients with the design's ICC, who count as much as they are likely to have stayed.
study_hazards <- function(truth, draws = 4000L) {
  hazards <- dropout_hazards(truth$dropout, truth$n_sessions)
  slope <- log(truth$dropout$odds)
  if (slope == 0 || truth$n_sessions < 2L || all(hazards[-1L] == 0)) return(hazards)
  y <- truth$y
  between <- sum((y$explained + y$left)[c("patient", "therapist")])
  share <- between / (sum(y$explained) + sum(y$left) + y$varying)
  n <- truth$n_sessions
  noise <- keep_seed(1L, list(person = stats::rnorm(draws), session = matrix(stats::rnorm(draws * n), draws)))
  z <- sqrt(share) * noise$person + sqrt(1 - share) * noise$session
  weight <- rep(1, draws)
  for (k in seq_len(n)[-1L]) {
    if (hazards[[k]] <= 0) next
    leave <- function(base) stats::plogis(base + slope * z[, k - 1L])
    excess <- function(base) stats::weighted.mean(leave(base), weight) - hazards[[k]]
    base <- stats::uniroot(excess, stats::qlogis(hazards[[k]]) + c(-8, 8) * max(1, abs(slope)))$root
    hazards[[k]] <- stats::plogis(base)
    weight <- weight * (1 - leave(base))
  }
  hazards
}

true_fixed <- function(truth) {
  parts <- list(
    time = "time", within = "within", between = "between", therapist = "therapist", moderator = "moderator", interaction = c("within", "between"),
    moderation = c("within", "moderator"), moderator_trend = c("time", "moderator")
  )
  effects <- truth$effects
  fixed <- lapply(names(effects), function(name) list(parts = parts[[name]], value = as.double(effects[[name]])))
  # the within effect depends on the patient's own level, of which the therapist's mean is a part
  if (!is.null(effects$interaction) && truth$x$sd_therapist > 0) {
    fixed <- c(fixed, list(list(parts = c("within", "therapist"), value = as.double(effects$interaction))))
  }
  c(list(list(parts = character(), value = 0)), fixed)
}

true_random <- function(truth) {
  sd <- c(truth$y$sd_patient, truth$slope_sd, truth$trend_y[["sd"]])
  correlation <- diag(3L)
  correlation[1L, 2L] <- correlation[2L, 1L] <- truth$slope_cor
  correlation[1L, 3L] <- correlation[3L, 1L] <- truth$trend_y[["cor"]]
  columns <- list(character(), "within", "time")
  used <- c(TRUE, sd[-1L] > 0)
  if (min(eigen(correlation, symmetric = TRUE, only.values = TRUE)$values) < 1e-8) {
    abort_hlm("data", "{.arg slope_cor} and the {.field cor} of {.arg trend_y} contradict each other: no three effects can be correlated like that.")
  }
  random <- list(list(group = "patient", columns = columns[used], root = covariance_root(sd[used], correlation[used, used, drop = FALSE])))
  if (!is.null(truth$n_therapists)) {
    sd <- c(truth$y$sd_therapist, truth$slope_sd_therapist)
    used <- c(TRUE, sd[[2L]] > 0)
    random <- c(random, list(list(group = "therapist", columns = columns[1:2][used], root = covariance_root(sd[used], diag(sum(used))))))
  }
  random
}

covariance_root <- function(sd, correlation) sd * t(chol(correlation))

# `contrasts`: rows of the contextual difference, which follow the coefficients in what the core returns.
analysis_core <- function(study, variance_tests = TRUE) {
  use <- study$analysis
  parts <- function(text) if (nzchar(text)) strsplit(text, ",", fixed = TRUE)[[1L]] else character()
  places <- if (variance_tests) reducible_columns(use$random) else list()
  list(
    split = if (use$detrend) "detrend" else "mean", lag = use$lag, fixed = lapply(use$fixed$parts, parts), random = use$random, reml = use$REML,
    reduced = lapply(places, function(place) reduced_random(use$random, place))
  )
}

study_contrasts <- function(study) {
  terms <- study$analysis$fixed$effect
  if (!any(study$effects$effect == "contextual")) return(NULL)
  l <- matrix(0, 1L, length(terms))
  l[1L, match(c("between", "within"), terms)] <- c(1, -1)
  l
}
