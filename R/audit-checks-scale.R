# Checks of audit(): what the values themselves look like.

audit_checks_scale <- function() {
  list(
    audit_check("infinite", "no infinite values", character(), check_infinite),
    audit_check("missing_codes", "no codes for missing values among the numbers", character(), check_missing_codes),
    audit_check("out_of_range", "no values outside the scale", character(), check_out_of_range),
    audit_check("floor_ceiling", "no floor or ceiling", character(), check_floor_ceiling),
    audit_check("discrete_outcome", "the outcome has many values", "outcome", check_discrete_outcome),
    audit_check("count_outcome", "the outcome is no count of events", "outcome", check_count_outcome),
    audit_check("skewed", "no extreme skew", character(), check_skewed),
    audit_check("outliers", "no outlying values within persons", character(), check_outliers)
  )
}

check_infinite <- function(a) {
  found <- Filter(length, a$infinite)
  if (!length(found)) return(NULL)
  who <- do.call(rbind, lapply(names(found), function(name) data.frame(variable = name, row = a$label[found[[name]]])))
  audit_finding(
    "high", "Infinite values",
    paste0(paste0(names(found), " in ", vapply(found, function(rows) paste("rows", show_some(a$label[rows])), ""), collapse = "; "), "."),
    "They come from a calculation such as log(0) or 1/0. Correct it, or set them to NA. A model stops at them; here they are read as missing.",
    "Broman & Woo 2018", who
  )
}

check_missing_codes <- function(a) {
  if (!length(a$coded)) return(NULL)
  who <- do.call(rbind, lapply(names(a$coded), function(name) data.frame(variable = name, row = a$label[a$coded_rows[[name]]])))
  words <- vapply(names(a$coded), function(name) paste0(name, " = ", audit_list(a$coded[[name]]), " in ", count(length(a$coded_rows[[name]]), "row")), "")
  audit_finding(
    "high", "Numbers that look like codes for missing values",
    c(paste0(paste(words, collapse = "; "), ", far from all other values."), "Here they are read as missing."),
    "Look into the codebook. If they stand for missing values, read the file again with these as NA: a model would take them for measurements.",
    "Broman & Woo 2018", who
  )
}

check_out_of_range <- function(a) {
  who <- do.call(rbind, lapply(names(a$bounds), function(name) {
    x <- a$columns[[name]]
    slack <- 1e-8 * max(abs(a$bounds[[name]]))
    out <- which(x < a$bounds[[name]][[1L]] - slack | x > a$bounds[[name]][[2L]] + slack)
    if (length(out)) data.frame(variable = name, row = a$label[out], value = x[out])
  }))
  if (is.null(who)) return(NULL)
  words <- vapply(split(who, factor(who$variable, unique(who$variable))), function(part) {
    bounds <- a$bounds[[part$variable[[1L]]]]
    paste0(part$variable[[1L]], " goes from ", audit_value(bounds[[1L]]), " to ", audit_value(bounds[[2L]]), ", but has ",
           show_some(audit_value(sort(unique(part$value))), 4L), " (", count(nrow(part), "row"), ": ", show_some(part$row), ")")
  }, "")
  audit_finding(
    "high", "Values outside the scale", paste0(paste(words, collapse = "; "), "."),
    "Correct them from the source, or set them to NA; check whether the scale was recoded or standardised in between.", "Broman & Woo 2018", who
  )
}

# Share of values at the ends of the scale, given or (from 15 % on) as observed.
bound_shares <- function(a) {
  do.call(rbind, lapply(names(a$columns), function(name) {
    x <- a$columns[[name]][!is.na(a$columns[[name]])]
    given <- a$bounds[[name]]
    distinct <- length(unique(x))
    bounds <- given %||% range(x)
    slack <- 1e-8 * max(abs(bounds), 1e-8)
    share <- c(mean(x <= bounds[[1L]] + slack), mean(x >= bounds[[2L]] - slack))
    data.frame(variable = name, end = c("floor", "ceiling"), value = bounds, share = share, given = !is.null(given), distinct = distinct)
  }))
}

check_floor_ceiling <- function(a) {
  who <- bound_shares(a)
  # three values or fewer: not a scale; without the scale's own bounds the end must hold more than its share, too
  counts <- outcomes_of(a)[vapply(outcomes_of(a), function(name) looks_like_count(a, name), NA)]
  who <- who[who$share >= 0.15 & who$distinct > 3L & (who$given | who$share > 2 / who$distinct) & !who$variable %in% counts, , drop = FALSE]
  if (!nrow(who)) return(NULL)
  outcome <- a$role[who$variable] == "outcome"
  audit_finding(
    if (max(who$share) > 0.4) "high" else "medium",
    if (all(who$end == "floor")) "Floor effect" else if (all(who$end == "ceiling")) "Ceiling effect" else "Floor and ceiling effects",
    c(
      paste0(paste0(audit_percent(who$share), " of ", who$variable, " are at the ", ifelse(who$end == "floor", "lowest", "highest"), " value ",
                    ifelse(who$given, "of the scale", "observed"), " (", audit_value(who$value), ")", collapse = "; "), "."),
      "Who is at the end cannot change further in that direction: effects shrink, and the spread is smaller there."
    ),
    paste(
      if (any(outcome)) "For the outcome use a model for bounded scores (tobit or ordinal mixed model) as a check of the results;" else
        "Show the distribution;",
      "compare results without the persons who sit at the end, and use robust standard errors (vcov = \"CR2\")."
    ),
    "Terwee et al. 2007; Wang et al. 2008", who
  )
}

check_discrete_outcome <- function(a) {
  for (name in outcomes_of(a)) {
    x <- a$columns[[name]]
    distinct <- sort(unique(x[!is.na(x)]))
    if (length(distinct) > 5L) next
    two <- length(distinct) <= 2L
    return(audit_finding(
      if (two) "high" else "medium", paste("The outcome has", length(distinct), "values only"),
      paste0(name, " takes the values ", paste(audit_value(distinct), collapse = ", "), ". A linear model predicts values that do not exist, ",
             "and its residuals cannot be normal or equally spread."),
      if (two) "Use a logistic mixed model (lme4::glmer, family = binomial)." else
        "Use an ordinal mixed model (ordinal::clmm) and show that the conclusions of the linear model hold.",
      "Hox et al. 2018, ch. 6 and 7", data.frame(value = distinct, rows = vapply(distinct, function(v) sum(x == v, na.rm = TRUE), 0L))
    ))
  }
  NULL
}

# Whole numbers from 0, often 0, with a long tail: cigarettes, panic attacks. A scale whose ends are given is no count.
looks_like_count <- function(a, name) {
  x <- a$columns[[name]][!is.na(a$columns[[name]])]
  if (any(x < 0 | x != round(x)) || min(x) != 0 || length(unique(x)) <= 5L || !is.null(a$bounds[[name]])) return(FALSE)
  mean(x == 0) >= 0.25 && shape_of(x)[["skewness"]] >= 1
}

check_count_outcome <- function(a) {
  for (name in outcomes_of(a)) {
    if (!looks_like_count(a, name)) next
    x <- a$columns[[name]][!is.na(a$columns[[name]])]
    zero <- mean(x == 0)
    return(audit_finding(
      "medium", "The outcome looks like a count",
      paste0(name, " has whole numbers from 0 to ", audit_value(max(x)), ", ", audit_percent(zero), " of them 0, and a long tail (mean ",
             audit_number(mean(x)), ", variance ", audit_number(stats::var(x)), ")."),
      paste(
        "If it counts events, use a Poisson or negative binomial mixed model (glmmTMB), with zero inflation if needed.",
        "If it is a scale, give scale = c(min, max)."
      ),
      "Hox et al. 2018, ch. 7"
    ))
  }
  NULL
}

# Skewness beyond 2 or excess kurtosis beyond 7 (West, Finch & Curran 1995); floors, counts and categories have findings of their own.
check_skewed <- function(a) {
  shares <- bound_shares(a)
  piled <- shares$variable[shares$share >= 0.15]
  names <- setdiff(names(a$columns), c(piled, shares$variable[shares$distinct <= 5L]))
  who <- do.call(rbind, lapply(names, function(name) {
    shape <- shape_of(a$columns[[name]][!is.na(a$columns[[name]])])
    if (abs(shape[["skewness"]]) > 2 || shape[["kurtosis"]] > 7) data.frame(variable = name, skewness = shape[["skewness"]], kurtosis = shape[["kurtosis"]])
  }))
  if (is.null(who)) return(NULL)
  audit_finding(
    "medium", "Very skewed values",
    paste0(who$variable, ": skewness ", audit_number(who$skewness), ", excess kurtosis ", audit_number(who$kurtosis), ".", collapse = " "),
    paste("A few high values carry the means and the slopes. Look at the distribution (plot(audit, \"bounds\")), consider a transformation such as the",
          "logarithm, and compare the results; robust standard errors (vcov = \"CR2\") help against unequal spread only."),
    "West et al. 1995; Schielzeth et al. 2020", who
  )
}

# Farther from the person's median than 4 within-person SDs, and than chance allows for so many values (Bonferroni at .01).
check_outliers <- function(a) {
  who <- do.call(rbind, lapply(names(a$columns), function(name) {
    x <- a$columns[[name]]
    if (length(unique(x)) <= 5L) return(NULL)
    icc <- audit_icc(a, name)
    if (is.null(icc) || icc$within == 0) return(NULL)
    z <- audit_centred(a, x) / sqrt(icc$within)
    limit <- max(4, stats::qnorm(1 - 0.01 / (2 * sum(!is.na(x)))))
    out <- which(abs(z) > limit)
    if (length(out)) data.frame(variable = name, person = a$person_labels[a$person[out]], row = a$label[out], value = x[out], z = z[out])
  }))
  if (is.null(who)) return(NULL)
  who <- who[order(-abs(who$z)), , drop = FALSE]
  by <- table(factor(who$variable, unique(who$variable)))
  audit_finding(
    if (max(abs(who$z)) > 8) "medium" else "low", "Values far from the person's own level",
    paste0(paste0(names(by), ": ", vapply(by, count, "", one = "value"), collapse = "; "), ". The farthest: ", who$variable[[1L]], " = ",
           audit_value(who$value[[1L]]), " for ", a$names$id, " ", who$person[[1L]], " (row ", who$row[[1L]], "), ", audit_number(abs(who$z[[1L]]), 1L),
           " within-person SDs from the mean."),
    "Check these values in the source. If they are right, keep them, and report the results without these rows as a check.",
    "Snijders & Bosker 2012, ch. 10", who
  )
}
