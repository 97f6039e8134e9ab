# Another model from a fitted one, from the data stored with it.

#' Change a fitted model and fit it again
#'
#' The data stored with the fit are used, so the original data frame need not exist any more, and rows that `subset` left out stay
#' out. A variable that the fit did not use is looked for in the data frame named in the original call, whose rows must still be
#' the same ones; otherwise give `data`.
#'
#' @param object A fitted model of class `hlm`.
#' @param formula. Changes to the formula, `.` standing for what was there: `. ~ . + age`.
#' @param ... Further arguments of [hlm()] to change, for instance `REML = FALSE`. With `data`, the original `subset`, `weights`
#'   and `offset` are evaluated in the new data.
#' @param evaluate `FALSE` returns the call without evaluating it.
#' @return A new fit of class `hlm`; the original one is not changed.
#' @section Errors: `hlm_error_data` when a new variable is not stored with the fit and cannot be found in unchanged data;
#'   those of [hlm()].
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' update(fit, . ~ . - Days)
#' @export
update.hlm <- function(object, formula., ..., evaluate = TRUE) {
  changes <- as.list(substitute(list(...)))[-1L]
  caller <- parent.frame()
  formula <- object$formula
  if (!missing(formula.)) {
    formula <- stats::update.formula(formula, formula.)
    environment(formula) <- environment(object$formula)
  }
  call <- object$call
  call$formula <- formula
  for (name in names(changes)) call[name] <- list(changes[[name]])
  call <- as.call(as.list(call)[!vapply(as.list(call), is.null, NA)])
  if (!evaluate) return(call)
  fit <- eval(update_call(object, formula, changes, caller), caller)
  fit$call <- call
  fit
}

# The call with everything that was stored put in by value; only what the user changes is evaluated where they are.
update_call <- function(object, formula, changes, caller) {
  stored <- list(
    formula = formula, data = NULL, id = object$spec$id, time = if (!is.null(object$time)) as.name(object$time),
    REML = isTRUE(object$REML), contrasts = object$contrasts, control = update_control(object)
  )
  if (!is.null(changes$data)) {
    stored$data <- changes$data
    # What was an expression in the old data is one in the new.
    stored <- c(stored, as.list(object$call)[intersect(c("subset", "weights"), names(object$call))])
    stored$offset <- object$offset_expr
  } else {
    stored$data <- update_data(object, formula, changes, caller)
    if ("(weights)" %in% names(object$data)) stored$weights <- as.name("(weights)")
    if ("(offset)" %in% names(object$data)) stored$offset <- as.name("(offset)")
  }
  stored$na.action <- update_na_action(object)
  stored$residual <- object$residual
  stored[names(changes)] <- changes
  # constants of the formula that were neither in the data nor are where the formula is kept
  if (length(object$blueprint$constants)) {
    environment(stored$formula) <- list2env(object$blueprint$constants, parent = environment(formula))
  }
  as.call(c(list(hlm), stored[!vapply(stored, is.null, TRUE)]))
}

# A start belongs to the parameters of the old model.
update_control <- function(object) {
  control <- object$control
  control["start"] <- list(NULL)
  control
}

update_na_action <- function(object) {
  if (inherits(object$na.action, "exclude")) return(stats::na.exclude)
  if (inherits(object$na.action, "omit")) return(stats::na.omit)
  given <- object$call$na.action
  known <- list(na.omit = stats::na.omit, na.exclude = stats::na.exclude, na.fail = stats::na.fail)
  if (is.name(given)) known[[as.character(given)]] else if (is.character(given)) known[[given]]
}

# The stored data, with the columns that the new formula needs in addition.
update_data <- function(object, formula, changes, caller) {
  changed <- changes[intersect(names(changes), c("weights", "subset", "offset", "id", "time"))]
  residual <- capture_residual(changes$residual, if (is.null(changes$time)) object$time else expr_text(changes$time), caller)
  needed <- unique(c(expr_vars(formula), unlist(lapply(changed, expr_vars)), residual_variables(list(residual = residual))))
  known <- c(names(object$data), names(object$blueprint$constants))
  new <- setdiff(needed, c(known, "."))
  # T and F, pi and other constants are found where the formula is evaluated.
  original <- update_original(object, caller)
  new <- new[new %in% names(original) | !vapply(new, exists, TRUE, envir = environment(formula))]
  if (!length(new)) return(object$data)
  if (is.null(original)) {
    abort_hlm("data", c(
      "{.var {new}} {?is/are} not stored with the fit, and its original data frame cannot be found.",
      i = "Give the data again: {.code update(fit, ..., data = my_data)}."
    ))
  }
  absent <- setdiff(new, names(original))
  if (length(absent)) abort_hlm("data", "The data have no column {.var {absent}}.")
  rows <- match_original_rows(object, original)
  data <- object$data
  for (name in new) data[[name]] <- original[[name]][rows]
  data
}

update_original <- function(object, caller) {
  if (is.null(object$call$data)) return(NULL)
  found <- tryCatch(eval(object$call$data, caller), error = function(e) NULL)
  if (is.data.frame(found)) found
}

# The rows of the original data that the stored ones came from; the columns stored must be unchanged there.
match_original_rows <- function(object, original) {
  stored <- object$data[!names(object$data) %in% c("(weights)", "(offset)")]
  rows <- if (nrow(original) == nrow(stored)) seq_len(nrow(stored)) else match(row.names(stored), row.names(original))
  same <- !anyNA(rows) && all(vapply(intersect(names(stored), names(original)), function(name) {
    isTRUE(all.equal(as.vector(original[[name]])[rows], as.vector(stored[[name]]), check.attributes = FALSE))
  }, TRUE))
  if (!same) {
    abort_hlm("data", c(
      "The data frame {.code {deparse1(object$call$data)}} is no longer the one the model was fitted to.",
      i = "Give the data again: {.code update(fit, ..., data = my_data)}."
    ))
  }
  rows
}
