# Were models fitted to the same rows, outcome and weights?

check_comparable <- function(models, names = paste("model", seq_along(models))) {
  wrong <- !vapply(models, inherits, TRUE, "hlm")
  if (any(wrong)) {
    abort_hlm("data", c(
      "Only models fitted with {.fn hlm} are compared; {cli::qty(sum(wrong))}argument{?s} {as.character(which(wrong))}
       {?is/are} of another kind.",
      i = "Fit all of them with {.fn hlm}."
    ))
  }
  first <- models[[1L]]
  for (i in seq_along(models)[-1L]) {
    check_same_rows(first, models[[i]], names[c(1L, i)])
    if (!isTRUE(all.equal(design_weights(models[[i]]$design), design_weights(first$design), tolerance = 1e-12))) {
      abort_hlm("data", "The models {.val {names[c(1L, i)]}} have different weights.")
    }
  }
}

check_same_rows <- function(a, b, names) {
  same_table <- NROW(a$data) == NROW(b$data) && identical(attr(a$data, "row.names"), attr(b$data, "row.names"))
  if (n_rows(a) != n_rows(b) || (same_table && !identical(a$rows, b$rows))) abort_rows(a, b, names)
  # The outcome may be the same in other words; values decide, to rounding.
  if (!isTRUE(all.equal(a$design$y, b$design$y, tolerance = 1e-12))) {
    if (!setequal(row_names(a), row_names(b))) abort_rows(a, b, names)
    size <- pmax(abs(a$design$y), abs(b$design$y), .Machine$double.xmin)
    differ <- which(abs(a$design$y - b$design$y) > 1e-12 * size)
    abort_hlm("data", c(
      "The models have different outcomes, or were fitted to different rows: the outcome of {.val {names[[1L]]}} and of {.val {names[[2L]]}}
       differs in {length(differ)} of {n_rows(a)} row{?s}.",
      x = "Rows: {show_some(row_names(a)[differ])}.",
      i = "Likelihoods can be compared for the same outcome in the same rows, in the same order."
    ))
  }
}

abort_rows <- function(a, b, names) {
  rows <- list(row_names(a), row_names(b))
  lost <- list(setdiff(rows[[1L]], rows[[2L]]), setdiff(rows[[2L]], rows[[1L]]))
  only <- which(lengths(lost) > 0L)
  detail <- vapply(only, function(k) {
    paste0(count(length(lost[[k]]), "row"), " only in '", names[[k]], "': ", show_some(lost[[k]]))
  }, "")
  abort_hlm("data", c(
    "The models were fitted to different rows: {n_rows(a)} in {.val {names[[1L]]}}, {n_rows(b)} in {.val {names[[2L]]}}.",
    stats::setNames(gsub("([{}])", "\\1\\1", detail), rep("x", length(detail))),
    i = "Usually a predictor of one of them has missing values. Fit all models to the rows that are complete in all
         variables, for instance with {.code subset = complete.cases(x1, x2)}."
  ))
}
