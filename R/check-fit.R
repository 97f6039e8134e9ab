# One list of everything that should be looked at before a model is believed.

#' Check a fitted model
#'
#' Goes through what can go wrong with a multilevel model: the estimation, the data behind each effect, the residuals, the random effects, single
#' persons, and predictors that overlap. Each item gets a verdict (`ok`, `look`, `problem`), the number it rests on, what to do, and where
#' that advice comes from. The list is sorted, problems first.
#'
#' The limits are conventions of the cited literature. They draw attention; none of them decides whether a model is right. Tests are not corrected for
#' the number of items.
#'
#' `check()` does the same. Packages in development have a function of that name, too (`devtools::check()`); whatever is no fit, or nothing, is
#' passed on to it.
#'
#' @param fit A fitted model of class `hlm`.
#' @param x A fit; in the methods, the result.
#' @param all Print items that are in order, too?
#' @param ... Not used.
#' @return A data frame of class `hlm_check`: `check`, `about` (the level, predictor or effect), `verdict` (factor `problem`, `look`, `ok`,
#'   `not checked`), `value`, `finding` (in words), `advice`, `reference`.
#' @seealso [plot.hlm()], [influence.hlm()], [vif()], [level_residuals()]
#' @source The references are named with each item.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' check_fit(hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
#' @export
check_fit <- function(fit, ...) {
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_independent_residuals(
    fit, "{.fn check_fit} is",
    "Use {.code plot(fit)} and {.code residuals(fit, \"normalized\")}, or {.code check_fit(update(fit, residual = NULL))}."
  )
  items <- unlist(lapply(fit_checks(), function(check) check(fit)), recursive = FALSE)
  table <- do.call(rbind, lapply(items, as.data.frame))
  table$verdict <- factor(table$verdict, levels = c("problem", "look", "ok", "not checked"))
  table <- table[order(table$verdict), , drop = FALSE]
  row.names(table) <- NULL
  structure(table, class = c("hlm_check", "data.frame"))
}

#' @rdname check_fit
#' @export
check <- function(x, ...) {
  if (!missing(x) && inherits(x, "hlm")) {
    return(check_fit(x, ...))
  }
  if (missing(x)) pass_on("devtools", "check", ".", ...) else pass_on("devtools", "check", x, ...)
}

# One function of the fit an entry; each returns a list of findings.
fit_checks <- function() {
  list(
    item_convergence, item_boundary, item_rank, item_rows_lost, item_groups, item_predictor_levels, item_row_normality, item_row_outliers,
    item_variances, item_spread, item_ranef_normality, item_ranef_outliers, item_influence, item_collinearity
  )
}

finding <- function(check, verdict, value, finding, advice = "", reference = "", about = "") {
  list(list(
    check = check, about = about, verdict = verdict, value = as.double(value), finding = finding, advice = if (verdict == "ok") "" else advice,
    reference = reference
  ))
}

# "problem" beyond the second limit, "look" beyond the first.
judge <- function(value, look, problem) {
  if (is.na(value)) return("not checked")
  if (value > problem) "problem" else if (value > look) "look" else "ok"
}

#' @rdname check_fit
#' @export
print.hlm_check <- function(x, all = TRUE, ...) {
  counts <- table(x$verdict)
  cat("Check of the model: ", count(counts[["problem"]], "problem"), ", ", counts[["look"]], " to look at, ", counts[["ok"]], " in order\n", sep = "")
  headings <- c(problem = "PROBLEM", look = "LOOK", ok = "OK", `not checked` = "NOT CHECKED")
  shown <- if (all) levels(x$verdict) else c("problem", "look")
  width <- max(40L, getOption("width") - 4L)
  for (verdict in shown) {
    rows <- which(x$verdict == verdict)
    if (!length(rows)) next
    cat("\n", headings[[verdict]], "\n", sep = "")
    for (i in rows) {
      title <- if (nzchar(x$about[[i]])) paste0(x$check[[i]], ", ", x$about[[i]]) else x$check[[i]]
      cat(strwrap(paste0(title, ": ", x$finding[[i]]), width = width, initial = " - ", prefix = "   "), sep = "\n")
      if (nzchar(x$advice[[i]])) {
        advice <- paste0("What to do: ", x$advice[[i]], if (nzchar(x$reference[[i]])) paste0(" (", x$reference[[i]], ")"))
        cat(strwrap(advice, width = width, initial = "   ", prefix = "   "), sep = "\n")
      }
    }
  }
  invisible(x)
}
