# audit(): what a methodologist would raise about a data set or a fit.

#' Audit a data set or a fitted model
#'
#' Reads session-by-session data (or a fit and its data) as a methodologist reviewing a manuscript would, and lists what there is to raise, the most
#' serious first: gaps and dropout and whether they depend on what was measured, too few sessions for a person's mean or trend, trends, no variance
#' within or between persons, floor and ceiling, variables at the wrong level, therapists with too few patients, ids used again, duplicated rows,
#' unequal spacing, the bias of a lagged outcome; for a fit also autocorrelated residuals, missing random slopes, temporal order and the
#' problems that [check_fit()] finds. Every finding says what was found, who is concerned, what to do, and where to read about it. What was
#' checked without result is listed at the end, and so is what could not be checked.
#'
#' The limits are conventions of the cited literature. They draw attention; none of them decides whether a study is good. Findings based on a
#' test need p < .01.
#'
#' Sessions are rows with a value of any of the variables; rows in which all of them are missing count as missed. They lie on a common grid when
#' intervals are whole multiples of the most frequent one; the grid then tells a missed session from the end of treatment. A fit is read
#' from itself, including the rows left out for missing values; rows removed by `subset` are not there any more, and columns that the model does
#' not use are only available through `data`.
#'
#' @param object A data frame with one row per person and session, or a fitted model of class `hlm`.
#' @param y Outcome, and
#' @param x predictors that were measured in every session: bare names or strings, several as `c(a, b)`. Without both, all numbers that change
#'   within persons are read as predictors.
#' @param id,time The variables that identify the person (`therapist:patient` when numbers are used again) and the session. For a fit, `time` is
#'   needed only when the model does not name it.
#' @param level Therapist, clinic, ...: levels above the person.
#' @param covariates Variables of the person that do not change from session to session (treatment, age, sex).
#' @param scale The smallest and largest possible values: `c(1, 7)` for all variables, or a list by name. Without them the ends of the
#'   scale are the smallest and largest observed values.
#' @param data For a fit: the data frame it was fitted to, for columns that the fit does not keep.
#' @param ... Not used.
#' @return An object of class `hlm_audit`, a list: `findings`, a list by id, most serious first, each with `severity` (`"high"`, `"medium"`, `"low"`;
#'   printed as serious, worth a look, note), `title`, `evidence`, `what_to_do`, `reference` and `who` (a data frame of the persons, rows or
#'   variables concerned, or `NULL`); `passed`, what was checked without result; `skipped`, what could not be checked and why; `read`, what was
#'   read. `as.data.frame()` and `tidy()` give one row per finding.
#' @section Errors: `hlm_error_data` when a variable is not in the data, is no number, or does not change within any person.
#' @source Aguinis, Gottfredson and Culpepper (2013), *Journal of Management* 39, 1490-1528; Allison, Williams and Moral-Benito (2017), *Socius* 3; Baldwin,
#'   Bauer, Stice and Rohde (2011), *Psychological Methods* 16, 149-165; Baldwin and Imel (2013), in Lambert, *Bergin and Garfield's Handbook of
#'   Psychotherapy and Behavior Change*, 258-297; Barr, Levy, Scheepers and Tily (2013), *Journal of Memory and Language* 68, 255-278; Bliese (2000), in
#'   Klein and Kozlowski, *Multilevel Theory, Research, and Methods in Organizations*, 349-381; Bolger and Laurenceau (2013), *Intensive Longitudinal
#'   Methods*; Broman and Woo (2018), *The American Statistician* 72, 2-10; Browne, Goldstein and Rasbash (2001), *Statistical Modelling* 1, 103-124; Cohen,
#'   Cohen, West and Aiken (2003), *Applied Multiple Regression*; Curran and Bauer (2011), *Annual Review of Psychology* 62, 583-619; de
#'   Haan-Rietdijk, Voelkle, Keijsers and Hamaker (2017), *Frontiers in Psychology* 8, 1849; Enders (2011), *Psychological Methods* 16, 1-16; Enders (2022),
#'   *Applied Missing Data Analysis*, 2nd ed.; Falkenström, Finkel, Sandell, Rubel and Holmqvist (2017), *Journal of Consulting and Clinical
#'   Psychology* 85, 537-549; Goldstein, Healy and Rasbash (1994), *Statistics in Medicine* 13, 1643-1655; Grund, Lüdtke and Robitzsch (2018),
#'   *Organizational Research Methods* 21, 111-149; Hamaker, Kuiper and Grasman (2015), *Psychological Methods* 20, 102-116; Hamaker and Muthén (2020),
#'   *Psychological Methods* 25, 365-379; Hedeker and Gibbons (1997), *Psychological Methods* 2, 64-78; Heisig and Schaeffer (2019), *European
#'   Sociological Review* 35, 258-279; Hox, Moerbeek and van de Schoot (2018), *Multilevel Analysis*; Little and Rubin (2019), *Statistical Analysis with
#'   Missing Data*; Lüdtke et al. (2008), *Psychological Methods* 13, 203-229; Maas and Hox (2005), *Methodology* 1, 86-92; McNeish and Stapleton
#'   (2016), *Educational Psychology Review* 28, 295-314; Nezlek (2017), *Journal of Research in Personality* 69, 149-155; Nickell (1981), *Econometrica*
#'   49, 1417-1426; Pinheiro and Bates (2000), *Mixed-Effects Models in S and S-PLUS*; Raudenbush and Bryk (2002), *Hierarchical Linear Models*; Schielzeth et
#'   al. (2020), *Methods in Ecology and Evolution* 11, 1141-1152; Singer and Willett (2003), *Applied Longitudinal Data Analysis*; Snijders and Bosker
#'   (2012), *Multilevel Analysis*; Terwee et al. (2007), *Journal of Clinical Epidemiology* 60, 34-42; Voelkle, Oud, Davidov and Schmidt (2012),
#'   *Psychological Methods* 17, 176-192; Wang and Maxwell (2015), *Psychological Methods* 20, 63-83; Wang, Zhang, McArdle and Salthouse (2008),
#'   *Multivariate Behavioral Research* 43, 476-496; West, Finch and Curran (1995), in Hoyle, *Structural Equation Modeling*, 56-75.
#' @seealso [plot.hlm_audit()] for the pictures, [check_fit()] for residuals, influence and collinearity of a fit.
#' @examples
#' a <- audit(implement, y = bai, x = wai, id = id, time = session, level = therapist)
#' a
#' a$findings$dropout$who
#' @export
audit <- function(object, ...) UseMethod("audit")

#' @export
audit.default <- function(object, ...) {
  abort_hlm("data", "{.fn audit} reads a data frame or a model fitted with {.fn hlm}, not an object of class {.cls {class(object)}}.")
}

#' @rdname audit
#' @export
audit.data.frame <- function(object, y = NULL, x = NULL, id, time = NULL, level = NULL, covariates = NULL, scale = NULL, ...) {
  check_dots(...)
  check_data(object)
  if (missing(id)) abort_hlm("data", "Say which variable identifies the person: {.code id = patient}.")
  caller <- parent.frame()
  names <- names(object)
  variables <- list(
    y = capture_columns(substitute(y), names, caller, "y"), x = capture_columns(substitute(x), names, caller, "x"),
    id = capture_name(substitute(id), names, caller, "id"), time = capture_time(substitute(time), names, caller),
    level = capture_columns(substitute(level), names, caller, "level"),
    covariates = capture_columns(substitute(covariates), names, caller, "covariates"), scale = scale
  )
  new_audit(new_audit_data(audit_source_data(object, variables, caller)))
}

#' @rdname audit
#' @export
audit.hlm <- function(object, time = NULL, level = NULL, covariates = NULL, scale = NULL, data = NULL, ...) {
  check_dots(...)
  caller <- parent.frame()
  names <- union(names(object$data), names(data))
  extra <- list(
    time = capture_time(substitute(time), names, caller), level = capture_columns(substitute(level), names, caller, "level"),
    covariates = capture_columns(substitute(covariates), names, caller, "covariates"), scale = scale
  )
  more <- fit_extra_columns(object, data, c(extra$time, extra$level, extra$covariates))
  new_audit(new_audit_data(audit_source_fit(object, c(extra, more))))
}

new_audit <- function(a) {
  result <- run_audit(a)
  kept <- c("names", "n_rows", "n_persons", "person", "person_labels", "time", "columns", "role", "seen", "sessions", "grid", "bounds", "time_usable", "twice")
  result$read <- list(
    rows = a$n_rows, persons = a$n_persons, sessions = length(a$sessions$rows), per_person = range(tabulate(a$sessions$person, a$n_persons)),
    levels = vapply(a$levels, function(level) length(level$levels), 0L), fit = if (!is.null(a$fit)) a$fit$formula,
    subset = !is.null(a$fit) && !is.null(a$fit$call$subset)
  )
  result$data <- a[intersect(kept, names(a))]
  structure(result, class = "hlm_audit")
}

#' @rdname audit
#' @param row.names,optional Not used.
#' @export
as.data.frame.hlm_audit <- function(x, row.names = NULL, optional = FALSE, ...) {
  field <- function(name) vapply(x$findings, `[[`, "", name, USE.NAMES = FALSE)
  data.frame(
    rank = seq_along(x$findings), id = names(x$findings) %||% character(), severity = factor(field("severity"), audit_severities()), title = field("title"),
    evidence = field("evidence"), what_to_do = field("what_to_do"), reference = field("reference"),
    concerned = vapply(x$findings, function(finding) NROW(finding$who), 0L, USE.NAMES = FALSE), stringsAsFactors = FALSE
  )
}

#' @rdname audit
#' @export
tidy.hlm_audit <- function(x, ...) as_tidy(as.data.frame(x))

#' @rdname audit
#' @export
print.hlm_audit <- function(x, ...) {
  width <- max(40L, min(getOption("width"), 100L))
  say <- function(text, initial = " ", prefix = "   ") cat(strwrap(text, width = width, initial = initial, prefix = prefix), sep = "\n")
  print_audit_head(x, say)
  if (!length(x$findings)) cat("\nNothing to raise.\n")
  words <- c(high = "serious", medium = "worth a look", low = "note")
  for (i in seq_along(x$findings)) {
    finding <- x$findings[[i]]
    cat("\n")
    say(paste0(i, ". [", words[[finding$severity]], "] ", finding$title), "")
    say(finding$evidence, "   ")
    say(paste0("-> ", finding$what_to_do), "   ", "      ")
    if (nzchar(finding$reference)) say(finding$reference, "   ")
  }
  cat("\n")
  if (length(x$passed)) say(paste0("Checked without result: ", paste(x$passed, collapse = "; "), "."), "")
  if (nrow(x$skipped)) {
    by <- split(x$skipped$label, factor(x$skipped$reason, unique(x$skipped$reason)))
    say(paste0("Not checked: ", paste0(vapply(by, paste, "", collapse = "; "), " (", names(by), ")", collapse = "; "), "."), "")
  }
  if (any(vapply(x$findings, function(finding) NROW(finding$who) > 0L, NA))) {
    say("Persons and rows concerned: x$findings$<id>$who, ids in as.data.frame(x).", "")
  }
  invisible(x)
}

print_audit_head <- function(x, say) {
  read <- x$read
  role <- x$data$role
  cat(if (is.null(read$fit)) "Audit of the data\n" else "Audit of the model and its data\n")
  if (!is.null(read$fit)) say(paste(trimws(deparse(read$fit, 500L)), collapse = " "))
  span <- if (read$per_person[[1L]] == read$per_person[[2L]]) paste(read$per_person[[1L]], "each") else paste(read$per_person, collapse = " to ")
  say(paste0(
    count_persons(read$persons), " (", x$data$names$id, "), ", count(read$sessions, "session"), " with values (", span, ") in ", count(read$rows, "row"),
    if (length(read$levels)) paste0("; ", paste0(read$levels, " units of ", names(read$levels), collapse = ", ")), "."
  ))
  say(paste0(
    if (any(role == "outcome")) paste0("Outcome: ", paste(names(role)[role == "outcome"], collapse = ", "), ". "),
    if (any(role == "predictor")) paste0("Measured in every session: ", paste(names(role)[role == "predictor"], collapse = ", "), ". "),
    if (!is.null(x$data$names$time)) paste0("Time: ", x$data$names$time, ".")
  ))
  if (read$subset) say("Rows that subset removed are not in the fit and were not read.")
  serious <- table(factor(vapply(x$findings, `[[`, "", "severity"), audit_severities()))
  say(paste0(serious[["high"]], " serious, ", serious[["medium"]], " worth a look, ", count(serious[["low"]], "note"), "."))
}
