# The registry of audit(): one entry per thing a methodologist would raise. A check reads the common audit_data object (R/audit-data.R) and
# returns NULL or one finding. Tests loop over the registry: a check without a data set that triggers it fails them.

# `needs`: what must be there for the check to make sense; see audit_unmet().
audit_check <- function(id, label, needs, run) list(id = id, label = label, needs = needs, run = run)

audit_finding <- function(severity, title, evidence, what_to_do, reference, who = NULL) {
  list(
    severity = severity, title = title, evidence = paste(evidence, collapse = " "), what_to_do = what_to_do, reference = reference, who = who
  )
}

audit_checks <- function() {
  checks <- c(
    audit_checks_rows(), audit_checks_missing(), audit_checks_levels(), audit_checks_variance(), audit_checks_amount(), audit_checks_scale(),
    audit_checks_trend(), audit_checks_dynamic(), audit_checks_fit()
  )
  stats::setNames(checks, vapply(checks, `[[`, "", "id"))
}

# Why a check cannot be made, in words; NULL when it can.
audit_unmet <- function(a, needs) {
  # sessions at a common spacing, unless a fit says what is to be known
  if ("panel" %in% needs && is.null(a$fit)) needs <- c(needs, "regular")
  absent <- c(
    if ("outcome" %in% needs && !any(a$role == "outcome")) "an outcome (y = )",
    if ("predictor" %in% needs && !any(a$role == "predictor")) "a predictor (x = )",
    if (any(c("time", "regular") %in% needs) && is.null(a$time)) "the session (time = )",
    if ("level" %in% needs && !length(a$levels)) "the therapist or another level (level = )",
    if ("covariate" %in% needs && !length(a$covariates)) "variables of the person (covariates = )",
    if ("fit" %in% needs && is.null(a$fit)) "a fitted model"
  )
  if (length(absent)) return(paste("needs", paste(absent, collapse = " and ")))
  if (any(c("time", "regular") %in% needs) && !a$time_usable) return("several rows per person and session")
  if ("regular" %in% needs && !a$grid$regular) return("no common spacing of the sessions")
  if ("uncorrelated" %in% needs && has_correlated_residuals(a$fit)) return("the model has correlated residuals")
  if ("independent" %in% needs && has_residual_structure(a$fit)) return("the model has a residual structure of its own")
  NULL
}

# Runs every check; findings ranked by severity, within it in the order of the registry.
run_audit <- function(a, checks = audit_checks()) {
  if (is.null(a$fit)) checks <- Filter(function(check) !"fit" %in% check$needs, checks)
  unmet <- lapply(checks, function(check) audit_unmet(a, check$needs))
  open <- vapply(unmet, is.null, NA)
  found <- lapply_progress(checks[open], function(check) check$run(a), "Checks", length(a$row) >= progress_rows)
  hit <- !vapply(found, is.null, NA)
  findings <- found[hit]
  rank <- match(vapply(findings, `[[`, "", "severity"), audit_severities())
  label <- vapply(checks, `[[`, "", "label")
  list(
    findings = findings[order(rank)], passed = label[open][!hit], skipped = data.frame(
      id = names(checks)[!open], label = unname(label[!open]), reason = unlist(unmet[!open], use.names = FALSE) %||% character()
    )
  )
}

audit_severities <- function() c("high", "medium", "low")

# Numbers in sentences ------------------------------------------------------------------------------------------------------------------------

audit_percent <- function(share) {
  percent <- 100 * share
  shown <- ifelse(percent > 0 & percent < 1, "under 1", ifelse(percent < 100 & percent > 99, "over 99", formatC(percent, format = "f", digits = 0L)))
  paste(shown, "%")
}

audit_number <- function(x, digits = 2L) {
  small <- abs(x) < 10^-digits & x != 0
  ifelse(small, formatC(x, digits = 1L, format = "g"), formatC(x, digits = digits, format = "f"))
}

# Values as they stand in the data: no more decimals than needed.
audit_value <- function(x) vapply(x, function(value) format(value, digits = 4L), "")

audit_p <- function(p) paste0("p ", sub("^([^<])", "= \\1", format_p(p)))

# "a, b and c"
audit_list <- function(x) {
  if (length(x) < 2L) return(as.character(x))
  paste(paste(x[-length(x)], collapse = ", "), "and", x[[length(x)]])
}

# The person as the reader calls it: patient, id, ... in the singular and the plural of a heading.
audit_persons <- function(a, codes, max = 5L) show_some(a$person_labels[sort(unique(codes))], max)

# "1 person", "7 persons"
count_persons <- function(n) count(n, "person")
