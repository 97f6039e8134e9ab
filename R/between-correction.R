# Between-person effects when the persons' means are measured with few sessions.

#' Between-person effects corrected for unreliable person means
#'
#' The mean of a few sessions is an unreliable measure of a person's level. The between-person effect of such a mean is a blend: with reliability
#' lambda it tends to lambda times the true between effect plus (1 - lambda) times the within effect, so the difference between the two
#' effects, and cross-level interactions, come out too small (Luedtke et al. 2008; Gottfredson 2019). `between_correction()` estimates the reliability
#' from the data, replaces each person's observed level by its best prediction, and fits the model again.
#'
#' @details
#' **The predictor's model.** Every variable that the fit splits has a random-intercept model of its own, `x_ij = a'w_j + r_j + e_ij`, in which `w_j`
#' holds the person-level predictors of the fit; several variables, and predictors that vary within persons without being split (such as
#' the session), are taken together, with covariance matrices T between and S within persons. T and S are method-of-moments (analysis of variance)
#' estimates: with equal numbers of sessions they are the REML estimates. The reliability of person j's mean is
#' lambda_j = tau^2 / (tau^2 + sigma^2 / n_j).
#'
#' **The correction** is regression calibration (Carroll et al. 2006), the version for unequal numbers of sessions: the person's level is replaced by its
#' empirical-Bayes prediction given everything observed, m_j, and the within part by x_ij - m_j. In a product of two uncertain parts (a cross-level
#' interaction `within(x):between(x)`, for one) the posterior covariance of the two levels is added or taken off, since
#' E\[(x - mu) mu | x\] = (x - m) m - var(mu | x). With equal numbers of sessions, one variable and no other predictors this is Luedtke et al.'s and
#' Gottfredson's formula: within + (between - within) / lambda. Random slopes keep the observed within part. With a cross-level interaction give
#' the within effect a random slope: what is not known of the moderator makes slopes differ from person to person, and without it the standard error
#' of the interaction is somewhat small.
#'
#' A person's level is that at the average of the predictors that vary within persons and are not split: with `session` in the model and a
#' predictor that rises over sessions, the level at the average session.
#'
#' **Standard errors** are those of the second fit plus D C D', C the covariance matrix of the estimates of a, T and S (normal theory), D the
#' derivatives of the coefficients with respect to them at the estimated variances of the second fit. The two parts add up because the second
#' fit's errors have mean zero given x. Degrees of freedom are those of the uncorrected coefficient.
#'
#' What is corrected is sampling error of the mean as an estimate of the person's long-run level. Where the sessions observed are all there is of
#' interest (the mean of a completed treatment), the observed mean is no sample and needs no correction (Luedtke et al. 2008).
#'
#' @param fit A fitted model of class `hlm` with `wb()`, `cx()` or `between()` terms, persons as the highest level.
#' @param ddf Method for the degrees of freedom, as in [summary()][summary.hlm].
#' @param level Confidence level.
#' @param x The result.
#' @param digits Significant digits.
#' @param ... Not used.
#' @return An object of class `hlm_between_correction`, a list: `coefficients`, a data frame with one row per estimated coefficient (`term`, `type`,
#'   `uncorrected`, `se.uncorrected`, `estimate`, `std.error`, `se.given` (with the reliability taken as known), `df`, `statistic`,
#'   `p.value`, `conf.low`, `conf.high`,
#'   `affected`: does it involve an uncertain level?); `contextual`, the corrected difference between minus within of each variable; `reliability`, a data frame
#'   per variable (`variable`, `tau2`, `sigma2`, `sessions` (harmonic mean), `mean`, `lowest`, `highest`); `persons`, the predictions (`person`, one column per
#'   variable); `vcov`, the covariance matrix of the corrected coefficients; `between`, `within`: T and S.
#' @section Errors: `hlm_error_data` when the model splits no variable, or when persons do not differ in it beyond chance (tau^2 = 0);
#'   `hlm_error_design` for levels above the person, detrended variables, functions of the parts such as `I(between(x)^2)` and products of more
#'   than two uncertain parts.
#' @source Luedtke, Marsh, Robitzsch, Trautwein, Asparouhov and Muthen (2008), *Psychological Methods* 13, 203-229; Gottfredson (2019), *Addictive
#'   Behaviors* 94, 156-161 (PMC6435441); Carroll, Ruppert, Stefanski and Crainiceanu (2006), *Measurement Error in Nonlinear Models*, chapter 4;
#'   Murphy and Topel (1985), *Journal of Business and Economic Statistics* 3, 370-379.
#' @examples
#' # synthetic: 100 persons, 4 sessions; the effect is -0.5 within and -1.5 between persons
#' set.seed(1)
#' d <- data.frame(patient = rep(1:100, each = 4))
#' level <- rnorm(100)
#' d$alliance <- level[d$patient] + rnorm(400, sd = 1.5)
#' d$distress <- 20 - 0.5 * (d$alliance - level[d$patient]) - 1.5 * level[d$patient] +
#'   rnorm(100)[d$patient] + rnorm(400)
#' fit <- hlm(distress ~ wb(alliance) + (1 | patient), d)
#' between_correction(fit)
#' @export
between_correction <- function(fit, ddf = "Satterthwaite", level = 0.95, ...) {
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_level(level)
  check_independent_residuals(fit, "The correction of between effects is")
  problem <- calibration_problem(fit)
  moments <- calibration_moments(problem)
  check_calibration(problem, moments)
  corrected <- corrected_fit(fit, problem, moments)
  structure(
    list(
      coefficients = corrected_table(fit, problem, corrected, ddf, level), contextual = corrected_contextual(fit, corrected, ddf, level),
      reliability = reliability_table(problem, moments), persons = corrected$persons, vcov = corrected$vcov,
      between = moments$between, within = moments$within, conf.level = level
    ),
    class = "hlm_between_correction"
  )
}

# The model fitted again with the predicted levels, and the covariance matrix of its coefficients.
corrected_fit <- function(fit, problem, moments) {
  parameters <- calibration_parameters(problem, moments)
  prediction <- predict_levels(problem, moments)
  design <- corrected_design(fit, problem, prediction)
  control <- fit$control
  control["start"] <- list(NULL)
  core <- engine_fit(design, isTRUE(fit$REML), control)
  names <- design$x_names[setdiff(seq_along(design$x), core$dropped)]
  given <- core$vcov
  beta_at <- function(value) {
    moved <- corrected_design(fit, problem, predict_levels(problem, parameters$moments(value)))
    beta <- engine_at(moved, isTRUE(fit$REML), core$theta)$beta
    beta[match(names, moved$x_names)]
  }
  derivative <- calibration_derivative(beta_at, parameters)
  vcov <- given + derivative %*% parameters$covariance %*% t(derivative)
  dimnames(vcov) <- dimnames(given) <- list(names, names)
  persons <- data.frame(person = problem$person$levels, prediction$level, check.names = FALSE)
  names(persons)[-1L] <- problem$labels
  list(beta = stats::setNames(core$beta[match(names, design$x_names)], names), vcov = vcov, given = given, persons = persons)
}

# Central differences with steps of a thousandth of a standard error: the coefficients are smooth in a, T and S.
calibration_derivative <- function(beta_at, parameters) {
  step <- 1e-3 * sqrt(pmax(diag(parameters$covariance), 0))
  columns <- lapply_progress(seq_along(step), function(k) {
    if (step[[k]] == 0) return(0 * beta_at(parameters$value))
    up <- down <- parameters$value
    up[[k]] <- up[[k]] + step[[k]]
    down[[k]] <- down[[k]] - step[[k]]
    (beta_at(up) - beta_at(down)) / (2 * step[[k]])
  }, "Uncertainty of the correction")
  matrix(unlist(columns), ncol = length(step))
}

# The design with each person's levels replaced by their predictions.
corrected_design <- function(fit, problem, prediction) {
  design <- fit$design
  made <- calibrated_columns(fit, problem, prediction)
  for (name in names(made)) {
    place <- match(name, design$x_names)
    if (is.na(place)) abort_hlm("design", "The column {.var {name}} was computed for the correction, but the model has no such column.")
    design$columns <- c(design$columns, made[name])
    design$x[[place]] <- length(design$columns)
  }
  names(design$columns) <- NULL
  design
}

# The columns of the fixed part that involve an uncertain level, by name.
calibrated_columns <- function(fit, problem, prediction) {
  blueprint <- fit$blueprint
  code <- problem$person$codes
  rows <- problem$rows
  for (i in seq_len(nrow(problem$parts))) {
    part <- problem$parts[i, ]
    level <- prediction$level[code, part$variable]
    rows$columns[[part$column]] <- if (part$kind == "within") problem$x[[part$variable]] - level else level - part$grand
  }
  columns <- term_values(fit, rows)
  for (term in problem$products) {
    variables <- problem$parts$variable[match(term$labels, problem$parts$label)]
    covariance <- prediction$covariance[cbind(code, variables[[1L]], variables[[2L]])]
    columns[term$columns] <- Map(function(value, rest) value + term$sign * covariance * rest, columns[term$columns], term$rest)
  }
  columns[problem$columns]
}

term_values <- function(fit, rows) {
  blueprint <- fit$blueprint
  variables <- newdata_variables(fit, rows, blueprint$terms, blueprint$predvars)
  made <- term_columns(blueprint$terms, variables, blueprint$contrasts, newdata_recentre(fit, rows))
  stats::setNames(made$columns, made$names)
}

corrected_table <- function(fit, problem, corrected, ddf, level) {
  raw <- coefficient_table(fit, prepare_inference(fit, ddf))
  place <- match(names(corrected$beta), row.names(raw))
  coefs <- fit$spec$coefs[match(names(corrected$beta), fit$spec$coefs$name), ]
  se <- sqrt(diag(corrected$vcov))
  statistic <- corrected$beta / se
  df <- raw$df[place]
  half <- stats::qt(1 - (1 - level) / 2, df) * se
  data.frame(
    term = names(corrected$beta), type = coefs$type, uncorrected = raw$Estimate[place], se.uncorrected = raw$`Std. Error`[place],
    estimate = unname(corrected$beta), std.error = unname(se), se.given = unname(sqrt(diag(corrected$given))), df = df,
    statistic = unname(statistic), p.value = unname(2 * stats::pt(abs(statistic), df, lower.tail = FALSE)),
    conf.low = unname(corrected$beta - half), conf.high = unname(corrected$beta + half),
    affected = names(corrected$beta) %in% problem$columns, row.names = NULL, stringsAsFactors = FALSE
  )
}

# Between minus within, corrected; the same combinations of coefficients as in contextual().
corrected_contextual <- function(fit, corrected, ddf, level) {
  contrasts <- contextual_contrasts(fit)
  if (is.null(contrasts)) return(NULL)
  l <- contrasts$l[, names(corrected$beta), drop = FALSE]
  inference <- prepare_inference(fit, ddf)
  estimate <- drop(l %*% corrected$beta)
  se <- sqrt(rowSums((l %*% corrected$vcov) * l))
  df <- apply(contrasts$l, 1L, inference$df)
  half <- stats::qt(1 - (1 - level) / 2, df) * se
  data.frame(
    contrasts$labels, uncorrected = drop(contrasts$l %*% fixef.hlm(fit)), estimate = estimate, std.error = se, df = df,
    statistic = estimate / se, p.value = 2 * stats::pt(abs(estimate / se), df, lower.tail = FALSE), conf.low = estimate - half,
    conf.high = estimate + half, row.names = NULL, stringsAsFactors = FALSE
  )
}

#' @rdname between_correction
#' @export
print.hlm_between_correction <- function(x, digits = max(3L, getOption("digits") - 3L), ...) {
  cat("Effects corrected for the unreliability of person means\n\nReliability of a person's mean\n")
  r <- x$reliability
  share <- function(value) formatC(value, format = "f", digits = 2L)
  print_table(cbind(
    Name = r$variable, Reliability = share(r$mean), `from` = share(r$lowest), `to` = share(r$highest),
    Sessions = formatC(r$sessions, format = "f", digits = 1L)
  ))
  cat("\nEffects\n")
  shown <- x$coefficients[x$coefficients$affected, ]
  before <- format_effects(shown$uncorrected, shown$se.uncorrected, digits)
  after <- format_effects(shown$estimate, shown$std.error, digits)
  print_table(cbind(
    Name = shown$term, Uncorrected = before[, 1L], SE = before[, 2L], Corrected = after[, 1L], SE = after[, 2L],
    p = format_p(shown$p.value)
  ))
  if (!is.null(x$contextual)) {
    cat("\nContextual effects, corrected\n")
    after <- format_effects(x$contextual$estimate, x$contextual$std.error, digits)
    print_table(cbind(Name = paste0(x$contextual$variable, ": ", x$contextual$contrast), after, p = format_p(x$contextual$p.value)))
  }
  text <- "Standard errors carry the uncertainty of the reliability. Other coefficients of the model: $coefficients."
  cat_lines(text)
  invisible(x)
}
