# How much do therapists differ, in what, and how sure is that? One call for what is asked of a three-level model.

#' Therapist effects
#'
#' For a model with therapists (or clinics, classes, ...) above the patients, in one call: how much of the variance lies between therapists, with intervals and
#' tests that are right at zero; the effects of the split predictors within patients, between patients of one therapist and between therapists,
#' and their differences; and the therapists in order.
#'
#' @section How much therapists differ:
#' For each random effect of the group the standard deviation with its profile interval, its share of the variance with a profile interval, the reliability (see
#' [reliability()]) and a test. For the intercept the share is the intraclass correlation (see [icc()]: with random slopes the variance of a level is its
#' average over the rows); for a slope it is the share of therapists in the differences of the slope between patients, which needs the random slope
#' at both levels. A variance that no other effect of the therapists is correlated with is tested by [rlrt()]; otherwise the effect with its correlations by
#' [ranova()], the intercept together with the slopes. All intervals exist when the variance is estimated as zero.
#'
#' @section Reading the order of therapists:
#' The effects are shrunken: with few patients each, they lie close together whatever the truth. An interval that excludes zero says that this therapist,
#' had he or she been chosen in advance, differs from the average. Ranks are far less certain than they look, and differences between therapists in
#' observational data are also differences between their patients.
#'
#' @param fit A fitted model of class `hlm`.
#' @param group The grouping factor; by default the outermost (the one with the fewest groups).
#' @param level Confidence level.
#' @param interval `"profile"`, or `"none"` for large data: the intervals of standard deviations and shares refit the model many times.
#' @param test Test the variances?
#' @param ddf Method for the degrees of freedom of the effects of predictors, see [hlm-ddf].
#' @param nsim,seed Draws and seed of the simulated null distributions.
#' @param x The result.
#' @param n Number of therapists to print.
#' @param digits Significant digits.
#' @param labels Write the names on the axis? By default for up to 40 groups.
#' @param row.names,optional Not used.
#' @param ... Not used.
#' @return An object of class `hlm_therapist_effects`, a list:
#' * `variances`: one row per random effect: `effect`, `variance`, `sd`, `sd_lower`, `sd_upper`, `share`, `share_lower`, `share_upper`, `share_of` (what
#'   it is a share of), `reliability`, `statistic`, `p.value`, `test`, `note`;
#' * `effects`: one row per part of each split predictor: `variable`, `effect`, and the columns of [contest()]; `differences`: likewise for the differences of
#'   neighbouring levels; `joint`: the test that all differences are zero. `NULL` without split predictors;
#' * `ranking`: one row per therapist, lowest first: `rank`, `therapist`, `patients`, `rows`, `effect` (deviation of the outcome from the average
#'   therapist's, at the average of predictors with random slopes), `se`, `lower`, `upper`, `clear` (does the interval exclude zero?);
#' * `group`, `person`, `outcome`, `level`, `counts` (therapists, patients, rows), `inference`, `notes`.
#'
#' `as.data.frame()` returns `ranking`; [plot()] draws it. For therapists' slopes see [person_slopes()] with `group = "therapist"`.
#' @section Errors: `hlm_error_design` when there is no group above the persons; `hlm_error_data` when `group` is not a grouping factor;
#'   `hlm_error_covariance` for a model with a residual structure.
#' @source Raudenbush and Bryk (2002), *Hierarchical Linear Models*, chapter 8; Crainiceanu and Ruppert (2004), *Journal of the Royal Statistical Society
#'   B* 66, 165-185 (test); Goldstein and Spiegelhalter (1996), *Journal of the Royal Statistical Society A* 159, 385-443 (ranks); Maas and Hox (2005),
#'   *Methodology* 1, 86-92 (number of groups).
#' @examples
#' fit <- hlm(bai ~ session + wb(wai, level = "therapist") + (1 | therapist / id),
#'   data = implement, time = session)
#' therapist_effects(fit, interval = "none", nsim = 1000)
#' @export
therapist_effects <- function(fit, group = NULL, level = 0.95, interval = c("profile", "none"), test = TRUE, ddf = NULL, nsim = 10000, seed = 1, ...) {
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_independent_residuals(fit, "The account of therapists is")
  check_level(level)
  interval <- check_choice(interval, c("profile", "none"), "interval")
  check_flag(test, "test")
  check_nsim(nsim)
  check_session_seed(seed)
  g <- therapist_group(fit, group)
  inference <- resolve_inference(fit, ddf)
  variances <- therapist_variances(fit, g, level, interval == "profile", test, nsim, seed)
  ranking <- therapist_ranking(fit, g, level)
  person <- person_group(fit)
  counts <- c(therapists = nrow(ranking), patients = length(fit$design$groups[[person]]$levels), rows = n_rows(fit))
  structure(
    c(
      list(variances = variances), therapist_predictors(fit, inference, level),
      list(
        ranking = ranking, group = group_names(fit)[[g]], person = group_names(fit)[[person]], outcome = deparse1(fit$formula[[2L]]), level = level,
        counts = counts, inference = inference$label, notes = therapist_notes(fit, g, variances, ranking)
      )
    ),
    class = "hlm_therapist_effects"
  )
}

therapist_group <- function(fit, group) {
  sizes <- vapply(fit$design$groups, function(one) length(one$levels), 1L)
  g <- if (is.null(group)) which.min(sizes) else match(check_group(fit, group), group_names(fit))
  if (g != person_group(fit)) return(g)
  abort_hlm("design", c(
    "{.field {group_names(fit)[[g]]}} is the level of the persons; therapist effects need a group above them.",
    i = "Write {.code (1 | therapist/{plain_level(group_names(fit)[[g]])})} in the formula."
  ))
}

# (a) The variances of the group's random effects.
therapist_variances <- function(fit, g, level, interval, test, nsim, seed) {
  own <- which(term_group(fit) == g)
  effects <- sum(lengths(lapply(fit$design$terms[own], `[[`, "names")))
  # nearly all the time goes into the intervals of the shares
  step <- local_progress(effects * share_steps, "Therapist effects", interval && n_rows(fit) >= progress_rows)
  done <- 0L
  reliable <- reliability.hlm(fit)
  reliable <- reliable[reliable$group == group_names(fit)[[g]], , drop = FALSE]
  limits <- if (interval) sd_limits(fit, own, level)
  rows <- lapply(own, function(t) {
    term <- fit$design$terms[[t]]
    variance <- fit$core$sigma^2 * rowSums(term_lambda(fit, t)^2)
    do.call(rbind, lapply(seq_along(term$names), function(j) {
      name <- term$names[[j]]
      share <- if (name == "(Intercept)") share_of_level(fit, g) else share_of_effect(fit, g, name)
      row <- cbind(
        data.frame(effect = name, variance = variance[[j]], sd = sqrt(variance[[j]]), sd_lower = NA_real_, sd_upper = NA_real_),
        therapist_share(fit, share, level, interval, name, function(k) step(done + min(k, share_steps))),
        if (test) variance_test(fit, t, j, nsim, seed) else data.frame(statistic = NA_real_, p.value = NA_real_, test = NA_character_, note = NA_character_)
      )
      done <<- done + share_steps
      step(done)
      row
    }))
  })
  table <- do.call(rbind, rows)
  if (interval) table[c("sd_lower", "sd_upper")] <- limits
  cbind(table[1:9], reliability = reliable$reliability[match(table$effect, reliable$term)], table[10:13])
}

sd_limits <- function(fit, own, level) {
  names <- profile_parameters(fit)
  names <- names$name[names$kind == "sd" & names$term %in% own]
  unname(confint_profile(fit, names, level, "sd", isTRUE(fit$REML)))
}

therapist_share <- function(fit, share, level, interval, name, step) {
  if (is.null(share)) return(data.frame(share = NA_real_, share_lower = NA_real_, share_upper = NA_real_, share_of = NA_character_))
  own <- share$v(fit$core$theta)
  total <- own + share$rest(fit$core$theta)
  limits <- if (interval && total > 0) profile_share(fit, share, level, step) else c(NA_real_, NA_real_)
  data.frame(
    share = if (total > 0) own / total else NA_real_, share_lower = limits[[1L]], share_upper = limits[[2L]],
    share_of = if (name == "(Intercept)") "variance of the outcome" else "differences of the slope"
  )
}

# rlrt() where its exact distribution exists, else the mixture of ranova().
variance_test <- function(fit, t, j, nsim, seed) {
  term <- fit$design$terms[[t]]
  if (length(term$columns) == 1L) {
    exact <- tryCatch(rlrt(fit, t, nsim, seed), hlm_error_design = function(e) NULL)
    if (!is.null(exact)) {
      return(data.frame(statistic = unname(exact$statistic), p.value = exact$p.value, test = "RLRT, simulated", note = NA_character_))
    }
  }
  whole <- length(term$columns) == 1L || term$names[[j]] == "(Intercept)"
  table <- ranova.hlm(fit, reduce.terms = !whole, nsim = min(nsim, 2000), seed = seed)
  name <- paste0(if (!whole) paste0(term$names[[j]], " in "), "(", term$label, ")")
  place <- match(name, row.names(table))
  if (is.na(place)) return(data.frame(statistic = NA_real_, p.value = NA_real_, test = NA_character_, note = "no smaller model without this effect alone"))
  note <- attr(table, "notes")
  statistic <- table$LRT[[place]]
  # Nothing is below zero: the p value of a statistic of zero is 1 whatever the mixture.
  if (statistic <= 1e-7) return(data.frame(statistic = statistic, p.value = 1, test = "LRT of zero", note = NA_character_))
  data.frame(
    statistic = statistic, p.value = table$`Pr(>chibar)`[[place]],
    test = paste0(if (whole && length(term$columns) > 1L) "together with the slopes, ", "LRT, ",
      if (is.na(table$weights[[place]])) "mixture unknown" else table$weights[[place]]),
    note = if (name %in% names(note)) note[[name]] else NA_character_
  )
}

# (b) The parts of each split predictor, and their differences.
therapist_predictors <- function(fit, inference, level) {
  pieces <- Filter(Negate(is.null), lapply(names(fit$means), function(label) predictor_parts(fit, label)))
  if (!length(pieces)) return(list(effects = NULL, differences = NULL, joint = NULL))
  l <- do.call(rbind, lapply(pieces, `[[`, "l"))
  effects <- cbind(do.call(rbind, lapply(pieces, `[[`, "labels")), test_rows(fit, l, 0, inference, level))
  row.names(effects) <- NULL
  contrasts <- contextual_table(fit, inference, level)
  list(effects = effects, differences = contrasts$effects, joint = contrasts$joint)
}

# Rows of L: the effect within, and that of each between part; after cx() the coefficients of the parts are differences from the one within.
predictor_parts <- function(fit, label) {
  names <- contextual_columns(fit, label)
  known <- names(fixef.hlm(fit))
  if (is.null(names)) return(NULL)
  columns <- c(names$within, names$between)
  l <- matrix(0, length(columns), length(known), dimnames = list(NULL, known))
  for (i in seq_along(columns)) {
    if (columns[[i]] %in% known) l[i, columns[[i]]] <- 1
    if (names$contextual && i > 1L && names$within %in% known) l[i, names$within] <- l[i, names$within] + 1
  }
  person <- plain_level(fit$id)
  words <- c(paste("within", person), vapply(seq_along(names$between), function(i) {
    upper <- if (i < length(names$level)) paste0(" (within ", plain_level(names$level[[i + 1L]]), ")")
    paste0("between ", plural(plain_level(names$level[[i]])), upper)
  }, ""))
  estimated <- columns %in% known
  if (!any(estimated)) return(NULL)
  rownames(l) <- paste0(label, ": ", words)
  list(l = l[estimated, , drop = FALSE], labels = data.frame(variable = label, effect = words, stringsAsFactors = FALSE)[estimated, ])
}

# (c) The therapists in order. The effect of a therapist is z'b with z the mean of the columns of its random effects over all rows; its standard error
# holds for z'(b-hat - b) and covers the uncertainty of the fixed effects (see unit_slopes()).
therapist_ranking <- function(fit, g, level) {
  group <- fit$design$groups[[g]]
  size <- length(group$levels)
  chosen <- lapply(fit$design$terms, function(term) if (term$group == g) seq_along(term$columns) else integer())
  rows <- list(
    x = matrix(0, size, length(kept_columns(fit))), chosen = chosen,
    z = lapply(fit$design$terms, function(term) matrix(colMeans(term_matrix(fit, term)), size, length(term$columns), byrow = TRUE)),
    codes = lapply(seq_along(fit$design$groups), function(h) if (h == g) seq_len(size) else rep(NA_integer_, size))
  )
  found <- unit_slopes(fit, rows)
  half <- stats::qnorm((1 + level) / 2) * found$se
  pairs <- combine_codes(group, fit$design$groups[[person_group(fit)]])
  table <- data.frame(
    therapist = group$levels, patients = tabulate(pairs$group, size), rows = tabulate(group$codes, size), effect = found$slope, se = found$se,
    lower = found$slope - half, upper = found$slope + half, stringsAsFactors = FALSE
  )
  table$clear <- table$lower > 0 | table$upper < 0
  table <- table[order(table$effect, table$therapist), , drop = FALSE]
  row.names(table) <- NULL
  cbind(rank = seq_len(size), table)
}

# What must be said with the numbers, in plain words.
therapist_notes <- function(fit, g, variances, ranking) {
  unit <- plain_level(group_names(fit)[[g]])
  person <- plain_level(group_names(fit)[[person_group(fit)]])
  many <- nrow(ranking)
  few <- sum(ranking$patients < 2L)
  zero <- variances$effect[variances$sd <= 1e-6 * fit$core$sigma]
  c(
    if (many < 10L) paste0(
      "Only ", many, " ", unit, "s: how much ", unit, "s differ can hardly be learned from so few. Read the intervals, not the estimates."
    ) else if (many < 15L) paste0(
      many, " ", unit, "s are few: the variance between them is badly determined. Read the intervals, not the estimates."
    ),
    if (few > 0L) paste0(
      few, " of ", many, " ", unit, "s ", if (few == 1L) "has" else "have", " one ", person, " only, who tells little about what is the ",
      unit, "'s and what the ", person, "'s."
    ),
    moderated_note(fit),
    if (length(zero)) paste0(
      "The variance of ", paste(zero, collapse = ", "), " between ", unit, "s is estimated as zero: no more differences than chance makes. ",
      "This is not proof that there are none; the upper limits say how large they may be."
    )
  )
}

# A coefficient of a variable that takes part in products is the effect at one value of the others.
moderated_note <- function(fit) {
  notes <- lapply(fit$means, function(means) {
    others <- partners(fit, c(names(means$columns), means$label))
    if (!length(others)) return(NULL)
    paste0(means$label, " interacts with ", paste(others, collapse = ", "), ": its effects are those at zero, or at the first category, of the others.")
  })
  unlist(unname(notes))
}
