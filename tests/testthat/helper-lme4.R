# lme4 as a reference: the contract's design made from lme4's own parsing, so that the core and the dense reference can be
# tested without our formula code.

design_from_lme4 <- function(formula, data, weights = NULL) {
  parsed <- suppressMessages(lme4::lFormula(formula, data, control = lme4::lmerControl(
    check.nobs.vs.nRE = "ignore", check.nlev.gtr.1 = "ignore", check.nobs.vs.nlev = "ignore"
  )))
  frame <- parsed$fr
  x <- parsed$X
  pool <- list()
  find <- function(column) {
    if (all(column == 1)) return(0L)
    same <- which(vapply(pool, identical, TRUE, column))
    if (length(same)) return(same[[1L]])
    pool[[length(pool) + 1L]] <<- column
    length(pool)
  }
  x_index <- vapply(seq_len(ncol(x)), function(j) find(as.double(x[, j])), 1L)
  flist <- parsed$reTrms$flist
  groups <- lapply(names(flist), function(name) {
    list(name = name, codes = as.integer(flist[[name]]), levels = levels(flist[[name]]))
  })
  bars <- lme4::findbars(lme4::expandDoubleVerts(formula))
  ordered <- bars[match_bars(bars, parsed$reTrms, frame)]
  terms <- lapply(seq_along(ordered), function(t) {
    columns <- stats::model.matrix(stats::as.formula(call("~", ordered[[t]][[2L]])), frame)
    list(
      group = attr(flist, "assign")[[t]], columns = vapply(seq_len(ncol(columns)), function(j) find(as.double(columns[, j])), 1L),
      names = colnames(columns), structure = "unstructured", label = paste(deparse(ordered[[t]]), collapse = " ")
    )
  })
  list(
    y = as.double(stats::model.response(frame)), offset = stats::model.offset(frame), weights = weights, columns = pool,
    x = x_index, x_names = colnames(x), x_assign = attr(x, "assign"), groups = groups, terms = terms
  )
}

# lme4 orders the terms by decreasing number of levels; find each of its terms among the bars by names and group.
match_bars <- function(bars, re_terms, frame) {
  group <- vapply(bars, function(bar) paste(deparse(bar[[3L]]), collapse = ""), "")
  names <- lapply(bars, function(bar) colnames(stats::model.matrix(stats::as.formula(call("~", bar[[2L]])), frame)))
  used <- integer()
  for (t in seq_along(re_terms$cnms)) {
    fits <- which(group == names(re_terms$cnms)[[t]] & vapply(names, identical, TRUE, re_terms$cnms[[t]]))
    used <- c(used, setdiff(fits, used)[[1L]])
  }
  used
}
