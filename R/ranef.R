# Each group's own deviations (conditional modes) and how uncertain they are.

#' Random effects: how far each patient or therapist is from the average
#'
#' The conditional modes (best linear unbiased predictions) of the random effects and, on request, their conditional
#' variances given the estimated variance components.
#'
#' @param object A fitted model of class `hlm`.
#' @param x The result of `ranef()`.
#' @param condVar Should conditional variances be computed? They are attached as attribute `postVar`: an array
#'   effects x effects x groups, or, as in 'lme4', a list of such arrays when the factor carries several terms.
#' @param drop Return a named vector instead of a data frame where there is a single effect?
#' @param whichel Names of the grouping factors to return.
#' @param ... Not used.
#' @return `ranef()`: a list with one data frame per grouping factor, rows the groups, columns the effects; class
#'   `ranef.hlm`. `as.data.frame()`: columns `grpvar`, `term`, `grp`, `condval` and, with variances, `condsd`.
#' @section Errors: `hlm_error_data` when `whichel` names no grouping factor of the model.
#' @source Bates, Maechler, Bolker and Walker (2015), *Journal of Statistical Software* 67(1), section 5.2.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' head(as.data.frame(ranef(fit)))
#' @importFrom nlme ranef
#' @method ranef hlm
#' @export
ranef.hlm <- function(object, condVar = TRUE, drop = FALSE, whichel = group_names(object), ...) {
  check_dots(...)
  check_flag(condVar, "condVar")
  check_flag(drop, "drop")
  unknown <- setdiff(whichel, group_names(object))
  if (length(unknown)) {
    abort_hlm("data", c(
      "{.val {unknown}} {?is/are} not {?a /}grouping factor{?s} of this model.",
      i = "Grouping factors: {.val {group_names(object)}}."
    ))
  }
  modes <- ranef_frames(object)
  if (condVar) {
    variances <- ranef_variances(object)
    for (g in seq_along(modes)) attr(modes[[g]], "postVar") <- variances[[g]]
  }
  modes <- modes[names(modes) %in% whichel]
  if (drop) modes <- lapply(modes, drop_single)
  structure(modes, class = "ranef.hlm")
}

ranef_frames <- function(object) {
  frames <- lapply(seq_along(object$design$groups), function(g) {
    terms <- which(term_group(object) == g)
    names <- unlist(lapply(object$design$terms[terms], `[[`, "names"))
    modes <- matrix(as.double(object$core$b[[g]]), ncol = length(names))
    frame <- as.data.frame(modes)
    names(frame) <- names
    row.names(frame) <- object$design$groups[[g]]$levels
    frame
  })
  stats::setNames(frames, group_names(object))
}

# postVar as lme4 has it: one array, or one per term where a factor carries several.
ranef_variances <- function(object) {
  blocks <- engine_condvar(known_design(object), isTRUE(object$REML), object$core$theta)
  lapply(seq_along(blocks), function(g) {
    terms <- which(term_group(object) == g)
    arrays <- lapply(terms, function(t) {
      places <- term_places(object, t)
      array(blocks[[g]][places, places, , drop = FALSE], c(length(places), length(places), dim(blocks[[g]])[[3L]]))
    })
    if (length(arrays) == 1L) return(arrays[[1L]])
    stats::setNames(arrays, vapply(object$design$terms[terms], function(term) term$names[[1L]], ""))
  })
}

drop_single <- function(frame) {
  if (ncol(frame) > 1L) return(frame)
  value <- stats::setNames(frame[[1L]], row.names(frame))
  variance <- attr(frame, "postVar")
  if (!is.null(variance)) attr(value, "postVar") <- as.double(variance)
  value
}

#' @rdname ranef.hlm
#' @export
as.data.frame.ranef.hlm <- function(x, ...) {
  pieces <- lapply(names(x), function(group) ranef_long(x[[group]], group))
  do.call(rbind, pieces)
}

ranef_long <- function(frame, group) {
  levels <- row.names(frame)
  # Groups ordered by their first effect, so that a plot of the column shows the caterpillar.
  ranked <- levels[order(frame[[1L]], levels)]
  long <- data.frame(
    grpvar = group, term = factor(rep(names(frame), each = nrow(frame)), levels = names(frame)),
    grp = factor(rep(levels, ncol(frame)), levels = ranked), condval = unlist(frame, use.names = FALSE)
  )
  variance <- attr(frame, "postVar")
  if (!is.null(variance)) {
    arrays <- if (is.list(variance)) variance else list(variance)
    long$condsd <- unlist(lapply(arrays, function(a) {
      unlist(lapply(seq_len(dim(a)[[1L]]), function(i) sqrt(pmax(a[i, i, ], 0))))
    }), use.names = FALSE)
  }
  long
}

#' @rdname ranef.hlm
#' @export
print.ranef.hlm <- function(x, ...) {
  for (group in names(x)) {
    cat("Deviations of each ", group, " from the average:\n", sep = "")
    print(structure(x[[group]], postVar = NULL), ...)
    cat("\n")
  }
  invisible(x)
}
