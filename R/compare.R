# Comparison of models, and tests of the terms of one model.

#' Test the terms of a model, or compare models
#'
#' With one model, `anova()` gives an F test of each term with Satterthwaite's or other degrees of freedom (types I, II and III, as
#' 'lmerTest'). With several models it gives likelihood ratio tests; models fitted by REML are refitted by maximum
#' likelihood first, because restricted likelihoods of models with different fixed effects cannot be compared, and the
#' heading of the table says so.
#'
#' Likelihood ratio tests need the same rows, the same outcome and nested models; otherwise `anova()` stops and says why. Where the
#' models differ in their random effects, `Pr(>Chisq)` is too large, because a variance cannot be negative; two columns are then
#' added: the mixture of chi-square distributions that holds (`weights`) and its p value (`Pr(>chibar)`). See [ranova()].
#'
#' @param object A fitted model of class `hlm`.
#' @param ... Further fitted models.
#' @param type Type of the tests of one model: `3` (default), `2` or `1`, also as `"III"`, `"II"`, `"I"`.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]: `"Satterthwaite"`, `"Kenward-Roger"`, `"between-within"`, `"residual"` or
#'   `"none"`; by default `getOption("wbhlm.ddf")`, else `"Satterthwaite"`.
#' @param vcov,cluster With one model: another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`, cluster-robust
#'   by `cluster`; see [hlm-ddf].
#' @param refit Refit REML models by maximum likelihood before comparing? With `FALSE` REML fits are compared as they are, which
#'   needs the same fixed effects in all of them.
#' @param model.names Names of the models for the table.
#' @return A data frame of class `anova`. One model: `Sum Sq`, `Mean Sq`, `NumDF`, `DenDF`, `F value`, `Pr(>F)`. Several:
#'   `npar`, `AIC`, `BIC`, `logLik`, `deviance`, `Chisq`, `Df`, `Pr(>Chisq)`, and, where random effects differ, `weights` and
#'   `Pr(>chibar)` (class `hlm_lrt`).
#' @section Errors: `hlm_error_data` when the models were not fitted to the same rows and outcome; `hlm_error_design` when they
#'   are not nested, or when REML fits with different fixed effects would be compared.
#' @source Kuznetsova, Brockhoff and Christensen (2017), *Journal of Statistical Software* 82(13); Self and Liang (1987),
#'   *Journal of the American Statistical Association* 82, 605-610, on tests of variances.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' full <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' anova(full)
#' anova(hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy), full)
#' @export
anova.hlm <- function(object, ..., type = 3, ddf = NULL, vcov = NULL, cluster = NULL, refit = TRUE, model.names = NULL) {
  cluster <- cluster_argument(object, substitute(cluster), parent.frame())
  check_flag(refit, "refit")
  others <- list(...)
  if (!length(others)) return(anova_terms(object, match_anova_type(type), resolve_inference(object, ddf, vcov, cluster)))
  if (!is.null(vcov) || !is.null(cluster)) {
    warn_hlm("arguments", "{.arg vcov} and {.arg cluster} are for tests of one model; likelihood ratio tests do not use them.")
  }
  models <- c(list(object), others)
  names <- model.names %||% vapply(as.list(substitute(list(object, ...)))[-1L], deparse1, "")
  if (length(names) != length(models)) {
    abort_hlm("data", "{.arg model.names} has {length(names)} name{?s} for {length(models)} models.")
  }
  if (max(nchar(names)) > 40L || anyDuplicated(names)) names <- paste0("model", seq_along(models))
  check_comparable(models, names)
  anova_models(models, names, refit)
}

anova_models <- function(models, names, refit) {
  reml <- vapply(models, function(model) isTRUE(model$REML), TRUE)
  order <- order(vapply(models, n_parameters_hlm, 0L))
  models <- models[order]
  names <- names[order]
  for (i in seq_along(models)[-1L]) check_nested(models[[i - 1L]], models[[i]], names[i - 1:0])
  note <- "Fitted by maximum likelihood."
  if (refit && any(reml)) {
    models <- lapply(models, as_ml)
    note <- "Models fitted by REML were refitted by maximum likelihood for this comparison."
  } else if (any(reml)) {
    check_same_reml(models, reml[order])
    note <- "REML fits compared as they are: valid for the random effects only."
  }
  likelihoods <- lapply(models, logLik.hlm)
  value <- vapply(likelihoods, as.double, 0)
  npar <- vapply(likelihoods, attr, 0, "df")
  chisq <- c(NA, 2 * pmax(0, diff(value)))
  df <- c(NA, diff(npar))
  table <- data.frame(
    npar = npar, AIC = vapply(likelihoods, stats::AIC, 0), BIC = vapply(likelihoods, stats::BIC, 0), logLik = value,
    deviance = -2 * value, Chisq = chisq, Df = df,
    `Pr(>Chisq)` = ifelse(is.na(df) | df == 0, NA, stats::pchisq(chisq, df, lower.tail = FALSE)), row.names = names,
    check.names = FALSE
  )
  formulas <- vapply(models, model_text, "")
  heading <- c("Likelihood ratio tests", note, paste0(names, ": ", formulas), "")
  # Only where the random effects differ: otherwise the table is lme4's.
  if (any(diff(vapply(models, function(model) length(model$core$theta), 1L)) != 0L)) return(add_chibar(table, models, heading))
  structure(table, heading = heading, class = c("anova", "data.frame"))
}

# The mixture for each pair of neighbours that differ in their random effects.
add_chibar <- function(table, models, heading) {
  table$weights <- NA_character_
  table$`Pr(>chibar)` <- NA_real_
  notes <- stats::setNames(rep(NA_character_, nrow(table)), row.names(table))
  for (i in seq_along(models)[-1L]) {
    if (length(models[[i]]$core$theta) == length(models[[i - 1L]]$core$theta)) next
    if (any(vapply(models[i - 1:0], has_residual_structure, NA))) {
      notes[[i]] <- paste("the mixture of chi-square distributions is not known for residual structures:", no_mixture)
      next
    }
    test <- chibar_test(models[[i - 1L]], models[[i]], table$Chisq[[i]], isTRUE(models[[i]]$REML))
    table$weights[[i]] <- test$weights
    table$`Pr(>chibar)`[[i]] <- test$p
    notes[[i]] <- test$note
  }
  new_lrt_table(table, heading[nzchar(heading)], notes)
}

no_mixture <- "Pr(>Chisq) is larger than the right p value where only variances are tested"

# The formula, and the residual structure.
model_text <- function(model) {
  text <- paste(trimws(deparse(model$formula, 500L)), collapse = " ")
  if (is.null(model$residual)) text else paste0(text, ", residual = ", deparse1(model$residual))
}

check_same_reml <- function(models, reml) {
  if (!all(reml) || !same_fixed_part(models)) {
    abort_hlm("design", c(
      "REML fits can be compared only when all are fitted by REML and have the same fixed effects, coded alike.",
      i = "Use {.code refit = TRUE}."
    ))
  }
}

# The same columns, in any order: the restricted likelihood depends on how the predictors are coded, not only on what they span.
same_fixed_part <- function(models) {
  first <- kept_x(models[[1L]])
  all(vapply(models[-1L], function(model) {
    x <- kept_x(model)
    ncol(x) == ncol(first) && setequal(colnames(x), colnames(first)) &&
      isTRUE(all.equal(unname(x[, colnames(first), drop = FALSE]), unname(first), tolerance = 1e-12, check.attributes = FALSE))
  }, TRUE))
}

# Is every column of the smaller model's X a combination of those of the larger one?
spans <- function(large, small) {
  contained_in(kept_x(large), kept_x(small))
}

contained_in <- function(space, columns) {
  new <- columns[, !colnames(columns) %in% colnames(space), drop = FALSE]
  shared <- intersect(colnames(columns), colnames(space))
  changed <- shared[!vapply(shared, function(name) identical(unname(columns[, name]), unname(space[, name])), TRUE)]
  new <- cbind(new, columns[, changed, drop = FALSE])
  if (!ncol(new)) return(TRUE)
  size <- sqrt(colSums(new^2))
  rest <- stats::lm.fit(space, new)$residuals
  all(sqrt(colSums(as.matrix(rest)^2)) <= 1e-7 * pmax(size, .Machine$double.xmin))
}

check_nested <- function(small, large, names) {
  problem <- nesting_problem(small, large)
  if (!is.null(problem)) {
    abort_hlm("design", c(
      "{.val {names[[1L]]}} is not nested in {.val {names[[2L]]}}: {problem}.",
      i = "A likelihood ratio test needs nested models; {.fn compare} sets others side by side by their AIC and BIC."
    ))
  }
}

# NULL, or why the first model is no special case of the second.
nesting_problem <- function(small, large) {
  if (!residual_in(small, large)) return("their residual structures differ, and one does not contain the other")
  if (!spans(large, small)) return("the fixed effects of the smaller model are not all in the larger one")
  if (!all(vapply(seq_along(small$design$terms), random_term_in, TRUE, small = small, large = large))) {
    return("the random effects of the smaller model are not all in the larger one")
  }
}

# A random term of the small model is in the large one when a term there, for the same grouping, spans its columns.
random_term_in <- function(small, large, t) length(random_term_hosts(small, large, t)) > 0L

# The terms of the large model that can hold it.
random_term_hosts <- function(small, large, t) {
  term <- small$design$terms[[t]]
  codes <- small$design$groups[[term$group]]$codes
  which(vapply(large$design$terms, function(other) {
    same_partition(codes, large$design$groups[[other$group]]$codes) &&
      (identical(other$structure, "unstructured") || length(term$columns) == 1L || identical(term$structure, "diagonal")) &&
      contained_in(term_matrix(large, other), term_matrix(small, term))
  }, TRUE))
}

same_partition <- function(a, b) {
  first <- match(a, a)
  identical(first, match(b, b))
}

#' Tests for dropping one term at a time
#'
#' Tests each term that can be left out without breaking the hierarchy of interactions. `"F"` (default) tests it in the
#' fitted model with the degrees of freedom asked for and refits nothing; `"Chisq"` refits with and without the term by
#' maximum likelihood and compares the likelihoods, as 'lme4' does. The fit itself is not changed.
#'
#' @param object A fitted model of class `hlm`.
#' @param scope Names of the terms to consider; all that can be dropped by default.
#' @param test `"F"`, `"Chisq"` or `"none"` (AIC only).
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]: `"Satterthwaite"`, `"Kenward-Roger"`, `"between-within"`, `"residual"` or
#'   `"none"`; by default `getOption("wbhlm.ddf")`, else `"Satterthwaite"`.
#' @param vcov,cluster For `"F"`: another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`, cluster-robust
#'   by `cluster`; see [hlm-ddf].
#' @param k Penalty per parameter in the AIC.
#' @param ... Not used.
#' @return A data frame of class `anova`: for `"F"` the columns of [anova.hlm()] for one model, otherwise `npar`, `AIC` and, with
#'   `"Chisq"`, `LRT` and `Pr(Chi)`.
#' @section Errors: `hlm_error_formula` when `scope` names a term that is not there or cannot be dropped.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' drop1(hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
#' @export
drop1.hlm <- function(object, scope = NULL, test = c("F", "Chisq", "none"), ddf = NULL, vcov = NULL, cluster = NULL, k = 2, ...) {
  cluster <- cluster_argument(object, substitute(cluster), parent.frame())
  check_dots(...)
  test <- check_choice(test, c("F", "Chisq", "none"), "test")
  if (!is_number(k)) abort_hlm("data", "{.arg k} must be one number.")
  marginal <- stats::drop.scope(stats::terms(object))
  scope <- scope %||% marginal
  if (inherits(scope, "formula")) scope <- drop1_scope(object, scope)
  wrong <- setdiff(scope, marginal)
  if (length(wrong)) {
    abort_hlm("formula", c(
      "{.val {wrong}} cannot be dropped from this model.", i = "Terms that can be dropped: {.val {marginal}}.",
      i = "A term stays as long as an interaction that contains it is in the model."
    ))
  }
  if (test == "F") return(drop1_f(object, scope, resolve_inference(object, ddf, vcov, cluster)))
  drop1_refit(object, scope, test, k)
}

drops_nothing <- function(object, term) {
  if (!length(object$core$dropped)) {
    return(FALSE)
  }
  x <- design_matrix_x(object)
  rest <- x[, object$design$x_assign != match(term, term_label_names(object)), drop = FALSE]
  qr(rest)$rank == qr(x)$rank
}

# A scope as a formula; `.` stands for the terms of the model.
drop1_scope <- function(object, scope) {
  full <- stats::delete.response(stats::terms(object))
  attr(stats::terms(stats::update.formula(stats::formula(full), scope)), "term.labels")
}

drop1_f <- function(object, scope, inference) {
  hypotheses <- contrasts_marginal(object)[scope]
  # a term whose place an aliased column would take changes nothing when it is dropped
  still <- vapply(scope, function(term) drops_nothing(object, term), NA)
  hypotheses[still] <- lapply(hypotheses[still], function(l) l[0L, , drop = FALSE])
  table <- term_tests(object, hypotheses, inference)
  structure(table, heading = c(
    paste("Tests for dropping one term, with", inference$label), drop1_model_line(object)
  ), class = c("anova", "data.frame"))
}

drop1_model_line <- function(object) paste0("Model: ", paste(trimws(deparse(object$formula, 500L)), collapse = " "), "\n")

drop1_refit <- function(object, scope, test, k) {
  full <- as_ml(object)
  assign <- object$design$x_assign
  labels <- attr(stats::terms(object), "term.labels")
  fits <- c(list(full), lapply(match(scope, labels), function(term) {
    smaller <- full
    smaller$design <- drop_columns(full$design, which(assign == term))
    smaller$core <- engine_fit(smaller$design, FALSE, smaller$control)
    smaller
  }))
  npar <- vapply(fits, n_parameters_hlm, 0L)
  criterion <- vapply(fits, function(fit) fit$core$criterion, 0)
  table <- data.frame(npar = c(NA, npar[[1L]] - npar[-1L]), AIC = criterion + k * npar, row.names = c("<none>", scope))
  if (test == "Chisq") {
    table$LRT <- c(NA, pmax(0, criterion[-1L] - criterion[[1L]]))
    table$`Pr(Chi)` <- ifelse(table$npar > 0, stats::pchisq(table$LRT, table$npar, lower.tail = FALSE), NA)
  }
  structure(table, heading = c(
    "Single term deletions, all models fitted by maximum likelihood", drop1_model_line(object)
  ), class = c("anova", "data.frame"))
}

drop_columns <- function(design, columns) {
  design$x <- design$x[-columns]
  design$x_names <- design$x_names[-columns]
  design$x_assign <- design$x_assign[-columns]
  design
}
