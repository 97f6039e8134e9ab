# Estimated means and trends through 'emmeans'. Its two generics ask for the data over the variables of the model's terms and for the
# columns of X on a grid of their values; both come from the stored blueprint. So x_within, x_between and their interactions are
# terms of the model for 'emmeans', not opaque products: a trend of x_within differs by treatment when the model says so.

#' Estimated means and trends with 'emmeans'
#'
#' `emmeans::emmeans()`, `emmeans::emtrends()` and `emmeans::joint_tests()` work on fits of [hlm()]. The columns made by `within(x)` and
#' `between(x)` are variables of the reference grid under their names, `x_within` and `x_between`, and take part in interactions:
#' `emtrends(fit, ~ treatment, var = "x_within")` gives the within-person effect in each treatment.
#'
#' Nothing is evaluated again: the grid is built from the analysed rows that the fit holds, with the knots, levels, contrasts
#' and person means of the fit. A product of two within-person variables, which is centred at each person's mean once more, is taken at the
#' average of these means.
#'
#' @param object A fitted model of class `hlm`.
#' @param data Rows to take the reference grid from; by default the analysed rows.
#' @param trms,xlev,grid,options Given by 'emmeans'.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]; for instance `emmeans(fit, ~ treatment, ddf = "Kenward-Roger")`.
#' @param mode,lmer.df Other names for `ddf`, as 'emmeans' has for models of 'lme4'.
#' @param vcov.,cluster Another covariance matrix of the fixed effects, see [hlm-ddf].
#' @param ... Not used.
#' @return `recover_data()`: a data frame of the variables of the fixed effects. `emm_basis()`: a list with `X`, `bhat`, `nbasis`, `V`,
#'   `dffun`, `dfargs` and `misc`, as 'emmeans' asks of every kind of model.
#' @examplesIf requireNamespace("emmeans", quietly = TRUE)
#' fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement, id = id)
#' emmeans::emmeans(fit, ~ session, at = list(session = c(1, 15)))
#' @name hlm-emmeans
NULL

#' @rdname hlm-emmeans
recover_data.hlm <- function(object, data = NULL, ...) {
  rows <- newdata_derived(object, newdata_columns(object, if (!is.null(data)) as.data.frame(data)), NULL, "within")
  trms <- stats::delete.response(prediction_terms(object))
  variables <- intersect(all.vars(trms), names(rows$columns))
  table <- as.data.frame(rows$columns[variables], optional = TRUE, stringsAsFactors = FALSE)
  if (!length(variables)) table <- data.frame(`1` = rep(1, rows$n), check.names = FALSE)
  offset <- object$design$offset
  whole <- rows$n == n_rows(object)
  if (whole && !is.null(object$design$weights)) table[["(weights)"]] <- object$design$weights
  predictors <- if (length(variables)) variables else "1"
  if (whole && any(offset != 0)) {
    table$.offset. <- offset
    predictors <- c(predictors, ".offset.")
  }
  if (!whole) table <- table[stats::complete.cases(table), , drop = FALSE]
  structure(
    table, call = call("hlm", object$formula), terms = trms, predictors = predictors, responses = character(),
    row.names = seq_len(nrow(table))
  )
}

# The terms with the parameters of their bases (knots, coefficients of poly()) filled in, in an environment that holds the constants of
# the formula.
prediction_terms <- function(fit) {
  terms <- fit$blueprint$terms$object
  attr(terms, "predvars") <- as.call(c(list(quote(list)), fit$blueprint$predvars))
  environment(terms) <- list2env(as.list(fit$blueprint$constants), parent = environment(fit$formula))
  terms
}

#' @rdname hlm-emmeans
emm_basis.hlm <- function(object, trms, xlev, grid, ddf = NULL, mode = ddf, lmer.df = mode, vcov. = NULL, cluster = NULL,
                          options = NULL, ...) {
  robust <- is.character(vcov.)
  method <- if (robust) lmer.df else match_ddf(lmer.df)
  # With the degrees of freedom given, there is no need to compute any; Kenward-Roger also has its own standard errors.
  if (!is.null(options$df) && !robust && method != "Kenward-Roger") method <- "asymptotic"
  inference <- resolve_inference(object, method, vcov., cluster)
  if (!robust && method == "between-within") inference$df <- ddf_between_within(object, "highest")$df
  dffun <- function(k, dfargs) dfargs$df(as.double(k))
  attr(dffun, "mesg") <- if (robust) inference$label else tolower(method)
  bhat <- rep(NA_real_, length(object$design$x))
  bhat[kept_columns(object)] <- tested_estimates(object, inference)
  list(
    X = emm_grid_x(object, grid), bhat = bhat, nbasis = not_estimable(object), V = name_vcov(object, inference$vcov), dffun = dffun,
    dfargs = list(df = inference$df), misc = list()
  )
}

# No row of the grid belongs to a person.
emm_grid_x <- function(fit, grid) {
  n <- nrow(grid)
  columns <- lapply(as.list(grid), plain_column)
  columns[] <- Map(restore_clock, columns, names(columns), MoreArgs = list(data = fit$data))
  newdata_x(fit, list(
    columns = columns, given = names(columns), n = n, constants = fit$blueprint$constants, env = environment(fit$formula),
    person = rep(NA_character_, n), own_rows = FALSE
  ))
}

# 'emmeans' averages dates and durations to bare numbers, in the units of the data.
restore_clock <- function(x, name, data) {
  clock <- clock_of(data[[name]])
  if (!is.numeric(x) || is.null(clock)) return(x)
  switch(clock$class,
    Date = structure(x, class = "Date"), POSIXct = structure(x, class = c("POSIXct", "POSIXt"), tzone = clock$zone),
    difftime = as.difftime(x, units = clock$units)
  )
}

# Orthonormal basis of the combinations of coefficients that the data say nothing about; NA when there are none.
not_estimable <- function(fit) {
  dropped <- fit$core$dropped
  if (!length(dropped)) return(matrix(NA_real_))
  x <- design_matrix_x(fit)
  kept <- kept_columns(fit)
  basis <- matrix(0, ncol(x), length(dropped))
  basis[kept, ] <- qr.coef(qr(x[, kept, drop = FALSE]), x[, dropped, drop = FALSE])
  basis[cbind(dropped, seq_along(dropped))] <- -1
  qr.Q(qr(basis))
}
