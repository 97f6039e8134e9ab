# Missing values: which rows go, why, and what the analysis keeps. Counted per variable.

drop_missing <- function(frame, spec, na_action, means) {
  kind <- na_kind(na_action)
  missing <- find_missing(frame, spec)
  bad <- NULL
  counts <- integer()
  for (label in names(missing)) {
    bad <- if (is.null(bad)) missing[[label]] else bad | missing[[label]]
    counts[[label]] <- sum(missing[[label]])
  }
  if (length(bad) > 0L && kind %in% c("fail", "pass")) abort_missing(kind, counts, which(bad))
  too_few <- find_short_persons(frame, spec, bad, means)
  if (!is.null(too_few)) {
    bad <- if (is.null(bad)) too_few$rows else bad | too_few$rows
    counts <- c(counts, too_few$counts)
  }
  frame$dropped <- counts
  if (is.null(bad)) {
    frame$rows <- seq_len(frame$n)
    frame$parents <- frame$atoms[spec$levels]
    if (means == "available") {
      frame$all <- list(values = frame$values, person = frame$factors[[frame$id]]$codes, time = frame$time)
    }
    return(frame)
  }
  keep <- which(!bad)
  if (length(keep) == 0L) {
    abort_hlm("data", c(
      "No row is complete: every one of the {frame$n} rows misses a value of at least one variable of the model.",
      i = "Missing values: {paste0(names(counts), ' (', counts, ')', collapse = ', ')}."
    ))
  }
  keep_rows(frame, spec, keep, which(bad), kind, means)
}

keep_rows <- function(frame, spec, keep, lost, kind, means) {
  if (means == "available") {
    person <- frame$factors[[frame$id]]
    used <- tabulate(person$codes[keep], length(person$levels)) > 0L
    frame$all <- list(
      values = frame$values,
      person = recode(person$codes, ifelse(used, cumsum(used), 0L)),
      time = frame$time
    )
  }
  names(lost) <- as.character(if (is.null(frame$row_names)) lost else frame$row_names[lost])
  frame$na_action <- structure(lost, class = kind)
  frame$rows <- keep
  frame$variables <- lapply(frame$variables, function(x) {
    kept <- take_rows(x, keep)
    # poly(), ns(), scale(): what makepredictcall() needs is in attributes that `[` drops
    for (name in setdiff(names(attributes(x)), c("dim", "dimnames", "names", "levels", "class"))) {
      attr(kept, name) <- attr(x, name)
    }
    if (is.object(x) && !is.object(kept)) class(kept) <- class(x)
    kept
  })
  frame$values <- lapply(frame$values, `[`, keep)
  frame$time <- frame$time[keep]
  if (!is.null(frame$residual)) frame$residual <- lapply(frame$residual, take_residual_values, rows = keep)
  frame$factors <- lapply(frame$factors, compact_factor, rows = keep)
  frame$parents <- lapply(frame$atoms[spec$levels], compact_factor, rows = keep)
  for (name in intersect(c("(weights)", "(offset)"), names(frame$raw))) {
    frame[[name]] <- frame$raw[[name]][keep]
  }
  frame
}

# na.action as lm() takes it: a function, its name, or what options("na.action") says.
na_kind <- function(na_action) {
  if (is.null(na_action)) {
    return("pass")
  }
  if (identical(na_action, "na.omit")) {
    return("omit")
  }
  kinds <- c(na.omit = "omit", na.exclude = "exclude", na.fail = "fail", na.pass = "pass")
  if (is.character(na_action) && length(na_action) == 1L && na_action %in% names(kinds)) {
    return(kinds[[na_action]])
  }
  for (name in names(kinds)) {
    if (identical(na_action, getExportedValue("stats", name))) {
      return(kinds[[name]])
    }
  }
  abort_hlm("data", "{.arg na.action} must be {.fn na.omit}, {.fn na.exclude} or {.fn na.fail}.")
}

# Named list of logical vectors, only for variables with missing values. NaN and Inf are errors.
find_missing <- function(frame, spec) {
  out <- list()
  note <- function(label, x, missing = NULL) {
    if (is.null(missing)) {
      if (is_clean(x)) {
        return(invisible())
      }
      check_finite(x, label, seq_len(frame$n))
      missing <- is.na(x)
      if (!is.null(dim(x))) missing <- rowSums(missing) > 0
    }
    if (any(missing)) out[[label]] <<- if (is.null(out[[label]])) missing else out[[label]] | missing
  }
  # one look at all columns settles it for complete data
  if (!engine_all_finite(c(frame$variables, frame$values))) {
    for (label in names(frame$variables)) note(label, frame$variables[[label]])
    for (key in names(frame$values)) note(value_label(spec$values[[key]]), frame$values[[key]])
  }
  for (label in names(frame$atoms)) {
    codes <- frame$atoms[[label]]$codes
    if (any_zero(codes)) note(label, NULL, codes == 0L)
  }
  if (!is.null(frame$time)) note(spec$time, frame$time)
  for (entry in frame$residual) note(entry$label, NULL, missing_residual_values(entry))
  if (!is.null(frame$raw[["(weights)"]])) note("weights", frame$raw[["(weights)"]])
  if (!is.null(frame$raw[["(offset)"]])) note("offset", frame$raw[["(offset)"]])
  out
}

# min() meets every code once and allocates nothing
any_zero <- function(codes) {
  length(codes) > 0L && min(codes) == 0L
}

value_label <- function(value) {
  text <- expr_text(value$expr)
  if (value$lag == 0L) text else paste0("lagged(", text, if (value$lag != 1L) paste0(", ", value$lag), ")")
}

abort_missing <- function(kind, counts, rows) {
  listed <- paste0(names(counts), " (", counts, ")", collapse = ", ")
  shown <- show_some(rows)
  abort_hlm("data", c(
    "{length(rows)} row{?s} {?has/have} missing values: {listed}.",
    x = if (kind == "fail") "{.fn na.fail} was asked for; rows {shown}." else "They cannot be kept in a model; rows {shown}.",
    i = "{.code na.action = na.omit} leaves these rows out and says so in the printed output."
  ))
}

# A person's own trend of degree k needs k + 1 sessions. Persons with fewer are left out, named and counted.
find_short_persons <- function(frame, spec, bad, means) {
  trends <- list()
  for (source in spec$sources) {
    if (source$degree > 0L) trends <- c(trends, list(source))
  }
  if (length(trends) == 0L) {
    return(NULL)
  }
  person <- frame$factors[[frame$id]]
  lost <- logical(frame$n)
  counts <- integer()
  kept <- if (is.null(bad)) rep(TRUE, frame$n) else !bad
  for (source in trends) {
    # rows that define the trend
    used <- if (means == "available") !is.na(frame$values[[source$value]]) & !is.na(frame$time) else kept
    n_sessions <- tabulate(person$codes[used & person$codes > 0L], length(person$levels))
    present <- tabulate(person$codes[kept], length(person$levels)) > 0L
    short <- which(present & n_sessions <= source$degree)
    if (length(short) == 0L) next
    rows <- kept & person$codes %in% short
    lost <- lost | rows
    counts[[paste0("trend of ", source$label)]] <- sum(rows)
    warn_short_persons(person$levels[short], source, frame$id, sum(rows))
  }
  if (any(lost)) list(rows = lost, counts = counts) else NULL
}

warn_short_persons <- function(labels, source, id, n_rows) {
  shown <- show_some(labels, 10L)
  shape <- if (source$degree == 1L) "a straight line" else paste("a curve of degree", source$degree)
  warn_hlm("data", c(
    "{length(labels)} person{?s} {?has/have} too few sessions with {.var {source$label}} to fit {shape} ({.var {id}}): {shown}.",
    i = "At least {source$degree + 1} sessions are needed. The {n_rows} row{?s} of {cli::qty(length(labels))}{?this person/these
         persons} {cli::qty(n_rows)}{?is/are} left out."
  ))
}
