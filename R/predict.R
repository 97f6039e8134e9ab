# Predictions for the analysed rows and for new ones.

#' Predict from a fitted model
#'
#' Predicted outcomes for the rows of the data or for new rows. Persons who were analysed keep the person means that were
#' computed when the model was fitted: changing one row of `newdata` moves the prediction by the within-person effect only.
#'
#' `re.form` says which random effects enter. `NULL` (default) takes all of them: the prediction for these very persons.
#' `NA` or `~0` takes none: the prediction for an average person. A formula such as `~(1 | therapist)` takes some.
#'
#' `shift` asks a counterfactual question. `predict(fit, shift = c(alliance = 1), at = "within")` predicts each row as if
#' the patient had been one point above what they were in that session, their own mean unchanged; `at = "between"` moves the
#' patient's mean and leaves the deviation from it. Only the named level moves.
#'
#' With a residual structure (argument `residual` of [hlm()]) predictions are those of the fixed and random effects: the residual of an earlier
#' session is not carried forward.
#'
#' @param object A fitted model of class `hlm`.
#' @param newdata A data frame; the analysed rows by default. New persons need rows of their own from which their means are
#'   taken, or columns `x_within` and `x_between`.
#' @param re.form `NULL`, `NA`, `~0` or a one-sided formula of random-effect terms.
#' @param allow.new.levels Predict for groups that were not analysed (with random effect zero) instead of stopping?
#' @param se.fit Return standard errors too? They hold given the estimated variance components, and cover the fixed effects
#'   and the random effects in `re.form`; for groups not analysed they include how much such groups differ.
#' @param shift A named numeric vector: how far to move which variables.
#' @param at The level that `shift` moves: `"within"`, `"between"`, or the name of a higher level of the formula (`"therapist"`).
#' @param na.action What to do with rows of `newdata` that have missing values; by default they give `NA`.
#' @param type Only `"response"` (or `"link"`, the same here).
#' @param ... Not used.
#' @return A named numeric vector; with `se.fit = TRUE` a list with `fit` and `se.fit`.
#' @section Errors: `hlm_error_data` for groups not analysed (unless allowed), for variables missing in `newdata`, and for a
#'   `shift` of something that no term of the model depends on at that level; `hlm_error_formula` for a `re.form` that is not part of
#'   the model.
#' @source Standard errors: Henderson (1975), *Biometrics* 31, 423-447, in the form of Bates et al. (2015), *Journal of
#'   Statistical Software* 67(1), eq. 53.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' predict(fit, data.frame(Days = 10, Subject = "308"), se.fit = TRUE)
#' predict(fit, data.frame(Days = 10), re.form = NA)
#' @export
predict.hlm <- function(object, newdata = NULL, re.form = NULL, allow.new.levels = FALSE, se.fit = FALSE, shift = NULL,
                        at = c("within", "between"), na.action = stats::na.pass, type = c("response", "link"), ...) {
  check_dots(...)
  check_choice(type, c("response", "link"), "type")
  check_flag(allow.new.levels, "allow.new.levels")
  check_flag(se.fit, "se.fit")
  at <- at[[1L]]
  chosen <- random_choice(object, re.form)
  if (is.null(newdata) && is.null(shift) && !se.fit) {
    return(per_row(object, fixed_predictor(object) + random_predictor_chosen(object, chosen)))
  }
  rows <- prediction_rows(object, newdata, chosen, shift, at, na.action)
  check_new_levels(object, rows, chosen, allow.new.levels)
  fit <- rows$offset + drop(rows$x %*% fixef.hlm(object))
  for (t in which(lengths(chosen) > 0L)) fit <- fit + new_random(object, rows, t, chosen[[t]])
  finish <- function(value) stats::napredict(rows$na.action, stats::setNames(value, rows$names))
  if (!se.fit) return(finish(fit))
  list(fit = finish(fit), se.fit = finish(prediction_se(object, rows, chosen)))
}

# Which effects of which term are in re.form: a list over the terms of column positions.
random_choice <- function(object, re.form) {
  terms <- object$design$terms
  all <- lapply(terms, function(term) seq_along(term$columns))
  if (is.null(re.form)) return(all)
  none <- lapply(terms, function(term) integer())
  if (is_no_random(re.form)) return(none)
  if (!inherits(re.form, "formula")) {
    abort_hlm("formula", c(
      "{.arg re.form} must be {.code NULL}, {.code NA} or a formula.", i = "For example {.code re.form = ~(1 | patient)}."
    ))
  }
  Reduce(function(chosen, bar) mark_bar(object, chosen, bar), re_form_bars(object, re.form), none)
}

is_no_random <- function(re.form) {
  (is.atomic(re.form) && length(re.form) == 1L && is.na(re.form)) ||
    (inherits(re.form, "formula") && length(re.form) == 2L && identical(re.form[[2L]], 0))
}

# The bars of re.form read as those of a model are, so that within(x) and a/b mean the same in both.
re_form_bars <- function(object, re.form) {
  full <- stats::as.formula(call("~", object$spec$response, re.form[[length(re.form)]]), env = environment(object$formula))
  parse_formula(full, names(object$data), object$id, object$time)$bars
}

mark_bar <- function(object, chosen, bar) {
  labels <- c(if (bar$terms$intercept == 1L) "(Intercept)", bar$terms$term_labels)
  same_group <- which(vapply(term_group(object), function(g) same_group_name(object$design$groups[[g]]$name, bar$group), TRUE))
  found <- character()
  for (t in same_group) {
    names <- object$design$terms[[t]]$names
    for (label in labels) {
      # A factor's columns are named by the factor and its level.
      mine <- names == label | (label != "(Intercept)" & startsWith(names, label) & !names %in% labels)
      if (any(mine)) found <- c(found, label)
      chosen[[t]] <- union(chosen[[t]], which(mine))
    }
  }
  if (!setequal(found, labels)) {
    text <- paste0("(", deparse1(bar$lhs), " | ", deparse1(bar$group), ")")
    abort_hlm("formula", c(
      "{.arg re.form} has a term that is not in the model: {.code {text}}.",
      i = "Random effects of the model: {.code {vapply(object$design$terms, `[[`, '', 'label')}}."
    ))
  }
  chosen
}

# "a:b" and "b:a" are the same factor.
same_group_name <- function(name, group) {
  setequal(strsplit(name, ":", fixed = TRUE)[[1L]], all.vars(group))
}

random_predictor_chosen <- function(object, chosen) {
  eta <- numeric(n_rows(object))
  for (t in which(lengths(chosen) > 0L)) {
    term <- object$design$terms[[t]]
    modes <- term_modes(object, t)
    codes <- object$design$groups[[term$group]]$codes
    for (j in chosen[[t]]) eta <- eta + modes[codes, j] * design_column(object$design, term$columns[[j]])
  }
  eta
}

# The rows to predict: x, z (one matrix per term), codes (one vector per group, NA for a group that was not analysed),
# offset, names and the na.action to put rows back with.
prediction_rows <- function(object, newdata, chosen, shift, at, na.action) {
  if (is.null(newdata) && is.null(shift)) {
    z <- lapply(object$design$terms, function(term) {
      term_matrix(object, term)
    })
    return(list(
      x = kept_x(object), z = z, codes = lapply(object$design$groups, `[[`, "codes"), offset = design_offset(object$design),
      names = row_names(object), na.action = object$na.action
    ))
  }
  rows <- design_newdata(object, newdata, random = any(lengths(chosen) > 0L), shift = shift, at = at, na.action = na.action)
  if (ncol(rows$x) == length(object$design$x)) rows$x <- rows$x[, kept_columns(object), drop = FALSE]
  if (is.null(rows$offset)) rows$offset <- numeric(nrow(rows$x))
  rows
}

check_new_levels <- function(object, rows, chosen, allowed) {
  if (allowed) return(invisible())
  for (g in unique(term_group(object)[lengths(chosen) > 0L])) {
    new <- is.na(rows$codes[[g]])
    if (!any(new)) next
    name <- group_names(object)[[g]]
    labels <- unique(rows$labels[[g]][new])
    shown <- if (length(labels)) paste0(": ", show_some(labels)) else ""
    abort_hlm("data", c(
      "{.arg newdata} has groups of {.field {name}} that were not analysed{shown}.",
      i = "Use {.code allow.new.levels = TRUE} to predict them as average groups, or {.code re.form = NA} to leave the random
           effects out."
    ))
  }
}

new_random <- function(object, rows, t, columns) {
  modes <- term_modes(object, t)
  codes <- rows$codes[[object$design$terms[[t]]$group]]
  known <- !is.na(codes)
  value <- numeric(length(codes))
  for (j in columns) value[known] <- value[known] + modes[codes[known], j] * rows$z[[t]][known, j]
  value
}

# Standard error of x'beta + z'b as predictors of their true values, given the variance components: with a = (Lambda'z, x)
# and M the matrix of the penalised least squares problem, sigma^2 a' M^-1 a.
prediction_se <- function(object, rows, chosen) {
  if (!any(lengths(chosen) > 0L)) {
    return(sqrt(pmax(rowSums((rows$x %*% object$core$vcov) * rows$x), 0)))
  }
  factors <- getme_factors(object)
  z <- new_sparse_z(object, rows, chosen)
  lambda_t <- Matrix::t(getme_lambda(object))
  variance <- numeric(nrow(rows$x))
  # Sparse throughout: with nested groups a row's solution touches its own groups only. In chunks, because with crossed
  # ones it may touch all.
  for (rows_now in split(seq_len(nrow(rows$x)), (seq_len(nrow(rows$x)) - 1L) %/% 500L)) {
    a <- lambda_t %*% Matrix::t(z[rows_now, , drop = FALSE])
    c_u <- Matrix::solve(factors$L, Matrix::solve(factors$L, a, system = "P"), system = "L")
    from_u <- as.matrix(Matrix::crossprod(factors$RZX, c_u))
    c_x <- solve_fixed(factors$RX, t(rows$x[rows_now, , drop = FALSE]) - from_u)
    variance[rows_now] <- Matrix::colSums(c_u^2) + colSums(c_x^2)
  }
  sqrt(object$core$sigma^2 * (variance + unseen_variance(object, rows, chosen)))
}

new_sparse_z <- function(object, rows, chosen) {
  sizes <- getme_sizes(object)$q_i
  start <- c(0L, cumsum(sizes))
  pieces <- lapply(which(lengths(chosen) > 0L), function(t) {
    term <- object$design$terms[[t]]
    codes <- rows$codes[[term$group]]
    known <- which(!is.na(codes))
    q <- length(term$columns)
    j <- rep(chosen[[t]], each = length(known))
    list(
      i = rep(known, length(chosen[[t]])), j = start[[t]] + (rep(codes[known], length(chosen[[t]])) - 1L) * q + j,
      x = as.double(rows$z[[t]][cbind(rep(known, length(chosen[[t]])), j)])
    )
  })
  join <- function(name) unlist(lapply(pieces, `[[`, name))
  Matrix::sparseMatrix(i = join("i"), j = join("j"), x = join("x"), dims = c(nrow(rows$x), sum(sizes)))
}

# A group that was not analysed differs from the average by its whole variance (relative to sigma^2).
unseen_variance <- function(object, rows, chosen) {
  extra <- numeric(nrow(rows$x))
  for (t in which(lengths(chosen) > 0L)) {
    new <- is.na(rows$codes[[object$design$terms[[t]]$group]])
    if (!any(new)) next
    psi <- tcrossprod(term_lambda(object, t))[chosen[[t]], chosen[[t]], drop = FALSE]
    z <- rows$z[[t]][new, chosen[[t]], drop = FALSE]
    extra[new] <- extra[new] + rowSums((z %*% psi) * z)
  }
  extra
}
