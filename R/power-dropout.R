# Who leaves when: dropout in words, in numbers or as a hazard function, turned into one hazard per session.

# A plain list: kind ("none", "mcar", "mar"), odds (of leaving, per SD of the last outcome), text (for print()) and one of
# points (data frame session, share: so many have left by then), share (by the last session), hazards, rule (function).
parse_dropout <- function(dropout) {
  if (is.null(dropout) || identical(dropout, 0) || identical(dropout, FALSE)) dropout <- "none"
  if (inherits(dropout, "hlm_dropout")) return(dropout)
  made <- if (is.function(dropout)) {
    list(kind = "mcar", odds = 1, rule = dropout, text = "by a hazard function")
  } else if (is.numeric(dropout)) {
    dropout_numbers(dropout)
  } else if (is.character(dropout) && length(dropout) == 1L && !is.na(dropout)) {
    dropout_words(dropout)
  } else {
    abort_dropout(class(dropout)[[1L]])
  }
  structure(made, class = "hlm_dropout")
}

abort_dropout <- function(given, why = NULL) {
  abort_hlm("data", c(
    "{.arg dropout} is not understood: {.val {given}}.",
    x = why,
    i = "Say it in words, {.val mcar 22% by session 4} or {.val mar 15% by session 4, 30% by session 10, odds 1.5 per SD}; as one share
         ({.val {0.22}}, left by the last session); as one hazard per session; or as a function of the session."
  ))
}

dropout_numbers <- function(x) {
  if (!length(x) || anyNA(x) || any(x < 0 | x >= 1)) abort_dropout(x, "Shares and hazards are numbers from 0 to below 1.")
  if (length(x) == 1L) {
    text <- paste(percent(x, 0L), "by the last session, unrelated to anything (MCAR)")
    return(list(kind = "mcar", odds = 1, share = as.double(x), text = text))
  }
  list(kind = "mcar", odds = 1, hazards = as.double(x), text = "with the hazards given, unrelated to anything (MCAR)")
}

dropout_words <- function(words) {
  text <- tolower(trimws(words))
  if (text %in% c("none", "no", "")) return(list(kind = "none", odds = 1, share = 0, text = "none"))
  kind <- regmatches(text, regexpr("^(mcar|mar|mnar)\\b", text))
  if (identical(kind, "mnar")) abort_dropout(words, "Dropout that depends on what was never observed (MNAR) is not available.")
  if (!length(kind)) kind <- "mcar"
  parts <- trimws(strsplit(sub("^(mcar|mar)\\s*", "", text), "[,;]")[[1L]])
  parts <- parts[nzchar(parts)]
  odds <- grepl("^odds\\b", parts)
  points <- lapply(parts[!odds], dropout_point, words = words)
  if (!length(points)) abort_dropout(words, "No share of patients is named.")
  points <- do.call(rbind, points)
  points <- points[order(points$session), ]
  if (anyDuplicated(points$session) || is.unsorted(points$share)) {
    abort_dropout(words, "The share of those who have left cannot become smaller later on.")
  }
  ratio <- dropout_odds(parts[odds], kind, words)
  list(kind = kind, odds = ratio, points = points, text = dropout_text(kind, points, ratio))
}

# "22% by session 4", ".22 by session 4"
dropout_point <- function(part, words) {
  number <- "([0-9]*[.]?[0-9]+)"
  found <- regmatches(part, regexec(paste0("^", number, "\\s*(%|percent)?\\s+(?:by|until|before|at)\\s+(?:session\\s+)?([0-9]+)$"), part))[[1L]]
  if (!length(found)) abort_dropout(words, paste0("This part is not understood: \"", part, "\"."))
  share <- as.double(found[[2L]]) / if (nzchar(found[[3L]])) 100 else 1
  session <- as.integer(found[[4L]])
  if (share >= 1) abort_dropout(words, "A share must be below 100 %; 22 % is 22% or 0.22.")
  if (session < 2L) abort_dropout(words, "Patients who leave by session 1 were never in the study.")
  data.frame(session = session, share = share)
}

# How much more likely one SD more of the outcome makes it to leave; a doubling of the odds when nothing is said.
dropout_odds <- function(part, kind, words) {
  if (!length(part)) return(if (kind == "mar") 2 else 1)
  if (kind == "mcar") abort_dropout(words, "Odds belong to {.val mar}: dropout that depends on the last outcome.")
  found <- regmatches(part[[1L]], regexec("^odds\\s+(?:ratio\\s+)?([0-9]*[.]?[0-9]+)(\\s+per\\s+sd)?$", part[[1L]]))[[1L]]
  if (length(part) > 1L || !length(found) || as.double(found[[2L]]) <= 0) {
    abort_dropout(words, "Odds are one positive number: odds 1.5 per SD.")
  }
  as.double(found[[2L]])
}

dropout_text <- function(kind, points, odds) {
  when <- paste(paste(format(100 * points$share, trim = TRUE), "% by session", points$session), collapse = ", ")
  if (kind == "mcar") return(paste0(when, ", unrelated to anything (MCAR)"))
  paste0(when, ", more likely after a high outcome (MAR, odds ratio ", format(odds), " per SD)")
}

# Chance not to come to session k or any later one, given still there at k - 1; constant between the points named, and after the
# last one as before it.
dropout_hazards <- function(dropout, n) {
  if (!is.null(dropout$rule)) return(hazards_of_function(dropout$rule, n))
  if (!is.null(dropout$hazards)) {
    if (length(dropout$hazards) < n) {
      abort_hlm("data", "{.arg dropout} has {length(dropout$hazards)} hazards, but the design has {n} sessions: give one for each.")
    }
    return(dropout$hazards[seq_len(n)])
  }
  points <- dropout$points
  if (is.null(points)) points <- data.frame(session = n, share = dropout$share)
  if (n == 1L || max(points$share) == 0) return(numeric(n))
  from <- c(1L, points$session[-nrow(points)])
  stay <- c(1, 1 - points$share)
  hazard <- 1 - (stay[-1L] / stay[-length(stay)])^(1 / (points$session - from))
  piece <- findInterval(seq_len(n) - 1, from, rightmost.closed = FALSE)
  c(0, hazard[pmin(piece, length(hazard))[-1L]])
}

hazards_of_function <- function(hazard, n) {
  sessions <- seq_len(n)
  value <- tryCatch(hazard(sessions), error = function(cnd) cnd)
  if (!is.numeric(value) || length(value) != n) value <- tryCatch(vapply(sessions, hazard, 0), error = function(cnd) cnd)
  if (!is.numeric(value)) abort_hlm("data", "The hazard function in {.arg dropout} failed: {conditionMessage(value)}.")
  if (anyNA(value) || any(value < 0 | value >= 1)) {
    abort_hlm("data", "The hazard function in {.arg dropout} must return chances from 0 to below 1 for the sessions 1 to {n}.")
  }
  as.double(value)
}
