# Reliability of the random effects, and empirical-Bayes estimates beside those of ordinary least squares.

#' How reliably do the data tell persons apart?
#'
#' For each random effect the share of the differences between persons' own least-squares estimates that is real: the variance between
#' persons over that variance plus the error variance of the person's own estimate, averaged over the persons (the reliability
#' that 'HLM' prints). Near 1, persons' own sessions say all about their intercept or slope; near 0, estimates must lean on the other persons.
#'
#' For patients within therapists the error variance of a therapist's own estimate contains the differences between the patients as well.
#' Persons whose own data do not give the estimate (a slope from one session, say) are left out of the average and counted.
#'
#' @param fit A fitted model of class `hlm`.
#' @param x The result.
#' @param digits Number of decimals.
#' @param ... Not used.
#' @return A data frame of class `hlm_reliability`, one row per random effect: `group`, `term`, `variance` (between groups), `reliability`, `groups` (their
#'   number), `used` (those with an estimate of their own).
#' @source Raudenbush and Bryk (2002), *Hierarchical Linear Models*, 2nd ed., eqs. 3.58 to 3.60 and (three levels) 8.11 and 8.12.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' reliability(hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
#' @export
reliability <- function(fit, ...) UseMethod("reliability")

#' @export
reliability.default <- function(fit, ...) abort_not_hlm("reliability", fit)

#' @rdname reliability
#' @export
reliability.hlm <- function(fit, ...) {
  check_dots(...)
  check_independent_residuals(fit, "The reliability of random effects is")
  pieces <- lapply(used_groups(fit$design), function(g) {
    own <- own_estimates(fit, g)
    tau <- effect_variances(fit, g)
    share <- outer(rep(1, nrow(own$variance)), tau) / (outer(rep(1, nrow(own$variance)), tau) + own$variance)
    data.frame(
      group = fit$design$groups[[g]]$name, term = names(tau), variance = unname(tau),
      reliability = ifelse(colSums(!is.na(share)) > 0L, colMeans(share, na.rm = TRUE), NA_real_), groups = nrow(share),
      used = colSums(!is.na(share)), row.names = NULL
    )
  })
  structure(do.call(rbind, pieces), class = c("hlm_reliability", "data.frame"))
}

#' @rdname reliability
#' @export
print.hlm_reliability <- function(x, digits = 3L, ...) {
  cat("Reliability of the random effects (share of the differences between own estimates that is real)\n")
  print_table(cbind(
    Groups = ifelse(duplicated(x$group), "", x$group), Name = x$term, Reliability = formatC(x$reliability, format = "f", digits = digits),
    `averaged over` = paste(x$used, "of", x$groups)
  ), right = 3:4)
  invisible(x)
}

#' Empirical-Bayes and least-squares deviations of each person
#'
#' Sets each person's random effects as the model estimates them (empirical Bayes: shrunken towards the average) beside those that
#' the person's own sessions give alone (ordinary least squares). Large differences show where the model leans on the other persons.
#'
#' Both are deviations from the fixed effects. The least-squares estimate takes the fixed effects as known, and the random effects
#' of other groups (the therapist of a patient, crossed factors) at their empirical-Bayes estimates. For a therapist it is the generalised
#' least-squares estimate that weighs the patients by how much each tells.
#'
#' @param fit A fitted model of class `hlm`.
#' @param group Name of the grouping factor; the one with most groups by default.
#' @param x The result.
#' @param n Number of rows to print.
#' @param ... Not used.
#' @return A data frame of class `hlm_ranef_compare`: `group`, `level` (the person), `term`, `eb`, `eb_se` (conditional standard deviation),
#'   `ols`, `ols_se`, `n` (rows of the person). `ols` is `NA` for persons whose own rows do not give the estimate; attribute `without_ols` counts them.
#' @section Errors: `hlm_error_data` when `group` names no grouping factor of the model.
#' @source Raudenbush and Bryk (2002), *Hierarchical Linear Models*, 2nd ed., section 3.3 and eq. 3.57.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' ranef_compare(hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
#' @export
ranef_compare <- function(fit, group = NULL) {
  check_independent_residuals(fit, "The comparison with least-squares estimates is")
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  g <- match(group %||% group_names(fit)[[used_groups(fit$design)[[1L]]]], group_names(fit))
  if (length(g) != 1L || is.na(g)) {
    abort_hlm("data", c(
      "{.val {group}} is not a grouping factor of this model.", i = "Grouping factors: {.val {group_names(fit)}}."
    ))
  }
  own <- own_estimates(fit, g)
  effects <- names(effect_variances(fit, g))
  spread <- engine_condvar(fit$design, isTRUE(fit$REML), fit$core$theta)[[g]]
  spread <- vapply(seq_along(effects), function(j) sqrt(pmax(spread[j, j, ], 0)), numeric(nrow(own$variance)))
  levels <- fit$design$groups[[g]]$levels
  table <- data.frame(
    group = group_names(fit)[[g]], level = rep(levels, length(effects)), term = rep(effects, each = length(levels)),
    eb = as.double(fit$core$b[[g]]), eb_se = as.double(spread), ols = as.double(own$estimate), ols_se = sqrt(as.double(own$variance)),
    n = rep(tabulate(fit$design$groups[[g]]$codes, length(levels)), length(effects))
  )
  structure(
    table, without_ols = sum(rowSums(is.na(own$variance)) > 0L), groups = length(levels), class = c("hlm_ranef_compare", "data.frame")
  )
}

#' @rdname ranef_compare
#' @export
print.hlm_ranef_compare <- function(x, n = 10L, ...) {
  cat("Deviations of each ", plain_level(x$group[[1L]]), ": empirical Bayes (eb) and own rows alone (ols)\n", sep = "")
  shown <- utils::head(as.data.frame(x)[-1L], n)
  print(shown, row.names = FALSE, digits = 4L)
  if (nrow(x) > n) cat(" ... ", nrow(x) - n, " more rows\n", sep = "")
  lost <- attr(x, "without_ols")
  if (length(lost) && lost > 0L) cat(" ", lost, " of ", attr(x, "groups"), " have too few rows for an estimate of their own.\n", sep = "")
  invisible(x)
}

# Variances of all effects of a grouping factor, in the order of the columns of core$b.
effect_variances <- function(fit, g) {
  unlist(lapply(which(term_group(fit) == g), function(t) {
    stats::setNames(fit$core$sigma^2 * rowSums(term_lambda(fit, t)^2), fit$design$terms[[t]]$names)
  }))
}

# Each group's own estimate of its effects and its error variance: (Z'V^-1 Z)^-1 Z'V^-1 r and sigma^2 times the inverse, V without the
# effects of this factor but with those of the factors nested in it, r the outcome without the fixed effects and the modes of all other
# factors. NA where the group's rows do not give the effects.
own_estimates <- function(fit, g) {
  inner <- inner_factors(fit$design, g)
  groups <- term_group(fit)
  own <- which(groups == g)
  other <- which(!groups %in% c(g, inner))
  r <- fit$design$y - fixed_predictor(fit) - random_predictor(fit, other)
  pieces <- if (length(inner)) own_precision_nested(fit, own, which(groups %in% inner), r) else own_precision(fit, own, r)
  q <- ncol(pieces$score)
  estimate <- variance <- matrix(NA_real_, nrow(pieces$score), q)
  for (j in seq_len(nrow(estimate))) {
    block <- matrix(pieces$precision[j, ], q)
    size <- sqrt(diag(block))
    if (any(!is.finite(size)) || any(size <= pieces$floor)) next
    scaled <- block / outer(size, size)
    if (q > 1L && rcond(scaled) < 1e-8) next
    inverse <- solve(scaled) / outer(size, size)
    estimate[j, ] <- inverse %*% pieces$score[j, ]
    variance[j, ] <- fit$core$sigma^2 * diag(inverse)
  }
  list(estimate = estimate, variance = variance)
}

# Factors with random effects whose levels each lie in one level of factor g.
inner_factors <- function(design, g) {
  Filter(function(h) h != g && is_nested(design$groups[[h]], design$groups[[g]]), used_groups(design))
}

# Nothing nested inside: cross-products of the rows.
own_precision <- function(fit, own, r) {
  codes <- fit$design$groups[[fit$design$terms[[own[[1L]]]]$group]]$codes
  z <- do.call(cbind, lapply(fit$design$terms[own], function(term) term_matrix(fit, term)))
  w <- design_weights(fit$design)
  q <- ncol(z)
  products <- lapply(seq_len(q), function(k) rowsum(w * z * z[, k], codes, reorder = TRUE))
  list(precision = unname(do.call(cbind, products)), score = unname(rowsum(w * z * r, codes, reorder = TRUE)), floor = 0)
}

# With factors inside: from the conditional variance C and mode b under a working Psi, Z'V^-1 Z = C^-1 - Psi^-1 and Z'V^-1 r = C^-1 b.
own_precision_nested <- function(fit, own, inside, r) {
  design <- fit$design
  g <- design$terms[[own[[1L]]]]$group
  columns <- unlist(lapply(design$terms[own], `[[`, "columns"))
  rows <- length(design$y) / length(design$groups[[g]]$levels)
  work <- vapply(columns, function(i) 1 / (rows * mean(design_column(design, i)^2)), 0)
  kept <- sort(c(own, inside))
  map <- theta_map(design)
  theta <- fit$core$theta
  done <- 0L
  for (t in own) {
    mine <- which(map$term == t)
    theta[mine] <- ifelse(map$row[mine] == map$col[mine], sqrt(work[done + map$row[mine]]), 0)
    done <- done + length(design$terms[[t]]$columns)
  }
  theta <- theta[map$term %in% kept]
  design$terms <- design$terms[kept]
  design$x <- integer()
  design$x_names <- character()
  design$x_assign <- integer()
  design$offset <- NULL
  design$y <- r
  at <- engine_at(design, FALSE, theta)
  spread <- engine_condvar(design, FALSE, theta)[[g]] / at$sigma^2
  q <- length(columns)
  precision <- matrix(0, dim(spread)[[3L]], q * q)
  score <- at$b[[g]]
  for (j in seq_len(nrow(precision))) {
    inverse <- solve(matrix(spread[, , j], q))
    precision[j, ] <- inverse - diag(1 / work, q)
    score[j, ] <- inverse %*% score[j, ]
  }
  # What is left of a difference of equal numbers is no information.
  list(precision = precision, score = score, floor = sqrt(1e-9 / work))
}
