# Checks of audit(): therapists (or any level above the person) and variables of the person.

audit_checks_levels <- function() {
  list(
    audit_check("few_groups", "enough therapists for a variance", "level", check_few_groups),
    audit_check("singletons", "therapists see several patients", "level", check_singletons),
    audit_check("same_as_person", "therapists can be told from patients", "level", check_same_as_person),
    audit_check("moved", "each patient has one therapist", "level", check_moved),
    audit_check("placeholder", "no placeholder among therapists", "level", check_placeholder),
    audit_check("few_persons", "enough persons", character(), check_few_persons),
    audit_check("covariate_changes", "variables of the person stay the same", "covariate", check_covariate_changes),
    audit_check("small_categories", "no category of very few persons", "covariate", check_small_categories)
  )
}

# Number of persons of each unit; a person counts for every unit they appear in.
persons_per_unit <- function(a, level) {
  known <- level$codes > 0L
  pairs <- unique(data.frame(person = a$person[known], unit = level$codes[known]))
  tabulate(pairs$unit, length(level$levels))
}

# The first level for which `check` has something to say.
first_level <- function(a, check) {
  for (name in names(a$levels)) {
    found <- check(name, a$levels[[name]], persons_per_unit(a, a$levels[[name]]))
    if (!is.null(found)) return(found)
  }
  NULL
}

check_few_groups <- function(a) {
  first_level(a, function(name, level, sizes) {
    j <- length(level$levels)
    if (j >= 20L || all(sizes <= 1L)) return(NULL)
    audit_finding(
      if (j < 10L) "medium" else "low", paste0("Only ", j, " units of ", name),
      paste0("Their variance has a wide interval, and effects of ", name, "-level variables rest on ", j, " values."),
      if (j < 10L) {
        paste0("Put ", name, " in as fixed effects (factor(", name, ")) or keep (1 | ", name, ") as part of the design, but do not interpret its variance.")
      } else {
        paste0("Keep (1 | ", name, "), with REML and small-sample degrees of freedom; give an interval for its variance (profile or bootstrap).")
      },
      "Maas & Hox 2005; McNeish & Stapleton 2016", data.frame(unit = level$levels, persons = sizes)
    )
  })
}

check_singletons <- function(a) {
  first_level(a, function(name, level, sizes) {
    alone <- sizes == 1L
    if (!any(alone) || all(sizes <= 1L)) return(NULL)
    share <- mean(alone)
    audit_finding(
      if (share > 0.5) "high" else if (share > 0.2) "medium" else "low", paste0("A ", name, " with one person only"),
      paste0(sum(alone), " of ", length(sizes), " (", name, " ", show_some(level$levels[alone]), "): what is due to the ", name,
             " cannot be told from what is due to the person there."),
      paste0("They may stay in the model, but add nothing to the variance of ", name, ". Report how many persons each has."),
      "Baldwin & Imel 2013", data.frame(unit = level$levels, persons = sizes)[alone, ]
    )
  })
}

check_same_as_person <- function(a) {
  first_level(a, function(name, level, sizes) {
    if (!all(sizes <= 1L)) return(NULL)
    audit_finding(
      "high", paste0(name, " and person are the same"),
      paste0("Each of the ", length(sizes), " units of ", name, " has one person: their variances cannot be separated."),
      paste0("Leave ", name, " out of the random effects, and say that the differences between persons contain those between units of ", name, "."),
      "Baldwin & Imel 2013"
    )
  })
}

check_moved <- function(a) {
  reused <- !is.null(check_reused_ids(a))
  if (reused) return(NULL)
  first_level(a, function(name, level, sizes) {
    spread <- audit_spread(a, level)$persons
    if (!length(spread)) return(NULL)
    share <- length(spread) / a$n_persons
    audit_finding(
      if (share > 0.1) "medium" else "low", paste0("Persons with more than one ", name),
      paste0(count_persons(length(spread)), " (", audit_percent(share), "): ", audit_persons(a, spread),
             ". They are not nested in one ", name, "; mean levels per ", name, " mix their phases."),
      paste0("If an entry is wrong, correct it. If the person changed, the units are crossed: (1 | ", a$names$id, ") + (1 | ", name,
             "), or a multiple-membership model; with few of them, assign each to the main one and report it."),
      "Browne et al. 2001", data.frame(person = a$person_labels[sort(spread)])
    )
  })
}

# "none", "TAU", "unknown": no therapist, but taken for one with many patients.
check_placeholder <- function(a) {
  words <- paste0(
    "^((none|nobody|unknown|missing|tau|wait.?list|no.therapist)([_ .-].*)?|",
    "no|n\\.?a\\.?|n/a|null|nil|other|control|tbd|various|-9+|9{2,}|0|\\.|\\?|)$"
  )
  first_level(a, function(name, level, sizes) {
    suspect <- grepl(words, tolower(trimws(level$levels)))
    # 0 may number a real unit among 0, 1, 2, ...; a placeholder has far more persons than the rest
    numeric <- grepl("^[0-9]+$", level$levels)
    large <- sizes > 4 * stats::median(sizes)
    suspect <- suspect & (!numeric | large)
    if (!any(suspect)) return(NULL)
    audit_finding(
      "high", paste0("A placeholder counts as a ", name),
      paste0("\"", level$levels[suspect], "\" has ", count_persons(sum(sizes[suspect])), " (", audit_percent(sum(sizes[suspect]) / a$n_persons),
             "): the model would take them for patients of one real ", name, "."),
      paste0("If they have no ", name, ", use a partially nested model: effects of ", name, " only in the arm that has any, (0 + treated | ", name,
             "); if it is unknown, set it to NA or give each person a unit of their own and compare."),
      "Baldwin et al. 2011", data.frame(unit = level$levels, persons = sizes)[suspect, ]
    )
  })
}

check_few_persons <- function(a) {
  if (!is.null(a$fit) || a$n_persons >= 30L) return(NULL)
  audit_finding(
    if (a$n_persons < 10L) "high" else "medium", "Few persons",
    paste0("There are ", a$n_persons,
           ". Within-person effects may still be well estimated with many sessions; effects between persons and variances will not be."),
    "Keep the model small, use REML with Kenward-Roger degrees of freedom, and do not read much into variances or cross-level effects.",
    "Maas & Hox 2005; McNeish & Stapleton 2016"
  )
}

check_covariate_changes <- function(a) {
  changes <- lapply(a$covariates, function(x) {
    codes <- match(x, unique(x[!is.na(x)]))
    audit_spread(a, list(codes = ifelse(is.na(codes), 0L, codes)))$persons
  })
  changes <- Filter(length, changes)
  if (!length(changes)) return(NULL)
  who <- do.call(rbind, lapply(names(changes), function(name) {
    data.frame(variable = name, person = a$person_labels[sort(changes[[name]])])
  }))
  words <- vapply(names(changes), function(name) {
    paste0(name, " changes within ", count_persons(length(changes[[name]])), " (", audit_persons(a, changes[[name]]), ")")
  }, "")
  audit_finding(
    "high", "A variable of the person is not the same in all sessions", paste0(audit_list(words), "."),
    paste("If it cannot change (sex, treatment), correct the rows. If it can (age, medication), take its value at the first session as the person's,",
          "or split it with wb()."),
    "Curran & Bauer 2011", who
  )
}

check_small_categories <- function(a) {
  small <- lapply(names(a$covariates), function(name) {
    x <- a$covariates[[name]][match(seq_len(a$n_persons), a$person)]
    distinct <- length(unique(stats::na.omit(x)))
    if (is.numeric(x) && distinct > 5L || distinct < 2L || distinct > a$n_persons / 3) return(NULL)
    sizes <- table(as.character(x))
    if (any(sizes < 5L)) data.frame(variable = name, category = names(sizes), persons = as.vector(sizes))[sizes < 5L, ]
  })
  who <- do.call(rbind, small)
  if (is.null(who)) return(NULL)
  audit_finding(
    "medium", "Categories of fewer than five persons",
    paste0(paste0(who$variable, " = ", who$category, " (", who$persons, ")", collapse = ", "), ". A slope or an interaction for them rests on single persons."),
    "Combine categories, or leave them out of moderator analyses and say so.", "Aguinis et al. 2013", who
  )
}
