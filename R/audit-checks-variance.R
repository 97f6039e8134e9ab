# Checks of audit(): is there variance within and between persons, and is each variable a variable of its own?

audit_checks_variance <- function() {
  list(
    audit_check("level_collapse", "what should change from session to session does", character(), check_level_collapse),
    audit_check("little_within", "variables change within persons", character(), check_little_within),
    audit_check("little_between", "persons differ in their level", character(), check_little_between),
    audit_check("overlap", "no two variables measure the same", character(), check_overlap)
  )
}

# Share of persons (with several values) whose values are all the same.
constant_persons <- function(a, x) {
  counts <- audit_counts(a, x)
  spread <- engine_group_sums(audit_centred(a, x)^2, a$person, a$n_persons)$sum
  size <- max(abs(x), na.rm = TRUE)
  several <- counts > 1L
  list(share = mean(spread[several] <= 1e-16 * size^2 * counts[several]), persons = which(several & spread <= 1e-16 * size^2 * counts), n = sum(several))
}

check_level_collapse <- function(a) {
  collapsed <- vapply(a$columns, function(x) {
    constant <- constant_persons(a, x)
    constant$n > 0L && constant$share > 0.98 || !any(audit_counts(a, x) > 1L)
  }, NA)
  if (!any(collapsed)) return(NULL)
  names <- names(a$columns)[collapsed]
  once <- !vapply(a$columns[names], function(x) any(audit_counts(a, x) > 1L), NA)
  audit_finding(
    "high", "Measured in every session, but the same in all of them",
    c(
      if (any(!once)) paste0(audit_list(names[!once]), if (sum(!once) == 1L) " has" else " have", " one value per person, repeated in each row."),
      if (any(once)) paste0(audit_list(names[once]), if (sum(once) == 1L) " has" else " have", " one row per person.")
    ),
    paste("It is a variable of the person: it has a between effect only. Give it as covariates = (in the formula: without within()).",
          "If the outcome is constant, analyse one row per person. If it should change, the merge of the files went wrong."),
    "Curran & Bauer 2011; Snijders & Bosker 2012, ch. 2", data.frame(variable = names)
  )
}

check_little_within <- function(a) {
  facts <- lapply(names(a$columns), function(name) {
    constant <- constant_persons(a, a$columns[[name]])
    icc <- audit_icc(a, name)
    if (is.null(icc) || icc$within == 0 || constant$share > 0.98) return(NULL)
    data.frame(variable = name, icc = icc$icc, constant = constant$share)
  })
  who <- do.call(rbind, facts)
  who <- who[who$icc > 0.9 | who$constant > 0.25, , drop = FALSE]
  if (is.null(who) || !nrow(who)) return(NULL)
  audit_finding(
    if (any(who$icc > 0.95 | who$constant > 0.75)) "high" else if (any(who$icc > 0.9 | who$constant > 0.5)) "medium" else "low",
    "Little or no change within many persons",
    paste0(who$variable, ": ", audit_percent(1 - who$icc), " of the variance is within persons, ", audit_percent(who$constant),
           " of persons give the same value every time.", collapse = " "),
    paste("The within effect rests on the few who change, and much of the change may be error of measurement. Give its interval, name the number of persons",
          "who contribute, and do not read \"not significant\" as \"no effect\"."),
    "Curran & Bauer 2011; Nezlek 2017", who
  )
}

check_little_between <- function(a) {
  facts <- lapply(names(a$columns), function(name) {
    icc <- audit_icc(a, name)
    if (!is.null(icc) && icc$icc < 0.05) data.frame(variable = name, icc = icc$icc)
  })
  who <- do.call(rbind, facts)
  if (is.null(who)) return(NULL)
  audit_finding(
    "medium", "Hardly any difference between persons",
    paste0(paste0(who$variable, " (", audit_percent(who$icc), " of the variance)", collapse = ", "), ": persons' averages are nearly the same."),
    paste("A between effect of it cannot be estimated: leave it out or expect a very wide interval. If the variable was centred or standardised per person",
          "beforehand, use the raw values."),
    "Raudenbush & Bryk 2002, ch. 5; L\u00fcdtke et al. 2008", who
  )
}

check_overlap <- function(a) {
  names <- names(a$columns)
  if (length(names) < 2L) return(NULL)
  centred <- lapply(a$columns, audit_centred, a = a)
  pairs <- utils::combn(names, 2L, simplify = FALSE)
  r <- vapply(pairs, function(pair) audit_cor(centred[[pair[[1L]]]], centred[[pair[[2L]]]]), 0)
  close <- which(abs(r) > 0.9)
  if (!length(close)) return(NULL)
  first <- vapply(pairs[close], `[[`, "", 1L)
  second <- vapply(pairs[close], `[[`, "", 2L)
  with_outcome <- a$role[first] == "outcome" | a$role[second] == "outcome"
  audit_finding(
    if (any(with_outcome)) "high" else "medium", "Two variables that are nearly one",
    paste0(paste0(first, " and ", second, " correlate ", audit_number(r[close]), " within persons", collapse = "; "), "."),
    paste("Look for shared items, a scale and its sub-scale, or one variable computed from the other. Their effects cannot be separated in one model:",
          "take one, or their mean."),
    "Cohen et al. 2003, ch. 10", data.frame(first = first, second = second, r = r[close])
  )
}
