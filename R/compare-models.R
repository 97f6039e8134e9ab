# Several models side by side.

#' Compare models by information criteria and likelihood ratios
#'
#' A table of AIC, AICc and BIC with differences from the best model and Akaike weights (how much the data favour each model among
#' those compared), and a likelihood ratio test of each model against the next smaller one where the two are nested.
#'
#' All models must be fitted to the same rows and the same outcome. When all were fitted by REML and have the same fixed effects, coded alike, their
#' restricted likelihoods are compared; otherwise REML fits are fitted again by maximum likelihood first, and the output says so. The fits
#' themselves are not changed.
#'
#' In AICc and BIC the sample size is the number of analysed rows (as in [stats::BIC()]); with few patients and many sessions the
#' right number for parameters that concern patients is closer to the number of patients, so that AICc corrects too little there. Tests of variances are
#' given with the mixture of chi-square distributions that holds for them, as in [ranova()].
#'
#' @param ... Fitted models of class `hlm`, or one list of them. Names are used in the table. Not used by `print()`.
#' @param by Criterion for the differences, the weights and the order: `"AIC"` (default), `"AICc"` or `"BIC"`.
#' @param refit `TRUE` to use maximum likelihood always, `FALSE` to use the fits as they are (REML fits then need the same fixed effects); by
#'   default what the fixed effects allow.
#' @param x The result of `compare()`.
#' @return A data frame of class `hlm_compare`, best model first: `npar`, `logLik`, `AIC`, `AICc`, `BIC`, `delta`, `weight`. Attribute `tests`: a data
#'   frame with one row per pair of neighbours in the number of parameters: `smaller`, `larger`, `Chisq`, `Df`, `Pr(>Chisq)`, `weights`,
#'   `Pr(>chibar)`, `note` (why there is no test).
#' @section Errors: `hlm_error_data` when models were not fitted to the same rows, outcome and weights (the message counts the rows
#'   and names the fit); `hlm_error_design` when `refit = FALSE` and restricted likelihoods cannot be compared.
#' @source Burnham and Anderson (2002), *Model Selection and Multimodel Inference*, sections 2.4 and 2.9; Self and Liang (1987), *Journal
#'   of the American Statistical Association* 82, 605-610.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' slope <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' intercept <- hlm(Reaction ~ Days + (1 | Subject), lme4::sleepstudy)
#' compare(slope, intercept)
#' @export
compare <- function(..., by = c("AIC", "AICc", "BIC"), refit = NULL) {
  by <- check_choice(by, c("AIC", "AICc", "BIC"), "by")
  models <- list(...)
  typed <- vapply(as.list(substitute(list(...)))[-1L], function(x) paste(deparse(x, 60L), collapse = ""), "")
  if (length(models) == 1L && is.list(models[[1L]]) && !inherits(models[[1L]], "hlm")) {
    models <- models[[1L]]
    typed <- rep("", length(models))
  }
  names <- model_names(models, typed)
  if (length(models) < 2L) abort_hlm("data", "{.fn compare} needs at least two models.")
  check_comparable(models, names)
  chosen <- comparison_fits(models, refit)
  table <- criteria_table(chosen$models, names, by)
  structure(
    table[order(table$delta), , drop = FALSE], tests = neighbour_tests(chosen$models, names), note = chosen$note, by = by,
    nobs = n_rows(models[[1L]]), class = c("hlm_compare", "data.frame")
  )
}

model_names <- function(models, typed) {
  names <- names(models) %||% rep("", length(models))
  names[!nzchar(names)] <- typed[!nzchar(names)]
  long <- !nzchar(names) | nchar(names) > 40L
  names[long] <- paste0("model", seq_along(models))[long]
  make.unique(names)
}

comparison_fits <- function(models, refit) {
  reml <- vapply(models, function(model) isTRUE(model$REML), TRUE)
  if (!any(reml)) return(list(models = models, note = "All models were fitted by maximum likelihood."))
  if (isFALSE(refit)) check_same_reml(models, reml)
  if (isFALSE(refit) || (is.null(refit) && all(reml) && same_fixed_part(models))) {
    return(list(models = models, note = "Restricted likelihoods (REML): the models have the same fixed effects."))
  }
  list(
    models = lapply(models, as_ml),
    note = if (same_fixed_part(models)) {
      "Models fitted by REML were fitted again by maximum likelihood for this comparison."
    } else {
      "The fixed effects differ: models fitted by REML were fitted again by maximum likelihood for this comparison."
    }
  )
}

criteria_table <- function(models, names, by) {
  likelihoods <- lapply(models, logLik.hlm)
  loglik <- vapply(likelihoods, as.double, 0)
  npar <- vapply(likelihoods, attr, 0, "df")
  n <- n_rows(models[[1L]])
  aic <- -2 * loglik + 2 * npar
  table <- data.frame(
    npar = npar, logLik = loglik, AIC = aic, AICc = ifelse(n > npar + 1, aic + 2 * npar * (npar + 1) / (n - npar - 1), Inf),
    BIC = -2 * loglik + log(n) * npar, row.names = names
  )
  table$delta <- table[[by]] - min(table[[by]])
  table$weight <- exp(-table$delta / 2) / sum(exp(-table$delta / 2))
  table
}

neighbour_tests <- function(models, names) {
  order <- order(vapply(models, n_parameters_hlm, 0L))
  rows <- lapply(seq_along(order)[-1L], function(i) {
    small <- models[[order[[i - 1L]]]]
    large <- models[[order[[i]]]]
    row <- data.frame(
      smaller = names[[order[[i - 1L]]]], larger = names[[order[[i]]]], Chisq = NA_real_, Df = NA_real_, `Pr(>Chisq)` = NA_real_,
      weights = NA_character_, `Pr(>chibar)` = NA_real_, note = NA_character_, check.names = FALSE
    )
    fill_test(row, small, large)
  })
  do.call(rbind, rows)
}

fill_test <- function(row, small, large) {
  problem <- nesting_problem(small, large)
  df <- n_parameters_hlm(large) - n_parameters_hlm(small)
  if (is.null(problem) && df == 0L) problem <- "the models have the same number of parameters"
  if (!is.null(problem)) {
    row$note <- paste0("no test: ", problem)
    return(row)
  }
  row$Chisq <- max(0, small$core$criterion - large$core$criterion)
  row$Df <- df
  row$`Pr(>Chisq)` <- stats::pchisq(row$Chisq, df, lower.tail = FALSE)
  if (length(small$core$theta) != length(large$core$theta) && (has_residual_structure(small) || has_residual_structure(large))) {
    row$note <- no_mixture
  } else if (length(small$core$theta) != length(large$core$theta)) {
    test <- chibar_test(small, large, row$Chisq, isTRUE(large$REML))
    row$weights <- test$weights
    row$`Pr(>chibar)` <- test$p
    row$note <- test$note
  }
  row
}

#' @rdname compare
#' @export
print.hlm_compare <- function(x, ...) {
  two <- function(value) ifelse(is.na(value), "", formatC(value, format = "f", digits = 2L))
  cat("Models compared by ", attr(x, "by"), " (", count(attr(x, "nobs"), "row"), ")\n", attr(x, "note"), "\n\n", sep = "")
  print_table(cbind(
    Name = row.names(x), npar = format(x$npar), logLik = two(x$logLik), AIC = two(x$AIC), AICc = two(x$AICc), BIC = two(x$BIC),
    delta = two(x$delta), weight = formatC(x$weight, format = "f", digits = 3L)
  ))
  tests <- attr(x, "tests")
  cat("\nLikelihood ratio tests\n")
  known <- !is.na(tests$Chisq)
  if (any(known)) {
    shown <- tests[known, , drop = FALSE]
    table <- cbind(
      Name = paste(shown$smaller, "in", shown$larger), Chisq = two(shown$Chisq), Df = format(shown$Df),
      `Pr(>Chisq)` = format_p(shown$`Pr(>Chisq)`, 4L), weights = ifelse(is.na(shown$weights), "", shown$weights),
      `Pr(>chibar)` = format_p(shown$`Pr(>chibar)`, 4L)
    )
    if (all(is.na(shown$weights))) table <- table[, 1:4, drop = FALSE]
    print_table(table, right = setdiff(seq_len(ncol(table)), c(1L, match("weights", colnames(table)))))
  }
  for (i in which(!is.na(tests$note))) {
    cat(strwrap(paste0(tests$smaller[[i]], ", ", tests$larger[[i]], ": ", tests$note[[i]], "."), indent = 1L, exdent = 3L), sep = "\n")
  }
  invisible(x)
}
