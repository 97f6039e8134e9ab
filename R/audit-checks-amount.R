# Checks of audit(): are there enough sessions for what the analysis wants to say about each person?

audit_checks_amount <- function() {
  list(
    audit_check("single_sessions", "every person has several sessions", character(), check_single_sessions),
    audit_check("too_few_for_trend", "enough sessions for each person's trend", "time", check_too_few_for_trend),
    audit_check("mean_reliability", "persons' means are reliable", character(), check_mean_reliability),
    audit_check("trend_reliability", "persons' trends are reliable", "time", check_trend_reliability)
  )
}

check_single_sessions <- function(a) {
  n <- tabulate(a$sessions$person, a$n_persons)
  alone <- which(n <= 1L)
  if (!length(alone)) return(NULL)
  share <- length(alone) / a$n_persons
  none <- sum(n == 0L)
  audit_finding(
    if (share > 0.2) "high" else if (share > 0.05) "medium" else "low", "Persons with one session or none",
    c(
      paste0(count_persons(length(alone)), " of ", a$n_persons, " (", audit_percent(share), "): ", audit_persons(a, alone), "."),
      if (none) paste0(none, " of them ", if (none == 1L) "has" else "have", " no value at all."), "They say nothing about change within persons."
    ),
    "They stay in the model and help to estimate effects between persons; report the number of persons behind the within effect.",
    "Raudenbush & Bryk 2002, ch. 3", data.frame(person = a$person_labels[alone], sessions = n[alone])
  )
}

check_too_few_for_trend <- function(a) {
  n <- tabulate(a$sessions$person, a$n_persons)
  few <- which(n < 3L)
  # persons with a single session have a finding of their own
  if (!any(n == 2L)) return(NULL)
  share <- length(few) / a$n_persons
  audit_finding(
    if (share > 0.2) "medium" else "low", "Too few sessions for a trend of one's own",
    paste0(count_persons(length(few)), " (", audit_percent(share), ") ", if (length(few) == 1L) "has" else "have", " fewer than three sessions: ",
           audit_persons(a, few), ". A straight line through two points leaves nothing over."),
    "Detrending (detrend = TRUE) makes their deviations zero or leaves them out; take time as a covariate instead, or compare results without them.",
    "Curran & Bauer 2011; Wang & Maxwell 2015", data.frame(person = a$person_labels[few], sessions = n[few])
  )
}

check_mean_reliability <- function(a) {
  who <- do.call(rbind, lapply(names(a$columns)[a$role == "predictor"], function(name) {
    icc <- audit_icc(a, name)
    # hardly any variance between persons is a finding of its own
    if (is.null(icc) || icc$icc < 0.05 || icc$reliability >= 0.7) return(NULL)
    data.frame(variable = name, reliability = icc$reliability)
  }))
  if (is.null(who)) return(NULL)
  sizes <- tabulate(a$sessions$person, a$n_persons)
  audit_finding(
    if (min(who$reliability) < 0.5) "high" else "medium", "Persons' means are unreliable",
    paste0(paste0("The mean of ", who$variable, " has a reliability of ", audit_number(who$reliability), collapse = "; "), " (",
           audit_value(stats::median(sizes[sizes > 0L])), " sessions per person, median). The between effect is pulled towards the within effect by it."),
    "Correct the between effect for it (between_correction(fit)), and do not interpret a difference of within and between before.",
    "L\u00fcdtke et al. 2008; Bliese 2000", who
  )
}

# Only where somebody would want to detrend: persons have trends of their own, or the model takes them out.
check_trend_reliability <- function(a) {
  who <- do.call(rbind, lapply(names(a$columns), function(name) {
    trend <- audit_trend(a, name)
    wanted <- name %in% a$names$detrended || a$role[[name]] == "predictor" && (has_average_trend(trend) || has_own_trends(trend))
    if (is.null(trend) || !wanted || is.na(trend$reliability) || trend$reliability >= 0.5) return(NULL)
    data.frame(variable = name, reliability = trend$reliability)
  }))
  if (is.null(who)) return(NULL)
  detrends <- any(who$variable %in% a$names$detrended)
  audit_finding(
    if (detrends) "medium" else "low", "Persons' own trends are unreliable",
    paste0(paste0("The slope of ", who$variable, " over time has a reliability of ", audit_number(who$reliability), collapse = "; "),
           ": most of the difference between persons' slopes is noise, and taking out each person's line takes out true deviations with it."),
    paste0(
      "Prefer time as a covariate to detrending person by person, and show the result with and without", if (detrends) " (the model detrends)", "."
    ),
    "Falkenstr\u00f6m et al. 2017; Wang & Maxwell 2015", who
  )
}
