# Tests of the random effects, one term or column at a time.

#' Test the random effects of a model
#'
#' Takes away one random effect at a time, fits the smaller model by the same method (REML or ML) to the same rows, and compares
#' the two by a likelihood ratio test, as `lmerTest::ranova()` does. Next to its p value stands the one that is right for a variance: under the
#' null hypothesis a variance is zero, at the edge of what is possible, and the statistic follows a mixture of chi-square distributions
#' (chi-bar-square). The ordinary p value is too large, about twice the right one for a single variance.
#'
#' The mixture is stated in column `weights`: `0.5 chi2(1) + 0.5 chi2(2)` for dropping one of two correlated effects, `0.5 chi2(0) + 0.5 chi2(1)`
#' for a variance alone. Weights of several variances at once depend on the design and come from the information under the null
#' hypothesis; they are exact for up to three variances and for a 2 x 2 covariance matrix, and simulated beyond. They hold
#' in large samples and when all other variances are inside their range; where the smaller model itself has a variance of zero, the
#' column is `NA` and the note below the table says why. For few patients [rlrt()] is exact.
#'
#' A term without an intercept whose only predictor is dropped is removed, unless its columns contain the intercept (all levels of a factor).
#' ('lmerTest' replaces `(0 + x | g)` by `(1 | g)`, which is not nested in it.) When 'lmerTest' is attached after this package, its function of the
#' same name hides this one: write `wbhlm::ranova(fit)`.
#'
#' @param model A fitted model of class `hlm`; others are handed over to 'lmerTest'.
#' @param reduce.terms Take single predictors out of a random-effect term (`TRUE`, default) or only whole terms?
#' @param ... Not used.
#' @param nsim,seed Number of draws and seed for the mixtures that are simulated.
#' @return A data frame of class `hlm_lrt` and `anova` with a first row `<none>` for the model itself: `npar`, `logLik`, `AIC`, `LRT`, `Df`,
#'   `Pr(>Chisq)`, `weights`, `Pr(>chibar)`. Attribute `notes` explains missing weights.
#' @source Self and Liang (1987), *Journal of the American Statistical Association* 82, 605-610; Stram and Lee (1994), *Biometrics* 50,
#'   1171-1177; Shapiro (1988), *International Statistical Review* 56, 49-62.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' ranova(fit)
#' ranova(fit, reduce.terms = FALSE)
#' @export
ranova <- function(model, ...) UseMethod("ranova")

#' @rdname ranova
#' @export
ranova.default <- function(model, ...) {
  check_is_model(model, "ranova")
  rlang::check_installed("lmerTest", "for models that were not fitted with hlm().")
  # It fits again from the call, which must be evaluated where the user is.
  eval(as.call(list(quote(lmerTest::ranova), model, ...)), parent.frame())
}

#' @rdname ranova
#' @export
ranova.hlm <- function(model, reduce.terms = TRUE, ..., nsim = 2000, seed = 1) {
  check_dots(...)
  check_independent_residuals(model, "{.fn ranova} is", "Compare two fits: {.code anova(smaller, larger, refit = FALSE)}.")
  check_flag(reduce.terms, "reduce.terms")
  check_nsim(nsim)
  check_session_seed(seed)
  reml <- isTRUE(model$REML)
  smaller <- unlist(lapply(seq_along(model$design$terms), function(t) {
    if (reduce.terms) reduced_designs(model, t) else whole_term(model, t)
  }), recursive = FALSE)
  fits <- lapply_progress(smaller, function(design) fit_reduced(model, design), "Smaller models", n_rows(model) >= progress_rows)
  loglik <- -c(model$core$criterion, vapply(fits, function(fit) fit$core$criterion, 0)) / 2
  npar <- c(n_parameters_hlm(model), vapply(fits, n_parameters_hlm, 0))
  lrt <- 2 * pmax(0, loglik[[1L]] - loglik[-1L])
  df <- npar[[1L]] - npar[-1L]
  tests <- lapply(seq_along(fits), function(i) chibar_test(fits[[i]], model, lrt[[i]], reml, nsim, seed))
  names <- c("<none>", names(smaller))
  table <- data.frame(
    npar = npar, logLik = loglik, AIC = -2 * loglik + 2 * npar, LRT = c(NA, lrt), Df = c(NA, df),
    `Pr(>Chisq)` = c(NA, stats::pchisq(lrt, df, lower.tail = FALSE)), weights = c(NA, vapply(tests, `[[`, "", "weights")),
    `Pr(>chibar)` = c(NA, vapply(tests, `[[`, 0, "p")), row.names = names, check.names = FALSE
  )
  method <- if (reml) "REML" else "maximum likelihood"
  heading <- c(
    paste0("Tests of the random effects: each row leaves one out (likelihood ratio, ", method, ")"),
    paste0("Model: ", paste(trimws(deparse(model$formula, 500L)), collapse = " "))
  )
  new_lrt_table(table, heading, stats::setNames(vapply(tests, `[[`, "", "note"), names[-1L]))
}

new_lrt_table <- function(table, heading, notes) {
  structure(table, heading = heading, notes = notes[!is.na(notes)], class = c("hlm_lrt", "anova", "data.frame"))
}

# The model with another set of random effects, fitted by the same method; without any, its likelihood is that of theta = 0.
fit_reduced <- function(fit, design) {
  if (length(design$terms)) {
    control <- fit$control
    control$start <- NULL
    fit$core <- engine_fit(design, isTRUE(fit$REML), control)
  } else {
    fit$core <- engine_at(fit$design, isTRUE(fit$REML), 0 * fit$core$theta)
    fit$core$theta <- numeric()
    fit$core$boundary <- list()
    fit$core$status <- "converged"
  }
  fit$design <- design
  fit
}

whole_term <- function(fit, t) {
  label <- paste0("(", fit$design$terms[[t]]$label, ")")
  stats::setNames(list(without_columns(fit$design, t, seq_along(fit$design$terms[[t]]$columns))), label)
}

# As lmerTest: each predictor of the bar that can be left out without breaking a hierarchy of interactions; the term as a whole
# when its only effect is the intercept.
reduced_designs <- function(fit, t) {
  term <- fit$design$terms[[t]]
  place <- fit$blueprint$random[[t]]
  terms <- fit$blueprint$bars[[place$bar]]$terms
  scope <- if (length(terms$term_labels)) stats::drop.scope(terms$object) else character()
  assign <- bar_assign(fit, place$bar)[place$columns]
  scope <- intersect(scope, terms$term_labels[assign])
  # Without an intercept the coding of the other factors depends on the first, so that columns cannot be taken out one by one.
  recoded <- terms$intercept == 0L && length(unique(assign)) > 1L && ncol(term_matrix(fit, term)) > length(unique(assign))
  if (!length(scope) || recoded) return(whole_term(fit, t))
  designs <- lapply(scope, function(label) {
    drop <- which(assign == match(label, terms$term_labels))
    design <- without_columns(fit$design, t, drop)
    if (length(drop) == length(term$columns) && length(drop) > 1L && spans_intercept(fit, term)) {
      term$columns <- 0L
      term$names <- "(Intercept)"
      design <- fit$design
      design$terms[[t]] <- term
    }
    design
  })
  stats::setNames(designs, paste0(scope, " in (", term$label, ")"))
}

# The formula term of each column of a bar (0: intercept), from the variables stored with the fit.
bar_assign <- function(fit, bar) {
  rows <- newdata_derived(fit, newdata_columns(fit, NULL), NULL, "within")
  stored <- fit$blueprint$bars[[bar]]
  variables <- newdata_variables(fit, rows, stored$terms, stored$predvars)
  term_columns(stored$terms, variables, fit$blueprint$contrasts)$assign
}

without_columns <- function(design, t, drop) {
  term <- design$terms[[t]]
  if (length(drop) == length(term$columns)) {
    design$terms <- design$terms[-t]
    return(design)
  }
  term$columns <- term$columns[-drop]
  term$names <- term$names[-drop]
  design$terms[[t]] <- term
  design
}

spans_intercept <- function(fit, term) {
  contained_in(term_matrix(fit, term), matrix(1, n_rows(fit), 1L, dimnames = list(NULL, "(Intercept)")))
}

#' @rdname ranova
#' @param x The result.
#' @export
print.hlm_lrt <- function(x, ...) {
  cat(attr(x, "heading"), "", sep = "\n")
  p <- startsWith(names(x), "Pr(")
  cells <- vapply(seq_along(x), function(j) {
    value <- x[[j]]
    if (is.character(value)) return(ifelse(is.na(value), "", value))
    if (p[[j]]) return(format_p(value, 4L))
    if (names(x)[[j]] %in% c("npar", "Df")) return(ifelse(is.na(value), "", format(value, trim = TRUE)))
    ifelse(is.na(value), "", formatC(value, format = "f", digits = 2L))
  }, character(nrow(x)))
  table <- cbind(row.names(x), matrix(cells, nrow(x)))
  colnames(table) <- c("", names(x))
  print_table(table, right = setdiff(seq_len(ncol(table)), c(1L, match("weights", colnames(table)))))
  notes <- attr(x, "notes")
  for (name in names(notes)) cat(strwrap(paste0(name, ": ", notes[[name]], "."), indent = 1L, exdent = 3L), sep = "\n")
  if (any(p & names(x) == "Pr(>chibar)")) {
    text <- "Pr(>chibar): for variances, which cannot be negative (mixture of chi-square distributions); Pr(>Chisq) is too large for them."
    cat_lines(text, exdent = 3L)
  }
  invisible(x)
}
