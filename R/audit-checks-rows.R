# Checks of audit(): rows, ids and times.

audit_checks_rows <- function() {
  list(
    audit_check("missing_ids", "every row names its person and session", character(), check_missing_ids),
    audit_check("similar_ids", "no ids that differ only in case or blanks", character(), check_similar_ids),
    audit_check("reused_ids", "ids are not used again", "level", check_reused_ids),
    audit_check("duplicate_rows", "one row per person and session", character(), check_duplicate_rows),
    audit_check("text_times", "sessions are numbers or dates", character(), check_text_times),
    audit_check("date_times", "sessions are counted, not dated", character(), check_date_times),
    audit_check("row_order", "rows stand in the order of time", character(), check_row_order),
    audit_check("hand_lag", "no lag made by row", "time", check_hand_lag)
  )
}

check_missing_ids <- function(a) {
  no_person <- length(a$lost$person)
  # a time in words is a finding of its own
  time <- a$lost$time[is.na(a$time_raw[a$lost$time])]
  no_time <- length(setdiff(time, a$lost$person))
  if (no_person + no_time == 0L) return(NULL)
  rows <- a$all_labels[sort(unique(c(a$lost$person, time)))]
  what <- c(if (no_person) paste(count(no_person, "row"), "without", a$names$id), if (no_time) paste(count(no_time, "row"), "without", a$names$time))
  audit_finding(
    if (length(rows) > 0.05 * a$n_rows) "high" else "medium", "Rows that belong to nobody or to no session",
    c(paste0(audit_list(what), " (rows ", show_some(rows), ")."), "They are not part of what follows."),
    paste0("Look the values up in the source. A model leaves these rows out; a lag cannot find them."), "Broman & Woo 2018",
    data.frame(row = rows)
  )
}

# Ids that become the same once blanks and case are ignored: one person counted as two.
check_similar_ids <- function(a) {
  sets <- c(list(a$person_labels), lapply(a$levels, `[[`, "levels"))
  names(sets) <- c(a$names$id, names(a$levels))
  pairs <- lapply(names(sets), function(name) {
    plain <- tolower(gsub("[[:space:]]+", "", sets[[name]]))
    twin <- plain %in% plain[duplicated(plain)]
    if (any(twin)) data.frame(variable = name, id = sets[[name]][twin], same = plain[twin])[order(plain[twin]), ]
  })
  who <- do.call(rbind, pairs)
  if (is.null(who)) return(NULL)
  row.names(who) <- NULL
  shown <- vapply(split(who$id, paste(who$variable, who$same)), function(ids) paste0("\"", ids, "\"", collapse = " and "), "")
  audit_finding(
    "high", "Ids that differ only in case or blanks",
    paste0(
      count(length(shown), "id"), " in more than one spelling: ", show_some(shown, 3L), ". Each spelling counts as a person (or therapist) of its own, ",
      "so a course is torn in two and its lags are lost."
    ),
    paste0("Write each id in one way, for example with trimws(toupper(", who$variable[[1L]], ")), and read the data again."), "Broman & Woo 2018", who
  )
}

# Patient 1 of one therapist and patient 1 of the next: the numbering starts again, or rows of one session disagree about the therapist.
check_reused_ids <- function(a) {
  for (name in names(a$levels)) {
    level <- a$levels[[name]]
    spread <- audit_spread(a, level)
    if (!length(spread$persons)) next
    cell <- engine_group_codes(ifelse(level$codes > 0L, (a$person - 1) * length(level$levels) + level$codes, NA))$first
    cell <- cell[level$codes[cell] > 0L]
    person <- list(codes = a$person, levels = a$person_labels)
    restarts <- length(spread$persons) > 0.3 * a$n_persons && length(level$levels) > 2L && restart_share(person, level, cell) >= 0.8 &&
      length(cell) < 0.9 * a$n_persons * length(level$levels)
    # rows of the same session with different therapists
    same_time <- a$twice[level$codes[a$twice] != level$codes[pmax(a$twice - 1L, 1L)]]
    shared <- unique(a$person[same_time])
    if (!restarts && !length(shared)) next
    codes <- if (restarts) spread$persons else shared
    return(audit_finding(
      "high", paste("Ids used again in another", name),
      c(
        if (restarts) paste0("The numbers of ", a$names$id, " start again at 1 in nearly every ", name, ": ", a$n_persons, " ids would be ",
                             length(cell), " persons."),
        if (length(shared)) paste0(count_persons(length(shared)), " (", audit_persons(a, shared), ") ", if (length(shared) == 1L) "has" else "have",
                                   " rows of the same session in more than one ", name, "."),
        "Different people are then taken for one."
      ),
      paste0("If each ", name, " has its own patients, name the person by both: id = ", name, ":", a$names$id, ", and write (1 | ", name, "/", a$names$id,
             ") in the model."),
      "Hox et al. 2018, ch. 2", data.frame(person = a$person_labels[sort(codes)])
    ))
  }
  NULL
}

# Persons found in several units of a level.
audit_spread <- function(a, level) {
  known <- level$codes > 0L
  first <- match(seq_len(a$n_persons), a$person[known])
  moved <- level$codes[known] != level$codes[known][first][a$person[known]]
  list(persons = unique(a$person[known][moved]))
}

check_duplicate_rows <- function(a) {
  # with different therapists they are ids used again
  other <- lapply(a$levels, function(level) level$codes[a$twice] != level$codes[a$twice - 1L])
  if (length(other)) a$twice <- a$twice[!Reduce(`|`, other)]
  if (!length(a$twice)) return(NULL)
  columns <- a$columns
  same <- Reduce(`&`, lapply(columns, function(x) {
    one <- x[a$twice]
    two <- x[a$twice - 1L]
    (is.na(one) & is.na(two)) | (!is.na(one) & !is.na(two) & one == two)
  }))
  who <- data.frame(person = a$person_labels[a$person[a$twice]], time = a$time[a$twice], row = a$label[a$twice], copy = same)
  persons <- unique(a$person[a$twice])
  helper <- duplicate_helper(a)
  copies <- sum(same)
  audit_finding(
    "high", "Several rows for the same person and session",
    c(
      paste0(count(length(a$twice), "row"), " too many (", count_persons(length(persons)), ": ", audit_persons(a, persons), "); ",
             if (length(same) == 1L) "it" else paste(if (copies == length(same)) "all" else copies, "of them"),
             if (copies == 0L && length(same) == 1L) " has other values than" else if (copies == 1L) " repeats" else " repeat", " the row before."),
      if (!a$time_usable) "Checks that need the order of sessions are left out until this is settled."
    ),
    if (is.null(helper)) {
      paste("Remove copies; where values differ, find out which row is right or average them.",
            "Lags, trends and the count of sessions are wrong (and lagged() stops) as long as a session counts twice.")
    } else {
      paste0("Together with ", helper, " the rows are unique: ", a$names$time, " may count anew within ", helper,
             ", or the other way round. Make one running number of the measurement and give that as time.")
    },
    "Broman & Woo 2018", who
  )
}

# Another column that, with the time, makes rows of a person unique (day and beep of a diary).
duplicate_helper <- function(a) {
  for (name in names(a$others)) {
    x <- plain_column(a$others[[name]])
    if (!is.null(dim(x)) || is.list(x)) next
    codes <- match(x, unique(x))[a$row]
    if (is.double(x) && any(x != round(x), na.rm = TRUE) || max(codes) > 400L) next
    if (!anyDuplicated(data.frame(a$person, a$time, codes))) return(name)
  }
  NULL
}

check_text_times <- function(a) {
  if (!identical(a$time_kind, "text")) return(NULL)
  words <- unique(as.character(a$time_raw))
  words <- words[!is.na(words)]
  odd <- words[is.na(suppressWarnings(as.numeric(words)))]
  aside <- length(odd) < 0.5 * length(words)
  what <- if (aside) {
    paste0("Their ", count(sum(as.character(a$time_raw) %in% odd), "row"), " are set aside here.")
  } else {
    paste0("Here they are counted in the order ", paste(utils::head(if (is.factor(a$time_raw)) levels(a$time_raw) else words, 8L), collapse = ", "),
           if (length(words) > 8L) ", ...", ".")
  }
  audit_finding(
    "high", "Sessions are given in words",
    c(paste0(a$names$time, " holds ", paste0("\"", utils::head(odd, 4L), "\"", collapse = ", "), if (length(odd) > 4L) ", ...",
             ": their distance from the other sessions is unknown."), what),
    "Make a number of it (weeks since the start, session number); a measurement after the end of treatment needs its own week.",
    "Singer & Willett 2003, ch. 5", data.frame(value = odd)
  )
}

check_date_times <- function(a) {
  if (!isTRUE(a$time_kind == "date")) return(NULL)
  audit_finding(
    "low", "Sessions are recorded as dates",
    paste0(a$names$time, " is a date: time is counted in days, and lagged(x) looks exactly one day back (the usual distance here is ",
           audit_value(a$grid$step), " days)."),
    "For lags from session to session give the session's number as time; for trends in days or weeks the date is right.",
    "de Haan-Rietdijk et al. 2017"
  )
}

# Rows of a person that stand together in the file but run backwards: whoever lags by row takes the future for the past.
check_row_order <- function(a) {
  # ids used again mix the courses of several persons
  if (is.null(a$time) || !is.null(check_reused_ids(a))) return(NULL)
  n <- length(a$row)
  back <- c(FALSE, diff(a$row) < 0 & a$person[-1L] == a$person[-n])
  if (!any(back)) return(NULL)
  persons <- unique(a$person[back])
  audit_finding(
    "low", "Rows do not stand in the order of time",
    paste0("For ", count_persons(length(persons)), " (", audit_persons(a, persons), ") a later row holds an earlier ", a$names$time, "."),
    paste("hlm() goes by time and does not mind. Functions that go by row do (dplyr::lag(), a lag by hand, AR(1) in nlme without form):",
          "sort by person and time first."),
    "Pinheiro & Bates 2000, ch. 5", data.frame(person = a$person_labels[sort(persons)])
  )
}

# A column that repeats another one of the row before: a lag made by hand. Wrong where it crosses to another person or jumps over a session.
check_hand_lag <- function(a) {
  n <- length(a$person)
  if (n < 20L) return(NULL)
  before <- c(NA_integer_, seq_len(n - 1L))
  new_person <- c(TRUE, a$person[-1L] != a$person[-n])
  wide <- !new_person & c(FALSE, abs(diff(a$time) - a$grid$step) > 1e-6)
  columns <- c(a$columns, lapply(Filter(function(x) is.numeric(x) && is.null(dim(x)), a$others), function(x) as.double(x)[a$row]))
  for (late in names(columns)) {
    for (early in setdiff(names(a$columns), late)) {
      source <- a$columns[[early]][before]
      same <- source == columns[[late]]
      if (mean(same[!new_person & !wide], na.rm = TRUE) %in% NaN || length(unique(columns[[late]])) < 5L) next
      if (mean(same[!new_person & !wide], na.rm = TRUE) < 0.99) next
      crossed <- which(new_person & same %in% TRUE)
      jumped <- if (a$grid$regular) which(wide & same %in% TRUE) else integer()
      # by chance a few first values agree
      if (length(crossed) < 0.5 * a$n_persons && length(jumped) < 0.5 * sum(wide)) next
      if (!length(crossed) && !length(jumped)) next
      return(hand_lag_finding(a, late, early, crossed, jumped))
    }
  }
  NULL
}

hand_lag_finding <- function(a, late, early, crossed, jumped) {
  crossed <- if (length(crossed) >= 0.5 * a$n_persons) crossed else integer()
  audit_finding(
    "high", paste0(late, " is a lag by row"),
    c(
      paste0(late, " repeats ", early, " of the row before."),
      if (length(crossed)) paste0("In ", count(length(crossed), "first row"), " it holds the value of another person."),
      if (length(jumped)) paste0("In ", count(length(jumped), "row"), " a session lies between, so it is older than one session.")
    ),
    paste0("Use lagged(", early, ") with time = ", a$names$time, ": it goes by time, stays within the person, and is missing where the session is."),
    "Falkenstr\u00f6m et al. 2017", data.frame(row = a$label[sort(c(crossed, jumped))])
  )
}
