# Power from a pilot fit: outcomes drawn from its estimates for its own rows, repeated along patients, sessions or therapists.

#' @rdname power_hlm
#' @export
power_hlm.hlm <- function(x, nsim = 1000, effects = NULL, alpha = 0.05, ddf = "satterthwaite", vary = NULL, variance_tests = TRUE,
                          conf.level = 0.95, seed = NULL, threads = NULL, keep = FALSE, ...) {
  check_dots(...)
  check_independent_residuals(x, "Power from a pilot fit is", "Describe the study with {.fn hlm_design}, which has {.arg autocorrelation}.")
  settings <- power_settings(nsim, alpha, ddf, variance_tests, conf.level, seed, threads, keep)
  if (!is.null(effects)) check_effects(effects, names(fixef.hlm(x)), "coefficients")
  if (settings$ddf == "Kenward-Roger" && !isTRUE(x$REML)) {
    abort_hlm("data", "Kenward and Roger's method needs a fit by REML: {.code update(fit, REML = TRUE)}.")
  }
  grid <- vary_grid(vary, c("n_patients", "n_sessions", "n_therapists"))
  cells <- lapply(grid$changes, function(change) fit_cell(x, effects, change, settings))
  result <- run_power(cells, grid$table, settings)
  result$formula <- x$formula
  result
}

fit_cell <- function(fit, effects, change, settings) {
  truth <- fixef.hlm(fit)
  truth[names(effects)] <- effects
  sized <- extended_fit(fit, change)
  design <- kept_design(sized)
  lost <- setdiff(names(truth), design$x_names)
  if (length(lost)) {
    abort_hlm("data", "With these sizes {.val {lost}} cannot be estimated any more: the rows kept do not identify {?it/them}.")
  }
  truth <- truth[design$x_names]
  tests <- if (settings$variance_tests) reduced_tests(sized, design) else list()
  contrasts <- contextual_contrasts(sized)
  table <- fit_effects(sized, truth, tests, contrasts, fit)
  list(
    kind = "fit", design = design, reml = isTRUE(fit$REML), theta = as.double(fit$core$theta), beta = as.double(truth), sigma = fit$core$sigma,
    reduced = lapply(tests, `[[`, "design"), effects = table, contrasts = contrasts$l,
    variances = lapply(tests, `[[`, "place"), shapes = term_shapes(design$terms), counts = fit_counts(sized),
    bw_df = if (settings$ddf == "between-within") fit_bw_df(sized, contrasts$l)
  )
}

# Aliased columns leave the design: the core knows the rest.
kept_design <- function(fit) {
  design <- known_design(fit)
  kept <- kept_columns(fit)
  design$x <- design$x[kept]
  design$x_names <- design$x_names[kept]
  design$x_assign <- design$x_assign[kept]
  design
}

fit_counts <- function(fit) {
  person <- pilot_person(fit)
  sizes <- vapply(fit$design$groups, function(g) length(g$levels), 0L)
  list(rows = n_rows(fit), persons = sizes[[person]], therapists = if (length(sizes) > 1L) min(sizes) else 0L)
}

pilot_person <- function(fit) {
  place <- match(fit$id %||% "", group_names(fit))
  if (is.na(place)) which.max(vapply(fit$design$groups, function(g) length(g$levels), 0L)) else place
}

fit_bw_df <- function(fit, contrasts) {
  inference <- ddf_between_within(fit)
  rows <- rbind(diag(length(kept_columns(fit))), contrasts)
  apply(rows, 1L, inference$df)
}

fit_effects <- function(sized, truth, tests, contrasts, fit) {
  coefs <- sized$spec$coefs
  place <- match(names(truth), coefs$name)
  label <- ifelse(is.na(place), "", vapply(seq_along(truth), function(i) fit_label(sized, coefs$type[place[[i]]], coefs$level[place[[i]]]), ""))
  table <- data.frame(effect = names(truth), term = names(truth), label = label, truth = unname(truth), kind = "coefficient", stringsAsFactors = FALSE)
  if (!is.null(contrasts)) {
    table <- rbind(table, data.frame(
      effect = rownames(contrasts$l), term = rownames(contrasts$l), label = "Contextual difference",
      truth = drop(contrasts$l %*% truth), kind = "contrast"
    ))
  }
  for (test in tests) {
    sd <- fit$core$sigma * sqrt(sum(term_lambda(fit, test$place$t)[test$place$k, ]^2))
    table <- rbind(table, data.frame(effect = test$name, term = test$name, label = "Standard deviation between groups", truth = sd, kind = "variance"))
  }
  row.names(table) <- NULL
  table
}

fit_label <- function(fit, type, level) sub(" effects? \\(level [0-9]+\\)$", " effect", section_heading(fit, type, level))

# Tests of single columns of the random effects, as ranova() does: a slope with its covariances, an intercept alone in its term.
reduced_tests <- function(fit, design) {
  tests <- list()
  for (t in seq_along(design$terms)) {
    term <- design$terms[[t]]
    for (k in seq_along(term$columns)) {
      slope <- term$columns[[k]] != 0L
      alone <- length(term$columns) == 1L
      if (!slope && !alone || alone && length(design$terms) == 1L) next
      base <- if (term$structure == "diagonal") 0L else length(term$columns) - 1L
      name <- paste0("sd_", term$names[[k]], "|", design$groups[[term$group]]$name)
      tests <- c(tests, list(list(name = name, design = without_columns(design, t, k), place = list(t = t, k = k, base = base))))
    }
  }
  tests
}

# Other sizes -----------------------------------------------------------------------------------------------------------------------------

# The fit with its rows repeated (or fewer of them) along patients, sessions, therapists; the variables split anew. Estimates stay those of the pilot.
extended_fit <- function(fit, change) {
  if (!length(change)) return(fit)
  rows <- seq_along(fit$rows)
  codes <- row_codes(fit)
  if (!is.null(change$n_sessions)) {
    n <- check_whole(change$n_sessions, "n_sessions", 2)
    rows <- extend_sessions(codes, n, fit)
  } else {
    rows <- data.frame(row = rows, person = codes$person, therapist = codes$therapist, shift = 0)
  }
  if (!is.null(change$n_therapists)) rows <- extend_units(rows, "therapist", check_whole(change$n_therapists, "n_therapists", 2), fit)
  if (!is.null(change$n_patients)) rows <- extend_units(rows, "person", check_whole(change$n_patients, "n_patients", 2), fit)
  fit_of_rows(fit, rows)
}

row_codes <- function(fit) {
  groups <- fit$design$groups
  person <- pilot_person(fit)
  above <- setdiff(seq_along(groups), person)
  above <- Filter(function(g) is_nested(groups[[person]], groups[[g]]), above)
  crossed <- setdiff(seq_along(groups), c(person, above))
  if (length(crossed)) {
    abort_hlm("design", c(
      "Other sizes need patients nested in therapists; {.val {group_names(fit)[crossed]}} {?is/are} crossed with them.", i = "Leave {.arg vary} out."
    ))
  }
  if (length(above) > 1L) abort_hlm("design", "Other sizes are available for models with one level above the patients, not {length(above)}.")
  time <- fit_times(fit) %||% seq_len(n_rows(fit))
  therapist <- if (length(above)) groups[[above]]$codes else rep(1L, n_rows(fit))
  list(person = groups[[person]]$codes, therapist = therapist, time = time, nested = length(above) > 0L)
}

# A patient with m of the pilot's most rows M gets about m n / M of n: complete patients stay complete, others as incomplete as they were.
extend_sessions <- function(codes, n, fit) {
  order <- order(codes$person, codes$time)
  most <- max(tabulate(codes$person))
  span <- if (is.null(fit$time)) 0 else diff(range(codes$time)) + min(diff(sort(unique(codes$time))))
  pieces <- lapply(split(order, codes$person[order]), function(rows) {
    wanted <- max(1L, round(length(rows) * n / most))
    k <- seq_len(wanted) - 1L
    data.frame(row = rows[k %% length(rows) + 1L], shift = span * (k %/% length(rows)))
  })
  rows <- do.call(rbind, pieces)
  data.frame(row = rows$row, person = codes$person[rows$row], therapist = codes$therapist[rows$row], shift = rows$shift)
}

# The first n units, again from the first when there are fewer; the copies are new units. Patients are taken in turn from every therapist, so that
# the therapists' shares stay.
extend_units <- function(rows, which, n, fit) {
  if (which == "therapist") {
    if (length(unique(rows$therapist)) < 2L) {
      abort_hlm("data", "{.arg vary} has {.arg n_therapists}, but the fit has no random effects of therapists.")
    }
    units <- sort(unique(rows$therapist))
  } else {
    first <- rows[!duplicated(rows$person), c("person", "therapist")]
    units <- first$person[order(stats::ave(seq_len(nrow(first)), first$therapist, FUN = seq_along), first$therapist)]
  }
  by_unit <- split(seq_len(nrow(rows)), rows[[which]])
  copies <- lapply(seq_len(n), function(i) {
    copy <- rows[by_unit[[as.character(units[[(i - 1L) %% length(units) + 1L]])]], ]
    turn <- (i - 1L) %/% length(units)
    if (which == "therapist") copy$therapist <- i
    # the patients of a copied therapist are other patients
    copy$person <- if (which == "therapist") paste(copy$person, turn) else paste(copy$person, turn, "p")
    copy
  })
  made <- do.call(rbind, copies)
  made$person <- match(made$person, unique(made$person))
  made
}

# The model set up again for these rows; its coefficients are those of the pilot, so nothing is estimated that matters.
fit_of_rows <- function(fit, rows) {
  data <- fit$data[fit$rows[rows$row], , drop = FALSE]
  row.names(data) <- NULL
  atoms <- unlist(lapply(fit$spec$bars, function(bar) lapply(group_atoms(bar$group), expr_text)))
  atoms <- unique(c(atoms, vapply(group_atoms(fit$spec$id), expr_text, "")))
  person <- fit$design$groups[[pilot_person(fit)]]
  codes <- row_codes(fit)
  for (name in atoms) {
    old <- fit$data[[name]][fit$rows]
    own <- !is.null(old) && constant_within(match(old, unique(old)), person)
    top <- own && codes$nested && same_partition(match(old, unique(old)), codes$therapist)
    data[[name]] <- if (top) rows$therapist else rows$person
  }
  if (!is.null(fit$time) && any(rows$shift > 0)) {
    if (!is.numeric(data[[fit$time]])) abort_hlm("data", "{.arg n_sessions} can vary when {.var {fit$time}} is a number.")
    data[[fit$time]] <- data[[fit$time]] + rows$shift
  }
  changes <- list(data = data)
  if ("(weights)" %in% names(fit$data)) changes$weights <- as.name("(weights)")
  if ("(offset)" %in% names(fit$data)) changes$offset <- as.name("(offset)")
  call <- update_call(fit, fit$formula, changes, globalenv())
  call$subset <- NULL
  suppressMessages(suppressWarnings(eval(call, globalenv()), classes = "hlm_warning"), classes = "hlm_message")
}
