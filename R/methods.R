# Accessors of a fit: everything that can be read off without further computation, and the small helpers (linear
# predictors, row bookkeeping) that the other method files share. Nothing here evaluates the call again.

# Shared helpers ------------------------------------------------------------------------------------------------------------

n_rows <- function(fit) length(fit$design$y)

kept_columns <- function(fit) setdiff(seq_along(fit$design$x), fit$core$dropped)

# X over the estimated columns only.
kept_x <- function(fit) {
  x <- design_matrix_x(fit)
  if (ncol(x) == length(fit$design$x)) x[, kept_columns(fit), drop = FALSE] else x
}

row_names <- function(fit) row.names(fit$data)[fit$rows]

design_column <- function(design, index) if (index == 0L) 1 else design$columns[[index]]

design_weights <- function(design) if (is.null(design$weights)) rep(1, length(design$y)) else design$weights

design_offset <- function(design) if (is.null(design$offset)) rep(0, length(design$y)) else design$offset

term_group <- function(fit) vapply(fit$design$terms, function(term) as.integer(term$group), 1L)

group_names <- function(fit) vapply(fit$design$groups, `[[`, "", "name")

# X beta + offset, added up column by column: X itself is never formed.
fixed_predictor <- function(fit) {
  eta <- design_offset(fit$design)
  for (k in kept_columns(fit)) {
    eta <- eta + fit$core$beta[[k]] * design_column(fit$design, fit$design$x[[k]])
  }
  eta
}

# Z b over the terms named by index (all of them by default).
random_predictor <- function(fit, terms = seq_along(fit$design$terms)) {
  eta <- numeric(n_rows(fit))
  for (t in terms) {
    term <- fit$design$terms[[t]]
    modes <- term_modes(fit, t)
    codes <- fit$design$groups[[term$group]]$codes
    for (j in seq_along(term$columns)) {
      eta <- eta + modes[codes, j] * design_column(fit$design, term$columns[[j]])
    }
  }
  eta
}

# The columns of one term among those of its group: core$b has the terms of a group side by side.
term_places <- function(fit, t) {
  groups <- term_group(fit)
  sizes <- vapply(fit$design$terms, function(term) length(term$columns), 1L)
  before <- sum(sizes[groups == groups[[t]] & seq_along(groups) < t])
  before + seq_len(sizes[[t]])
}

# Without row names: they would be copied for every row of the data.
term_modes <- function(fit, t) {
  unname(fit$core$b[[fit$design$terms[[t]]$group]])[, term_places(fit, t), drop = FALSE]
}

# Relative Cholesky factor of one term, q x q.
term_lambda <- function(fit, t, theta = fit$core$theta) {
  map <- theta_map(fit$design)
  q <- length(fit$design$terms[[t]]$columns)
  lambda <- matrix(0, q, q)
  mine <- map$term == t
  lambda[cbind(map$row[mine], map$col[mine])] <- theta[mine]
  lambda
}

# The columns of one random-effect term, n x q.
term_matrix <- function(fit, term) {
  n <- n_rows(fit)
  columns <- vapply(term$columns, function(i) rep_len(as.double(design_column(fit$design, i)), n), double(n))
  matrix(columns, n, dimnames = list(NULL, term$names))
}

# Names of the terms' groups as lme4 gives them: repeated factors get .1, .2, ...
term_labels_lme4 <- function(fit) make.unique(group_names(fit)[term_group(fit)])

# A value per analysed row, named, with the rows left out put back as NA where na.exclude was asked for.
per_row <- function(fit, value) {
  names(value) <- row_names(fit)
  stats::naresid(fit$na.action, value)
}

# A misspelt argument would otherwise be swallowed by `...` without a word.
check_dots <- function(...) {
  given <- list(...)
  if (!length(given)) return(invisible())
  names <- names(given) %||% rep("", length(given))
  names[names == ""] <- "(without a name)"
  warn_hlm("arguments", "{cli::qty(length(names))}Argument{?s} not used: {.arg {names}}. Is the spelling right?")
}

n_parameters_hlm <- function(fit) length(kept_columns(fit)) + length(fit$core$theta) + n_residual_parameters(fit) + 1L

# Accessors --------------------------------------------------------------------------------------------------------------------

#' Read estimates and other pieces off a fitted model
#'
#' The usual accessors, with the names and shapes that users of 'lme4' know. They read what the fit already holds and are
#' immediate whatever the size of the data.
#'
#' `fixef()` gives the fixed effects, `coef()` one row of coefficients per group (fixed effect plus the group's own
#' deviation), `sigma()` the residual standard deviation. `logLik()`, `AIC()` and `BIC()` of a model fitted by REML use the
#' restricted likelihood, as 'lme4' does; compare models that differ in their fixed effects with [anova()], which refits by
#' maximum likelihood. `deviance()` of a REML fit needs the choice to be made: `REML = FALSE` for minus twice the
#' log-likelihood at the REML estimates, `REML = TRUE` for the REML criterion.
#'
#' @param object,fit A fitted model of class `hlm`.
#' @param add.dropped Should coefficients that could not be estimated be returned as `NA`?
#' @param REML Should the restricted likelihood be used? By default what the model was fitted with.
#' @param type For `weights()`: `"prior"`, the weights given to [hlm()].
#' @param scale,k As in [stats::extractAIC()]; `scale` is not used.
#' @param ... Not used.
#' @return `fixef()`: a named numeric vector. `coef()`: a list of data frames, one per grouping factor, one row per group.
#'   `sigma()`, `deviance()`, `df.residual()`, `nobs()`: one number. `logLik()`: an object of class `logLik` with attributes
#'   `df` (fixed effects + variance parameters + 1) and `nobs`. `weights()`: one number per analysed row.
#' @source Conventions of Bates, Maechler, Bolker and Walker (2015), *Journal of Statistical Software* 67(1).
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' fixef(fit)
#' head(coef(fit)$Subject)
#' logLik(fit)
#' @name hlm-accessors
NULL

#' @rdname hlm-accessors
#' @importFrom nlme fixef
#' @export
#' @method fixef hlm
fixef.hlm <- function(object, add.dropped = FALSE, ...) {
  check_flag(add.dropped, "add.dropped")
  beta <- stats::setNames(as.double(object$core$beta), object$design$x_names)
  if (add.dropped) {
    beta[object$core$dropped] <- NA_real_
    return(beta)
  }
  beta[kept_columns(object)]
}

#' @rdname hlm-accessors
#' @export
coef.hlm <- function(object, ...) {
  fixed <- fixef.hlm(object)
  modes <- ranef_frames(object)
  missing <- setdiff(unlist(lapply(modes, names)), names(fixed))
  start <- c(stats::setNames(numeric(length(missing)), missing), fixed)
  lapply(modes, function(b) {
    value <- as.data.frame(
      matrix(start, nrow(b), length(start), byrow = TRUE, dimnames = list(row.names(b), names(start))), optional = TRUE
    )
    for (name in names(b)) value[[name]] <- value[[name]] + b[[name]]
    value
  })
}

#' @rdname hlm-accessors
#' @importFrom stats sigma
#' @export
sigma.hlm <- function(object, ...) object$core$sigma

#' @rdname hlm-accessors
#' @export
logLik.hlm <- function(object, REML = NULL, ...) {
  structure(
    -criterion_at_fit(object, use_reml(object, REML)) / 2,
    nobs = n_rows(object), nall = n_rows(object), df = n_parameters_hlm(object), class = "logLik"
  )
}

use_reml <- function(object, REML) if (is.null(REML) || is.na(REML[[1L]])) isTRUE(object$REML) else isTRUE(REML)

# Both criteria at the estimates follow from the parts that the core hands back (Bates et al. 2015, eqs. 34 and 41).
criterion_at_fit <- function(object, reml) {
  if (reml == isTRUE(object$REML)) return(object$core$criterion)
  parts <- object$core$parts
  nu <- if (reml) parts$n - parts$p else parts$n
  parts$logdet_v + (if (reml) parts$logdet_x else 0) + nu * (1 + log(2 * pi * parts$r2 / nu))
}

#' @rdname hlm-accessors
#' @export
deviance.hlm <- function(object, REML = NULL, ...) {
  if (!is.null(REML)) check_flag(REML, "REML")
  if (is.null(REML) && isTRUE(object$REML)) {
    warn_hlm("deviance", c(
      "This model was fitted by REML, so \"deviance\" can mean two things; the REML criterion is returned.",
      i = "Use {.code deviance(fit, REML = TRUE)} for the REML criterion, {.code deviance(fit, REML = FALSE)} for
           -2 log-likelihood."
    ))
    return(object$core$criterion)
  }
  criterion_at_fit(object, isTRUE(REML))
}

#' @rdname hlm-accessors
#' @export
df.residual.hlm <- function(object, ...) n_rows(object) - n_parameters_hlm(object)

#' @rdname hlm-accessors
#' @export
nobs.hlm <- function(object, ...) n_rows(object)

#' @rdname hlm-accessors
#' @export
weights.hlm <- function(object, type = c("prior", "working"), ...) {
  type <- check_choice(type, c("prior", "working"), "type")
  if (type == "working") {
    abort_hlm("data", "Working weights exist only for generalised models; use {.code type = \"prior\"}.")
  }
  design_weights(object$design)
}

#' @rdname hlm-accessors
#' @export
family.hlm <- function(object, ...) stats::gaussian()

#' @rdname hlm-accessors
#' @export
fitted.hlm <- function(object, ...) per_row(object, fixed_predictor(object) + random_predictor(object))

#' @rdname hlm-accessors
#' @export
extractAIC.hlm <- function(fit, scale = 0, k = 2, ...) {
  likelihood <- logLik.hlm(as_ml(fit))
  edf <- attr(likelihood, "df")
  c(edf, -2 * as.double(likelihood) + k * edf)
}

# The same model by maximum likelihood, or by REML.
as_ml <- function(fit) fitted_by(fit, FALSE)

as_reml <- function(fit) fitted_by(fit, TRUE)

fitted_by <- function(fit, reml) {
  if (isTRUE(fit$REML) == reml) return(fit)
  fit$core <- engine_fit(fit$design, reml, fit$control)
  fit$REML <- reml
  if (!is.null(fit$call)) fit$call$REML <- reml
  fit
}

#' Formula, terms, model frame and model matrix of a fit
#'
#' @param x,object,formula A fitted model of class `hlm`.
#' @param fixed.only,random.only Return only the fixed, or only the random, part.
#' @param type `"fixed"` for the columns of the fixed effects, `"random"` for those of the random effects (sparse).
#' @param ... Not used.
#' @return `formula()` the formula as typed; `terms()` the terms of the fixed part, over the columns of the model frame
#'   (`x_within`, `x_between`, ...); `model.frame()` a data frame with one row per analysed row; `model.matrix()` a matrix
#'   of analysed rows by estimated coefficients, with attribute `assign`; `nlme::getData()` the variables stored with the fit, before
#'   rows with missing values were left out.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' formula(fit, fixed.only = TRUE)
#' head(model.matrix(fit))
#' @name hlm-model-pieces
NULL

#' @rdname hlm-model-pieces
#' @export
formula.hlm <- function(x, fixed.only = FALSE, random.only = FALSE, ...) {
  if (fixed.only && random.only) {
    abort_hlm("formula", "Ask for {.code fixed.only} or {.code random.only}, not for both.")
  }
  if (fixed.only) {
    full <- x$formula
    full[[3L]] <- split_formula(full)$fixed
    return(full)
  }
  if (random.only) {
    bars <- lapply(find_calls(x$formula[[3L]], c("|", "||")), function(bar) call("(", bar))
    return(stats::as.formula(call("~", Reduce(function(a, b) call("+", a, b), bars)), env = environment(x$formula)))
  }
  x$formula
}

#' @rdname hlm-model-pieces
#' @importFrom nlme getData
#' @method getData hlm
#' @export
getData.hlm <- function(object) object$data

#' @rdname hlm-model-pieces
#' @export
terms.hlm <- function(x, ...) x$blueprint$terms$object

#' @rdname hlm-model-pieces
#' @export
model.frame.hlm <- function(formula, ...) {
  fit <- formula
  rows <- newdata_derived(fit, newdata_columns(fit, NULL), NULL, "within")
  terms <- fit$blueprint$terms
  frame <- stats::setNames(list(fit$design$y), terms$labels[[terms$response]])
  for (part in c(list(list(terms = terms, predvars = fit$blueprint$predvars)), fit$blueprint$bars)) {
    for (i in seq_along(part$terms$labels)) {
      label <- part$terms$labels[[i]]
      if (is.null(frame[[label]])) frame[[label]] <- frame_variable(fit, rows, label, part$predvars[[i]])
    }
  }
  groups <- unlist(lapply(fit$spec$bars, function(bar) group_atoms(bar$group)))
  for (atom in groups) frame[[deparse1(atom)]] <- eval_new(atom, rows)
  frame$`(weights)` <- fit$design$weights
  structure(frame, class = "data.frame", row.names = row_names(fit), terms = terms$object, na.action = fit$na.action)
}

# Factors with the levels that the fit knows.
frame_variable <- function(fit, rows, label, expr) {
  value <- eval_new(expr, rows)
  levels <- fit$blueprint$xlevels[[label]]
  if (is.null(levels)) value else factor(value, levels = levels, ordered = is.ordered(value))
}

#' @rdname hlm-model-pieces
#' @export
model.matrix.hlm <- function(object, type = c("fixed", "random"), ...) {
  if (check_choice(type, c("fixed", "random"), "type") == "random") return(design_matrix_z(object))
  x <- kept_x(object)
  attr(x, "assign") <- object$design$x_assign[kept_columns(object)]
  x
}
