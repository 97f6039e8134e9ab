# Checks of audit(): trends over time, and what they do to the association of predictor and outcome.

audit_checks_trend <- function() {
  list(
    audit_check("trend_predictor", "predictors have no trend", c("predictor", "time"), check_trend_predictor),
    audit_check("trend_outcome", "the outcome has no trend", c("outcome", "time"), check_trend_outcome),
    audit_check("own_trends", "persons share one trend", "time", check_own_trends),
    audit_check("common_trend", "a common trend does not carry the association", c("predictor", "outcome", "time"), check_common_trend)
  )
}

# One row per variable of that role with an average trend.
trend_table <- function(a, names) {
  do.call(rbind, lapply(names, function(name) {
    trend <- audit_trend(a, name)
    if (!has_average_trend(trend)) return(NULL)
    data.frame(
      variable = name, change = trend$change, in_sd = trend$change / trend$sd_within, per_unit = trend$change / trend$span, p = trend$p, span = trend$span
    )
  }))
}

# Three variables in full, the others by name.
with_few <- function(who, words) {
  rest <- who$variable[-(1:3)]
  c(words(utils::head(who, 3L)), if (length(rest)) paste0("Likewise: ", paste(rest, collapse = ", "), "."))
}

trend_words <- function(a, who) {
  with_few(who[order(-abs(who$in_sd)), , drop = FALSE], function(who) {
    paste0(
      who$variable, ifelse(who$change > 0, " rises", " falls"), " on average by ", audit_number(abs(who$change)), " from ", a$names$time, " ",
      audit_value(min(a$sessions$time)), " to ", audit_value(max(a$sessions$time)), " (", audit_number(abs(who$in_sd), 1L), " within-person SDs, ",
      audit_p(who$p), ").", collapse = " "
    )
  })
}

check_trend_predictor <- function(a) {
  names <- setdiff(predictors_of(a), a$names$detrended)
  who <- trend_table(a, names)
  if (is.null(who)) return(NULL)
  handled <- isTRUE(a$names$time_in_model)
  audit_finding(
    if (handled) "low" else "medium", "The predictor has a trend",
    c(trend_words(a, who),
      "A deviation from the person's mean is then partly early against late, and the person's mean depends on which sessions were attended."),
    paste(
      if (handled) "Time is in the model, which takes out the average trend." else "Decide by theory what the trend is.",
      "If change over time is part of the process, keep it (person means); if it is a nuisance, put time into the model or detrend",
      "(within(x, detrend = TRUE)). The authors disagree: report the result with and without."
    ),
    "Curran & Bauer 2011 (detrend); Wang & Maxwell 2015 (mostly not)", who
  )
}

check_trend_outcome <- function(a) {
  if (isTRUE(a$names$time_in_model)) return(NULL)
  who <- trend_table(a, outcomes_of(a))
  if (is.null(who)) return(NULL)
  audit_finding(
    if (is.null(a$fit)) "low" else "medium", "The outcome has a trend",
    c(trend_words(a, who), if (!is.null(a$fit)) "The model does not contain time.",
      "Whatever else goes up or down over time will look associated with it."),
    "Put time into the model (and a random slope for it, if persons differ), or say why the trend belongs to the effect.",
    "Falkenstr\u00f6m et al. 2017; Wang & Maxwell 2015", who
  )
}

check_own_trends <- function(a) {
  names <- setdiff(names(a$columns), a$names$detrended)
  if (isTRUE(a$names$time_slope)) names <- setdiff(names, outcomes_of(a))
  who <- do.call(rbind, lapply(names, function(name) {
    trend <- audit_trend(a, name)
    if (has_own_trends(trend)) {
      data.frame(variable = name, sd_change = trend$sd_change, average = trend$change, in_sd = trend$sd_change / trend$sd_within, p = trend$p_slopes)
    }
  }))
  if (is.null(who)) return(NULL)
  who <- who[order(-who$in_sd), , drop = FALSE]
  audit_finding(
    "medium", "Persons have trends of their own",
    with_few(who, function(who) paste0(who$variable, ": persons' changes over the whole time vary with SD ", audit_number(who$sd_change), " around ",
                                          audit_number(who$average),
           " (", audit_number(who$in_sd, 1L), " within-person SDs, ", audit_p(who$p), ").", collapse = " ")),
    paste("For the outcome add a random slope of time, (time | person); otherwise standard errors are too small. For the predictor decide whether the",
          "person's own trend is part of the within effect; compare with detrending."),
    "Curran & Bauer 2011; Falkenstr\u00f6m et al. 2017", who
  )
}

# A predictor that the model has only with its earlier value, that value.
as_in_model <- function(a, name) {
  x <- a$columns[[name]]
  if (name %in% setdiff(a$names$lagged_names, a$names$concurrent) && !is.na(a$grid$step)) audit_lag(a, x) else x
}

# The within-person correlation with and without each person's own line taken out of both.
check_common_trend <- function(a) {
  if (isTRUE(a$names$time_in_model) || length(a$names$detrended)) return(NULL)
  pairs <- expand.grid(predictor = predictors_of(a), outcome = outcomes_of(a), stringsAsFactors = FALSE)
  who <- do.call(rbind, lapply(seq_len(nrow(pairs)), function(k) {
    trends <- lapply(unlist(pairs[k, ]), function(name) audit_trend(a, name))
    if (!all(vapply(trends, function(t) has_average_trend(t) || has_own_trends(t), NA))) return(NULL)
    # the same rows for both numbers
    x <- as_in_model(a, pairs$predictor[[k]])
    y <- a$columns[[pairs$outcome[[k]]]]
    both <- !is.na(x) & !is.na(y)
    x[!both] <- NA
    y[!both] <- NA
    plain <- audit_cor(audit_centred(a, x), audit_centred(a, y))
    detrended <- audit_cor(audit_detrended(a, x), audit_detrended(a, y))
    if (is.na(plain) || is.na(detrended) || abs(plain) - abs(detrended) < 0.1) return(NULL)
    data.frame(pairs[k, ], within = plain, detrended = detrended)
  }))
  if (is.null(who)) return(NULL)
  audit_finding(
    if (any(abs(who$detrended) < 0.5 * abs(who$within))) "high" else "medium", "Part of the association is a common trend",
    paste0(who$predictor, " and ", who$outcome, " correlate ", audit_number(who$within), " within persons, ", audit_number(who$detrended),
           " once each person's trend is taken out of both.", collapse = " "),
    paste("Two things that change over the course of therapy correlate whether or not one acts on the other. Put time into the model, and report the effect",
          "with and without it."),
    "Falkenstr\u00f6m et al. 2017; Wang & Maxwell 2015", who
  )
}
