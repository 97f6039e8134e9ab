# Profile likelihood: how much the fit worsens when one parameter is held away from its estimate. The curves are computed in the
# core (src/rust/core/src/profile_likelihood), from the moments, without the rows.

#' Profile likelihood of a fitted model
#'
#' For each parameter: the parameter is held at a series of values, all others are estimated again, and \eqn{\zeta}, the signed square
#' root of the rise of the deviance, is recorded. Where \eqn{\zeta} is a straight line in the parameter, Wald intervals are right; where it
#' bends, as for variances with few groups, profile intervals are.
#'
#' As in 'lme4', the likelihood is the full one (ML), also for fits by REML. `REML = TRUE` profiles the variance parameters by the
#' restricted likelihood instead, which with few groups is less biased; fixed effects have no REML profile.
#'
#' @param fitted A fitted model of class `hlm`.
#' @param which Names or positions of parameters, `"theta_"` for all variance parameters or `"beta_"` for all fixed effects; all by
#'   default.
#' @param level.max The curves are followed to the limits of an interval of this coverage.
#' @param REML Profile the variance parameters by the restricted likelihood?
#' @param ... Not used.
#' @return A data frame of class `hlm_profile`, in the shape of lme4's: `.zeta`, one column for each parameter (`sd_x|group`,
#'   `cor_x.y|group`, `sigma` and the coefficients), and `.par`, the parameter that was held in this row. A parameter whose curve does not
#'   exist (a correlation with an SD of zero) has no rows.
#' @section Errors: `hlm_error_data` for unknown parameters; `hlm_error_numerical` when the fit is not at the optimum.
#' @source Bates, Maechler, Bolker and Walker (2015), *Journal of Statistical Software* 67(1), section 5.1; Venzon and Moolgavkar (1988),
#'   *Applied Statistics* 37, 87-94.
#' @seealso [confint.hlm()] for the intervals.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' p <- profile(fit)
#' confint(p)
#' @importFrom stats profile
#' @export
profile.hlm <- function(fitted, which = NULL, level.max = 0.99, REML = FALSE, ...) {
  check_dots(...)
  check_flag(REML, "REML")
  check_level(level.max, "level.max")
  check_independent_residuals(
    fitted, "Profile likelihoods are",
    "Use {.code confint(fit, method = \"Wald\")}; {.code summary(fit)} has the interval of the correlation."
  )
  made <- profile_curves(fitted, which, numeric(), stats::qnorm((1 + level.max) / 2), REML)
  names <- made$all$name
  pieces <- Map(function(curve, name, model) {
    values <- profile_values(model, curve)
    table <- data.frame(.zeta = curve$zeta, values, check.names = FALSE)
    names(table) <- c(".zeta", names)
    table[[name]] <- curve$value
    table$.par <- factor(name, levels = names)
    table
  }, made$curves, made$parameters$name, made$models)
  table <- do.call(rbind, unname(pieces))
  row.names(table) <- NULL
  structure(table, class = c("hlm_profile", "data.frame"), parameters = made$all, missing = made$missing, level.max = level.max)
}

# All parameters in lme4's order: per term the SDs and correlations down the columns of its lower triangle, sigma, the coefficients.
profile_parameters <- function(fit) {
  rows <- list()
  add <- function(name, kind, term = 0L, column = 0L, other = 0L) {
    rows[[length(rows) + 1L]] <<- list(name = name, kind = kind, term = term, column = column, other = other)
  }
  for (t in seq_along(fit$design$terms)) {
    term <- fit$design$terms[[t]]
    group <- fit$design$groups[[term$group]]$name
    for (a in seq_along(term$columns)) {
      add(paste0("sd_", term$names[[a]], "|", group), "sd", t, a)
      for (b in seq_along(term$columns)[-seq_len(a)]) {
        add(paste0("cor_", term$names[[b]], ".", term$names[[a]], "|", group), "cor", t, a, b)
      }
    }
  }
  add("sigma", "sigma")
  coefficients <- names(fixef.hlm(fit))
  for (k in seq_along(coefficients)) add(coefficients[[k]], "coefficient", 0L, k)
  table <- do.call(rbind, lapply(rows, as.data.frame))
  table$name <- make.unique(table$name)
  table
}

choose_parameters <- function(table, which) {
  if (is.null(which)) {
    return(table)
  }
  if (identical(which, "theta_")) {
    return(table[table$kind != "coefficient", ])
  }
  if (identical(which, "beta_")) {
    return(table[table$kind == "coefficient", ])
  }
  found <- if (is.character(which)) match(which, table$name) else match(which, seq_len(nrow(table)))
  if (anyNA(found) || !length(found)) {
    abort_hlm("data", c(
      "{.val {which[is.na(found)]}} {?is/are} not {?a parameter/parameters} of this model.",
      i = "Parameters: {.val {table$name}}."
    ))
  }
  table[found, ]
}

# The curves of the chosen parameters and the limits at the cutoffs (values of |zeta|).
# Returns list(all, parameters, curves, models (the fit each curve is about), missing = names of parameters without a curve).
profile_curves <- function(fit, which, cutoffs, zeta_max, reml) {
  if (identical(fit$core$status, "failed")) {
    abort_hlm("numerical", c("This fit is not at an optimum: it has no profile.", i = fit$core$message))
  }
  all <- profile_parameters(fit)
  chosen <- choose_parameters(all, which)
  ml <- as_ml(fit)
  curves <- list()
  models <- list()
  missing <- character()
  for (part in split(chosen, ifelse(reml & chosen$kind != "coefficient", "REML", "ML"))) {
    model <- if (reml && part$kind[[1L]] != "coefficient") as_reml(fit) else ml
    exists <- vapply(seq_len(nrow(part)), function(i) has_profile(model, part[i, ]), NA)
    missing <- c(missing, part$name[!exists])
    part <- part[exists, , drop = FALSE]
    if (!nrow(part)) next
    requests <- lapply(seq_len(nrow(part)), function(i) lapply(as.list(part[i, -1L]), function(x) if (is.numeric(x)) as.integer(x) else x))
    found <- engine_profile(model$design, isTRUE(model$REML), model$core$theta, requests, cutoffs, zeta_max, 8L, model$control)
    check_profile(found, part$name)
    curves[part$name] <- found
    models[part$name] <- list(model)
  }
  kept <- chosen[chosen$name %in% names(curves), , drop = FALSE]
  list(all = all, chosen = chosen, parameters = kept, curves = curves[kept$name], models = models[kept$name], missing = missing)
}

# A correlation with an SD of zero is not defined.
has_profile <- function(fit, parameter) {
  if (parameter$kind != "cor") {
    return(TRUE)
  }
  lambda <- term_lambda(fit, parameter$term)
  all(rowSums(lambda[c(parameter$column, parameter$other), , drop = FALSE]^2) > 0)
}

check_profile <- function(curves, names) {
  fell <- vapply(curves, `[[`, 0, "shortfall")
  if (any(fell > 1e-4)) {
    abort_hlm("numerical", c(
      "Away from the estimates the criterion is lower than at them (by {signif(max(fell), 3)}), for {.val {names[fell > 1e-4]}}.",
      i = "The fit is not at the optimum. Fit again with another {.arg start}, for example {.code start = getME(fit, \"theta\") * 2}."
    ))
  }
}

# All parameters at the points of a curve, one row per point.
profile_values <- function(fit, curve) {
  variance <- vapply(seq_along(curve$value), function(i) {
    c(theta_to_sdcor(fit, curve$theta[i, ], curve$sigma[[i]]), curve$sigma[[i]])
  }, double(nrow(profile_parameters(fit)) - ncol(curve$beta)))
  cbind(matrix(variance, length(curve$value), byrow = TRUE), curve$beta)
}

# SDs and correlations in the order of profile_parameters().
theta_to_sdcor <- function(fit, theta, sigma) {
  unlist(lapply(seq_along(fit$design$terms), function(t) {
    lambda <- term_lambda(fit, t, theta)
    size <- sqrt(rowSums(lambda^2))
    correlation <- tcrossprod(lambda) / outer(size, size)
    diag(correlation) <- sigma * size
    correlation[lower.tri(correlation, diag = TRUE)]
  }))
}

#' @rdname profile.hlm
#' @param object,x A profile.
#' @param parm Names or positions of parameters; all by default.
#' @param level Coverage of the intervals, at most `level.max`.
#' @details `confint()` of a profile interpolates between the points of the curves; `confint(fit, method = "profile")` finds the limits exactly.
#' @export
confint.hlm_profile <- function(object, parm = NULL, level = 0.95, ...) {
  check_dots(...)
  check_level(level)
  reached <- attr(object, "level.max")
  if (level > reached) {
    abort_hlm("data", c(
      "The curves were followed to the limits of {100 * reached} % intervals only.",
      i = "For {100 * level} %: {.code profile(fit, level.max = {level})}, or {.code confint(fit, level = {level})}."
    ))
  }
  table <- attr(object, "parameters")
  chosen <- choose_parameters(table, parm)$name
  cutoff <- stats::qnorm((1 + level) / 2)
  limits <- t(vapply(chosen, function(name) {
    rows <- object[object$.par == name, ]
    if (!nrow(rows)) {
      return(c(NA_real_, NA_real_))
    }
    profile_interpolate(rows$.zeta, rows[[name]], c(-cutoff, cutoff))
  }, double(2L)))
  dimnames(limits) <- list(chosen, interval_names(level))
  limits
}

# Values of the parameter at given zetas: a monotone cubic through the points; beyond a curve that ends at the parameter's bound, the bound.
profile_interpolate <- function(zeta, value, at) {
  keep <- !duplicated(zeta) & is.finite(value)
  if (sum(keep) < 2L) {
    # a curve without any rise: the data say nothing about the parameter
    return(ifelse(at < 0, min(value, na.rm = TRUE), max(value, na.rm = TRUE)))
  }
  value_at <- stats::splinefun(zeta[keep], value[keep], method = "monoH.FC")
  ifelse(at < min(zeta), value[which.min(zeta)], ifelse(at > max(zeta), value[which.max(zeta)], value_at(at)))
}

interval_names <- function(level) {
  tails <- c(1 - level, 1 + level) / 2
  paste(format(100 * tails, trim = TRUE, scientific = FALSE, digits = 3), "%")
}

# A part of a profile is a plain data frame.
#' @export
`[.hlm_profile` <- function(x, ...) {
  part <- NextMethod()
  if (is.data.frame(part)) class(part) <- "data.frame"
  part
}

#' @rdname profile.hlm
#' @export
print.hlm_profile <- function(x, ...) {
  held <- unique(as.character(x$.par))
  cat("Profile likelihood of ", count(length(held), "parameter"), ", ", count(nrow(x), "point"), "\n", sep = "")
  level <- min(0.95, attr(x, "level.max"))
  shown <- confint.hlm_profile(x, held, level)
  estimate <- vapply(held, function(name) x[[name]][x$.par == name][which.min(abs(x$.zeta[x$.par == name]))], 0)
  table <- cbind(Name = held, Estimate = format_column(estimate), format_column(shown[, 1L]), format_column(shown[, 2L]))
  colnames(table)[3:4] <- interval_names(level)
  print_table(table)
  missing <- attr(x, "missing")
  if (length(missing)) cat("Without a profile (an SD is zero): ", paste(missing, collapse = ", "), "\n", sep = "")
  invisible(x)
}
