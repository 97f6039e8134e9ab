# Slopes as combinations of the coefficients, and the inference about them.
#
# A *setup* is list(probe, focals, held, given): what the functions that evaluate slopes at rows of moderators need.

probe_setup <- function(probe, focals, held = list()) {
  is_label <- vapply(focals, `[[`, NA, "is_label")
  given <- unique(vapply(focals[is_label], `[[`, "", "key"))
  for (focal in focals[is_label]) probe$overridden[[focal$key]] <- focal$original
  beyond <- not_estimable_basis(probe$fit)
  list(probe = probe, focals = focals, held = held, given = given, basis = beyond)
}

# NULL when every combination can be estimated.
not_estimable_basis <- function(fit) {
  basis <- not_estimable(fit)
  if (identical(dim(basis), c(1L, 1L)) && is.na(basis[[1L]])) NULL else basis
}

# The table to evaluate X at: moderators by role, then what is held, then the predictor.
setup_table <- function(setup, modx, mod2 = NULL, pred = NULL) {
  focals <- setup$focals
  n <- length(modx)
  table <- list()
  for (name in names(setup$held)) table[[name]] <- rep(setup$held[[name]], n)
  table[[focals$pred$key]] <- if (!is.null(pred)) pred else table[[focals$pred$key]] %||% rep(default_predictor(focals$pred), n)
  table[[focals$modx$key]] <- modx
  if (!is.null(focals$mod2)) table[[focals$mod2$key]] <- mod2
  structure(table, class = "data.frame", row.names = seq_len(n))
}

default_predictor <- function(pred) if (pred$kind == "factor") pred$levels[[1L]] else mean(pred$x)

# One block per contrast of the predictor ("" for a number): rows of coefficients over the estimated columns, NA rows where the data do not say.
slope_rows <- function(setup, modx, mod2 = NULL) {
  pred <- setup$focals$pred
  table <- setup_table(setup, modx, mod2)
  if (pred$kind == "numeric") {
    rows <- list(grid_gradient(setup$probe, table, pred$key, pred$is_label, setup$given))
    names(rows) <- ""
  } else {
    at <- lapply(stats::setNames(nm = pred$levels), function(level) {
      table[[pred$key]] <- level
      grid_x(setup$probe, table, setup$given)
    })
    pairs <- utils::combn(pred$levels, 2L)
    rows <- lapply(seq_len(ncol(pairs)), function(k) at[[pairs[2L, k]]] - at[[pairs[1L, k]]])
    names(rows) <- paste(pairs[2L, ], "-", pairs[1L, ])
  }
  lapply(rows, estimable_rows, setup = setup)
}

estimable_rows <- function(rows, setup) {
  rows <- unname(rows)
  if (!is.null(setup$basis)) {
    size <- sqrt(rowSums(rows^2))
    lost <- sqrt(rowSums((rows %*% setup$basis)^2)) > 1e-8 * pmax(size, .Machine$double.xmin)
    rows[lost, ] <- NA
  }
  rows[, kept_columns(setup$probe$fit), drop = FALSE]
}

# One test per row; rows of NA give NA.
test_slopes <- function(fit, rows, inference, level) {
  known <- !is.na(rows[, 1L])
  empty <- rep(NA_real_, nrow(rows))
  table <- data.frame(
    Estimate = empty, `Std. Error` = empty, df = empty, `t value` = empty, lower = empty, upper = empty, `Pr(>|t|)` = empty, check.names = FALSE
  )
  if (any(known)) table[known, ] <- test_rows(fit, rows[known, , drop = FALSE], 0, inference, level)[names(table)]
  table
}

# Does the slope depend on the moderator in the estimated part of the model? Compared at several values.
slope_moves <- function(setup, rows) {
  rows <- rows[!is.na(rows[, 1L]), , drop = FALSE]
  if (nrow(rows) < 2L) return(FALSE)
  scale <- sqrt(diag(as.matrix(setup$probe$fit$core$vcov)))
  weighted <- rows * rep(scale, each = nrow(rows))
  max(abs(weighted - rep(weighted[1L, ], each = nrow(rows)))) > 1e-10 * max(abs(weighted), 0)
}

# Values over which dependence on the moderator is judged: all categories, or five values across the range.
trial_values <- function(focal) {
  if (focal$kind == "factor") return(focal$levels)
  range <- range(focal$x)
  range[[1L]] + diff(range) * c(0, 0.23, 0.5, 0.81, 1)
}

# Is the row of coefficients a straight line in the moderator?
slope_is_line <- function(setup, mod2 = NULL, rows = NULL) {
  modx <- setup$focals$modx
  if (modx$kind == "factor") return(FALSE)
  m <- trial_values(modx)
  all(vapply(slope_rows(setup, m, rep(mod2, length(m))), function(l) {
    if (anyNA(l)) return(FALSE)
    w <- (m - m[[1L]]) / (m[[5L]] - m[[1L]])
    straight <- outer(1 - w, l[1L, ]) + outer(w, l[5L, ])
    scale <- pmax(apply(abs(l), 2L, max), 1e-300)
    max(abs(l - straight) / rep(scale, each = 5L)) < 1e-8
  }, NA))
}

# Remarks ----------------------------------------------------------------------------------------------------------------------------

# Sentences that belong to the result whatever its numbers: what is held, how the slope varies between groups, what is missing.
slope_notes <- function(setup, moderated) {
  c(note_held(setup), note_product(setup), note_random(setup, moderated), note_random_missing(setup, moderated))
}

# Other variables that the slope depends on.
note_held <- function(setup) {
  probe <- setup$probe
  focals <- setup$focals
  terms <- probe$fit$blueprint$terms
  own <- labels_of(probe, focals$pred$key, focals$pred$is_label)
  with_pred <- colSums(terms$factors[own, , drop = FALSE] > 0L) > 0L
  partners <- setdiff(terms$labels[rowSums(terms$factors[, with_pred, drop = FALSE] > 0L) > 0L], own)
  keys <- vapply(focals, `[[`, "", "key")
  atoms <- unique(unlist(probe$labels$atoms[label_place(probe, setdiff(partners, keys))]))
  atoms <- setdiff(atoms, keys)
  notes <- vapply(atoms, held_words, "", setup = setup)
  bent <- !focals$pred$is_label && focals$pred$kind == "numeric" && focals$pred$key != focals$modx$key && predictor_is_bent(setup)
  if (bent) {
    at <- setup$held[[focals$pred$key]] %||% mean(focals$pred$x)
    notes <- c(notes, paste0(
      "The slope changes along ", focals$pred$key, " itself; it is taken at ", focals$pred$key, " = ", format_near_zero(at, focals$pred$x),
      if (is.null(setup$held[[focals$pred$key]])) " (the mean)", "."
    ))
  }
  unname(notes)
}

held_words <- function(name, setup) {
  value <- setup$held[[name]]
  x <- setup$probe$values[[name]]
  pred <- setup$focals$pred$key
  if (!is.null(value)) return(paste0("The slope of ", pred, " also depends on ", name, "; it is taken at ", name, " = ", format(value, digits = 4L), "."))
  if (is_category(x)) return(paste0("The slope of ", pred, " also depends on ", name, "; it is averaged over its categories, each counting the same."))
  if (NCOL(x) > 1L) return(paste0("The slope of ", pred, " also depends on ", name, "; it is taken at its mean."))
  paste0("The slope of ", pred, " also depends on ", name, "; it is taken at its mean, ", format_near_zero(setup$probe$means[[name]], x), ".")
}

# The mean of a centred variable is zero, not 1e-17.
near_zero <- function(mean, x) if (abs(mean) < 1e-10 * spread(x)) 0 else mean

format_near_zero <- function(mean, x) format(near_zero(mean, x), digits = 4L)

predictor_is_bent <- function(setup) {
  pred <- setup$focals$pred
  first <- function(focal) if (is.null(focal)) NULL else trial_values(focal)[[1L]]
  setup$held[[pred$key]] <- NULL
  at <- lapply(trial_values(pred)[c(1L, 3L, 5L)], function(value) {
    setup$held[[pred$key]] <- value
    slope_rows(setup, first(setup$focals$modx), first(setup$focals$mod2))[[1L]]
  })
  slope_moves(setup, do.call(rbind, at))
}

note_product <- function(setup) {
  probe <- setup$probe
  if (!length(probe$fit$blueprint$products)) return(NULL)
  keys <- column_label(vapply(setup$focals, `[[`, "", "key"))
  parts <- strsplit(names(probe$fit$blueprint$products), ":", fixed = TRUE)
  if (!any(vapply(parts, function(p) sum(unique(keys) %in% p) >= 2L, NA))) return(NULL)
  paste0(
    "Products of two within-", plain_level(probe$fit$id), " variables are centred at each ", plain_level(probe$fit$id),
    "'s mean once more; that shifts the level of the outcome, not the slopes."
  )
}

# The slopes shown are averages over persons where the predictor has a random slope.
note_random <- function(setup, moderated) {
  pred <- setup$focals$pred
  if (pred$kind != "numeric") return(NULL)
  table <- as.data.frame(VarCorr.hlm(setup$probe$fit))
  mine <- which(table$var1 %in% c(pred$key, column_label(pred$key)) & is.na(table$var2))
  vapply(mine, function(i) {
    paste0(
      "The slope of ", pred$key, " also varies between ", plain_level(sub("[.][0-9]+$", "", table$grp[[i]])), "s (random slope, SD ",
      format(table$sdcor[[i]], digits = 3L), if (moderated) " around the values shown" else " around the value shown", ")."
    )
  }, "")
}

# Heisig & Schaeffer (2019, Eur Sociol Rev 35:258): without the random slope the test of a cross-level interaction is too liberal.
note_random_missing <- function(setup, moderated) {
  pred <- setup$focals$pred
  modx <- setup$focals$modx
  fit <- setup$probe$fit
  if (!moderated || pred$kind != "numeric" || pred$level != "1" || modx$level == "1") return(NULL)
  has_slope <- vapply(fit$design$terms, function(term) any(c(pred$key, column_label(pred$key)) %in% term$names), NA)
  groups <- group_names(fit)[term_group(fit)]
  if (any(has_slope & (groups == modx$level | !modx$level %in% group_names(fit)))) return(NULL)
  group <- if (modx$level %in% group_names(fit)) plain_level(modx$level) else plain_level(groups[[1L]])
  paste0(
    "The model has no random slope of ", pred$key, " between ", group, "s: standard errors of its interactions with variables of the ", group,
    " may be too small (Heisig & Schaeffer 2019). Compare the model with that slope."
  )
}
