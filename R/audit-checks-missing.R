# Checks of audit(): missing values, missing sessions, dropout.

audit_checks_missing <- function() {
  list(
    audit_check("missing_values", "hardly any missing values in sessions that took place", character(), check_missing_values),
    audit_check("schedule", "every variable is measured in every session", "time", check_schedule),
    audit_check("gaps", "no missed sessions in between", "regular", check_gaps),
    audit_check("gap_related", "missed sessions do not follow high or low values", "regular", check_gap_related),
    audit_check("dropout", "persons stay to the end", "time", check_dropout),
    audit_check("dropout_related", "dropout does not follow high or low values", "time", check_dropout_related)
  )
}

# Of the sessions that took place: a missed session is not a missing item.
check_missing_values <- function(a) {
  if (length(a$columns) < 2L) return(NULL)
  rows <- a$sessions$rows
  off <- off_schedule(a)
  share <- vapply(names(a$columns), function(name) {
    due <- rows[!a$time[rows] %in% off[[name]]]
    mean(is.na(a$columns[[name]][due]))
  }, 0)
  often <- sort(share[share > 0.05], decreasing = TRUE)
  if (!length(often)) return(NULL)
  complete <- Reduce(`&`, lapply(a$columns, function(x) !is.na(x[rows])))
  audit_finding(
    if (often[[1L]] > 0.3) "high" else if (often[[1L]] > 0.1) "medium" else "low", "Missing values in sessions that took place",
    c(paste0(audit_list(paste0(names(often), " is missing in ", audit_percent(often))), " of the ",
             format(length(rows), big.mark = ","), " sessions with any value."),
      paste0("A model with all of them keeps ", audit_percent(mean(complete)), lag_words(a), ".")),
    paste("Say why values are missing and how many rows each model loses. A missing outcome is handled by maximum likelihood if missing at random;",
          "a missing predictor costs the row: consider multiple imputation that respects the levels."),
    "Enders 2022; Grund et al. 2018", data.frame(variable = names(share), missing = share, row.names = NULL)
  )
}

# Times at which hardly anybody has a value of a variable: it was not to be measured then.
off_schedule <- function(a) {
  if (is.null(a$time) || !a$time_usable || length(a$grid$times) > 100L) return(list())
  rows <- a$sessions$rows
  time <- match(a$sessions$time, a$grid$times)
  there <- tabulate(time, length(a$grid$times))
  off <- lapply(a$columns, function(x) a$grid$times[there >= 5L & tabulate(time[!is.na(x[rows])], length(a$grid$times)) < 0.05 * there])
  Filter(length, off)
}

check_schedule <- function(a) {
  off <- off_schedule(a)
  if (!length(off)) return(NULL)
  words <- vapply(names(off), function(name) {
    paste0(name, " was measured at ", a$names$time, " ", show_some(audit_value(setdiff(a$grid$times, off[[name]])), 8L), " only")
  }, "")
  audit_finding(
    "medium", "Not measured in every session", paste0(paste(words, collapse = "; "), "."),
    paste("A model with all variables has only the sessions in which all were planned, and a lag of one session may not exist. Choose the times that the",
          "question needs, or number the planned measurements."),
    "Singer & Willett 2003, ch. 5", data.frame(variable = rep(names(off), lengths(off)), time = unlist(off, use.names = FALSE))
  )
}

# What is left for an outcome and the predictor one session before, of all neighbouring pairs that the persons' sessions would give.
lag_words <- function(a) {
  if (!a$time_usable || !a$grid$regular || !any(a$role == "outcome") || !any(a$role == "predictor")) return("")
  y <- a$columns[[outcomes_of(a)[[1L]]]]
  x <- audit_lag(a, a$columns[[predictors_of(a)[[1L]]]])
  rows <- a$sessions$rows
  later <- rows[-1L][a$sessions$person[-1L] == a$sessions$person[-length(rows)]]
  if (!length(later)) return("")
  paste0("; one of ", outcomes_of(a)[[1L]], " on ", predictors_of(a)[[1L]], " of the session before keeps ",
         audit_percent(mean(!is.na(y[later]) & !is.na(x[later]))), " of the pairs of sessions")
}

# Sessions of each person on the common grid: position of the first, the last, how many between are missing.
audit_gaps <- function(a) {
  place <- match(a$sessions$time, a$grid$times)
  n <- length(place)
  last <- c(a$sessions$person[-1L] != a$sessions$person[-n], TRUE)
  first <- c(TRUE, last[-n])
  person <- a$sessions$person[first]
  observed <- tabulate(a$sessions$person, a$n_persons)[person]
  expected <- place[last] - place[first] + 1L
  list(person = person, expected = expected, missed = expected - observed)
}

check_gaps <- function(a) {
  gaps <- audit_gaps(a)
  missed <- sum(gaps$missed)
  rows <- a$sessions$rows
  later <- rows[-1L][a$sessions$person[-1L] == a$sessions$person[-length(rows)]]
  # nights and other times that nobody has are no gaps
  later <- later[time_key(a$time[later] - a$grid$step) %in% a$grid$times]
  lagged <- audit_lag(a, as.double(a$seen))[later]
  lost <- mean(is.na(lagged) | lagged == 0)
  if (missed == 0L || missed / sum(gaps$expected) < 0.01) return(NULL)
  persons <- gaps$person[gaps$missed > 0L]
  audit_finding(
    if (lost > 0.25) "high" else if (lost > 0.1) "medium" else "low", "Missed sessions in between",
    c(
      paste0(count(missed, "session"), " between a person's first and last ", if (missed == 1L) "is" else "are", " missing (",
             audit_percent(missed / sum(gaps$expected)), "), in ", count_persons(length(persons)), "."),
      paste0("A lag by time loses ", audit_percent(lost), " of the pairs of sessions; a lag by row would take older values for them.")
    ),
    "Lag by time (lagged(x) does), report the number of pairs analysed, and compare with a model that imputes or filters the missed sessions.",
    "Falkenstr\u00f6m et al. 2017",
    data.frame(person = a$person_labels[gaps$person], expected = gaps$expected, missed = gaps$missed)[gaps$missed > 0L, ]
  )
}

# A session was the last one before the end: did it leave early? The end is the last time of the grid that at least two persons reach.
audit_dropout <- function(a) {
  n <- length(a$sessions$time)
  last <- c(a$sessions$person[-1L] != a$sessions$person[-n], TRUE)
  ends <- a$sessions$time[last]
  end <- if (length(ends) > 4L) sort(ends, decreasing = TRUE)[[2L]] else max(ends)
  slack <- if (a$grid$regular) 0 else 1.5 * (a$grid$step %|na|% 0)
  list(last = last, ends = ends, end = end, early = ends < end - slack - 1e-8, person = a$sessions$person[last])
}

`%|na|%` <- function(x, y) if (is.na(x)) y else x

check_dropout <- function(a) {
  d <- audit_dropout(a)
  share <- mean(d$early)
  if (share < 0.05 || sum(d$early) < 2L) return(NULL)
  half <- stats::quantile(d$ends[d$early], 0.5, names = FALSE, type = 1L)
  thirds <- stats::quantile(unique(a$grid$times), c(1 / 3, 2 / 3), names = FALSE)
  soon <- mean(d$ends[d$early] <= thirds[[1L]])
  span <- max(d$end - min(a$grid$times), 1e-8)
  lost <- mean(pmax(d$end - d$ends, 0)) / span
  audit_finding(
    if (lost > 0.2) "high" else if (lost > 0.07) "medium" else "low", "Persons who stop before the end",
    c(
      paste0("For ", sum(d$early), " of ", count_persons(length(d$early)), " (", audit_percent(share), ") the last value comes before ", a$names$time, " ",
             audit_value(d$end), ", where the others end."),
      paste0("Half of them stop by ", a$names$time, " ", audit_value(half), "; ", audit_percent(soon), " in the first third. ",
        audit_percent(lost), " of the time is lost by it.")
    ),
    paste("Separate planned endings from dropout, show the curve (plot(audit, \"dropout\")), and put variables that predict leaving into the model.",
          "Estimates assume that dropout depends only on what the model contains; check with a pattern-mixture model",
          "(dropout or its session as a moderator of the effect)."),
    "Hedeker & Gibbons 1997; Enders 2011",
    data.frame(person = a$person_labels[d$person], last = d$ends, early = d$early)[d$early, ]
  )
}

check_dropout_related <- function(a) {
  d <- audit_dropout(a)
  if (sum(d$early) < 10L) return(NULL)
  event <- replace(rep(FALSE, length(d$last)), which(d$last)[d$early], TRUE)
  # whoever reached the end is no longer at risk there
  risk <- !(d$last & !replace(d$last, which(d$last), d$early))
  tests <- hazard_tests(a, event, risk)
  if (is.null(tests)) return(NULL)
  audit_finding(
    if (max(abs(log(tests$odds_ratio))) > log(1.5)) "high" else "medium", "Dropout depends on what was measured before",
    hazard_words(tests, "that this session is a person's last"),
    paste("Do not treat dropout as random. Keep the predictors of leaving in the model (then missing at random is plausible), use all sessions of those who",
          "left, and report how the effect changes in a pattern-mixture or selection model."),
    "Hedeker & Gibbons 1997; Enders 2011", tests
  )
}

# The next session of the grid is missed though the person comes back.
check_gap_related <- function(a) {
  place <- match(a$sessions$time, a$grid$times)
  n <- length(place)
  same <- c(a$sessions$person[-1L] == a$sessions$person[-n], FALSE)
  event <- same & c(place[-1L] - place[-n] > 1L, FALSE)
  if (sum(event) < 10L) return(NULL)
  tests <- hazard_tests(a, event, same)
  if (is.null(tests)) return(NULL)
  audit_finding(
    "medium", "Missed sessions depend on what was measured before", hazard_words(tests, "that the next session is missed"),
    "Put the variable (lagged, and the person's mean) into the model, and say that sessions are not missing completely at random.",
    "Enders 2022; Little & Rubin 2019", tests
  )
}

# Discrete-time logistic models of the event after a session, on time and one feature of the course so far each; features whose test
# survives Holm's correction at .01. (Singer & Willett 2003, ch. 11.)
hazard_tests <- function(a, event, risk) {
  rows <- a$sessions$rows
  features <- unlist(lapply(names(a$columns), function(name) {
    x <- a$columns[[name]][rows]
    mean_so_far <- running_mean(x, a$sessions$person)
    first <- x[match(a$sessions$person, a$sessions$person)]
    stats::setNames(list(x, mean_so_far, x - first), paste0(name, c(" at the session", ", average so far", ", change since the first session")))
  }), recursive = FALSE)
  variable <- rep(names(a$columns), each = 3L)
  tests <- do.call(rbind, lapply(seq_along(features), function(k) {
    test <- hazard_test(event, a$sessions$time, features[[k]], risk, names(features)[[k]])
    if (!is.null(test)) cbind(variable = variable[[k]], test)
  }))
  if (is.null(tests)) return(NULL)
  found <- tests[stats::p.adjust(tests$p, "holm") < 0.01 & abs(log(tests$odds_ratio)) > log(1.15), , drop = FALSE]
  # the clearest feature of each variable
  found <- found[order(found$p), , drop = FALSE]
  found <- found[!duplicated(found$variable), , drop = FALSE]
  if (nrow(found)) found
}

hazard_test <- function(event, time, x, risk, name) {
  use <- risk & !is.na(x)
  if (sum(event[use]) < 10L || sum(!event[use]) < 10L || stats::sd(x[use]) < 1e-8) return(NULL)
  z <- (x[use] - mean(x[use])) / stats::sd(x[use])
  t <- time[use] - mean(time[use])
  t <- t / max(abs(t), 1e-8)
  fit <- suppressWarnings(stats::glm.fit(cbind(1, t, t^2, z), as.double(event[use]), family = stats::binomial()))
  if (!fit$converged) return(NULL)
  class(fit) <- "glm"
  table <- stats::summary.glm(fit)$coefficients
  if (!"z" %in% rownames(table)) return(NULL)
  data.frame(feature = name, odds_ratio = exp(table["z", 1L]), p = table["z", 4L])
}

# Mean of the person's values up to each row; missing where there is none yet.
running_mean <- function(x, person) {
  first <- match(person, person)
  known <- cumsum(!is.na(x))
  total <- cumsum(ifelse(is.na(x), 0, x))
  base_known <- c(0, known)[first]
  base_total <- c(0, total)[first]
  ifelse(known > base_known, (total - base_total) / (known - base_known), NA)
}

hazard_words <- function(tests, what) {
  one <- utils::head(tests, 2L)
  change <- ifelse(one$odds_ratio > 1, "raises", "lowers")
  c(
    paste0("One SD more of ", one$feature, " ", change, " the odds ", what, " by a factor of ", audit_number(one$odds_ratio), " (",
           audit_p(one$p), ").", collapse = " "),
    if (nrow(tests) > 2L) paste0("Likewise: ", paste(tests$variable[-(1:2)], collapse = ", "), ".")
  )
}
