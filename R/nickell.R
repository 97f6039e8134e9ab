# The bias of a model with the outcome's own earlier value among its predictors.

#' Bias from a lagged outcome (Nickell bias)
#'
#' A model that explains the outcome by its own earlier value and gives each person a level of its own breaks an assumption: the
#' earlier value contains the person's level, and the deviation from the person's mean contains later errors. The coefficients are
#' biased however many persons there are; only more sessions per person help. `nickell_bias()` says by how much, for the sessions of this
#' model and the size of its autoregression.
#'
#' **The earlier value centred at the person's mean** (`within(lagged(y))`, `wb(lagged(y))`, `cx(lagged(y))`): too small, by the amount that Nickell
#' (1981) derived. With T sessions per person and an autoregression rho the bias is
#' `-(1+rho)/(T-1) (1 - (1-rho^T)/(T(1-rho)))` over `1 - 2 rho/((1-rho)(T-1)) (1 - (1-rho^T)/(T(1-rho)))`. Persons with different numbers
#' of sessions, and gaps between them, enter with their own numerator and denominator; with `detrend` those of the person's own trend. The true rho is the one
#' whose expected estimate is the estimate at hand. `nickell` is this bias without other predictors; `bias` takes into account that the other
#' predictors of the
#' model explain part of the earlier value, which makes it larger (numerator the same, denominator what they leave of the earlier value in the fit).
#'
#' **The earlier value as it is** (`lagged(y)`) with a random intercept: usually too large, because the intercept should take up the person's level, but the
#' earlier value does so too. The estimates of the autoregression and of the intercept variance converge to those that maximise the expected
#' likelihood; these follow from the true autoregression and the true spread of the persons' levels for persons whose series started long
#' before the first session (a stationary start). The result solves for the true values that would give the estimates at hand. When the intercept variance is
#' estimated as zero, the two cannot be told apart, and the true autoregression is instead solved for from the deviations within
#' persons (Nickell's formula). Other predictors do not enter this calculation.
#'
#' **What is passed on to the other effects** is the regression of the earlier value on the other predictors (with the weights of the
#' model) times minus the bias: an alliance that goes with the symptoms of the session before has its effect biased as well.
#'
#' These are large-sample values for a stationary autoregression with random intercepts and independent residuals, predictors that do not respond
#' to the outcome and no random
#' slopes. They
#' are meant to show the size of the problem, not to correct a published estimate. Models without the problem treat persons' levels as latent variables: the
#' random-intercept cross-lagged panel model (Hamaker, Kuiper and Grasman 2015) and the maximum-likelihood dynamic panel model (Allison, Williams and
#' Moral-Benito 2017), for instance with 'lavaan' or 'dpm'.
#'
#' @param fit A fitted model of class `hlm`.
#' @param x The result.
#' @param digits Number of decimals to print.
#' @param ... Not used.
#' @return An object of class `hlm_nickell`, a list: `table`, a data frame with one row per lagged outcome: `term`, `form` (`"within"` or `"raw"`), `lag`,
#'   `estimate`, `rho` (the true value that is expected to give this estimate), `bias` (estimate minus `rho`), `nickell` (Nickell's bias at `rho`
#'   without other predictors),
#'   `persons`, `sessions` (analysed sessions per person, mean), `fewest`, `most`, `note`; `effects`, a data frame with the bias passed on to each
#'   other coefficient: `term`,
#'   `type`, `estimate`, `bias`, `ratio` (bias over standard error), `source` (the lagged outcome). `NULL`, with a message, when no lagged outcome is
#'   in the model.
#' @section Errors: `hlm_error_data` when `fit` is no fit of [hlm()]; `hlm_error_covariance` for a model with a residual structure, for which the
#'   formulas do not hold.
#' @source Nickell (1981), *Econometrica* 49, 1417-1426, eqs. 18 and 26; Allison, Williams and Moral-Benito (2017), *Socius* 3, 1-17; Hamaker, Kuiper
#'   and Grasman
#'   (2015), *Psychological Methods* 20, 102-116; Hamaker and Grasman (2015), *Frontiers in Psychology* 5, 1492; Falkenström et al. (2017), *Journal of
#'   Consulting and Clinical Psychology* 85, 537-549.
#' @export
#' @examples
#' fit <- hlm(bai ~ session + within(lagged(bai)) + within(lagged(wai)) + (1 | id),
#'   data = implement, time = session
#' )
#' nickell_bias(fit)
nickell_bias <- function(fit, ...) {
  check_dots(...)
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  check_independent_residuals(fit, "The expected bias is")
  found <- nickell_of(fit)
  if (is.null(found)) inform_hlm("nickell", "The model has no lagged outcome among its predictors, so this bias does not arise.")
  found
}

# NULL without a lagged outcome. `columns`: as lagged_outcome() gives them; `shift`: added to the estimate of a model of the change.
nickell_of <- function(fit, columns = lagged_outcome(fit), shift = 0) {
  # the formulas are those of independent residuals
  if (is.null(columns) || has_residual_structure(fit)) return(NULL)
  parts <- lapply(seq_len(nrow(columns)), function(i) nickell_column(fit, columns[i, ], shift))
  structure(
    list(table = do.call(rbind, lapply(parts, `[[`, "row")), effects = do.call(rbind, lapply(parts, `[[`, "effects"))), class = "hlm_nickell"
  )
}

# One row per fixed effect that is an earlier value of the outcome: term, form, lag, degree of the trend taken off. Read from the
# specification; NULL when there is none. A pass over the columns asked for, no computation.
lagged_outcome <- function(fit, outcome = fit$spec$response) {
  rows <- lapply(unname(fit$spec$columns), function(column) {
    if (!column$kind %in% c("lag", "within") || column$lag <= 0L || !identical(column$expr, outcome)) return(NULL)
    # cx(lagged(y)): the raw column beside the person's mean has the within effect
    centred <- column$kind == "within" || column$source %in% fit$spec$contextual
    data.frame(
      term = column_label(column$name), form = if (centred) "within" else "raw", lag = column$lag,
      degree = if (column$kind == "within") column$degree else 0L, stringsAsFactors = FALSE
    )
  })
  rows <- do.call(rbind, rows)
  if (is.null(rows)) return(NULL)
  rows <- rows[rows$term %in% names(fixef.hlm(fit)), , drop = FALSE]
  if (nrow(rows)) rows
}

nickell_column <- function(fit, column, shift = 0) {
  panel <- fit_panel(fit, column$lag, column$degree)
  estimate <- fixef.hlm(fit)[[column$term]] + shift
  place <- match(column$term, names(fixef.hlm(fit)))
  vcov <- fit$core$vcov
  made <- if (column$form == "within") {
    solve_within(panel, estimate, fit$core$sigma^2 / vcov[place, place], error_variance(fit, panel, column))
  } else {
    solve_raw(fit, panel, estimate, column, shift)
  }
  bias <- estimate - made$rho
  row <- data.frame(
    term = column$term, form = column$form, lag = column$lag, estimate = estimate, rho = made$rho, bias = bias,
    nickell = if (is.na(made$rho)) NA_real_ else panel_bias(panel, made$rho), persons = sum(panel$persons), sessions = panel$rows / sum(panel$persons),
    fewest = min(panel$sessions), most = max(panel$sessions), note = made$note, stringsAsFactors = FALSE
  )
  list(row = row, effects = passed_on(fit, place, bias))
}

# The residual variance of the model also holds the trends of the persons' outcomes when only the predictors are detrended: the variance around
# each person's own trend of what the fixed effects leave over does not.
error_variance <- function(fit, panel, column) {
  if (column$degree == 0L) return(fit$core$sigma^2)
  person <- person_factor(fit)
  codes <- as.integer(person$codes)
  time <- fit_times(fit)
  left <- fit$design$y - design_offset(fit$design) - drop(kept_x(fit) %*% fixef.hlm(fit))
  model <- person_models(left, codes, length(person$levels), time, column$degree)
  # persons with no more rows than coefficients have no rest
  rest <- off_trend(left, model, codes, time)
  rest[(tabulate(codes)[codes]) <= column$degree + 1L] <- 0
  sum(design_weights(fit$design) * rest^2) / (panel$rows - sum(panel$trace) - 1)
}

# The others' bias is minus the regression of the earlier value on them (weights of the model) times its bias (Nickell 1981, eq. 26); by the
# partitioned inverse these regression coefficients are -M[o, l] / M[l, l] of M = (X'V^-1X)^-1.
passed_on <- function(fit, place, bias) {
  coefs <- fit$spec$coefs[kept_columns(fit), , drop = FALSE]
  vcov <- fit$core$vcov
  others <- setdiff(which(coefs$term != "(Intercept)"), place)
  if (!length(others)) return(NULL)
  moved <- vcov[others, place] / vcov[place, place] * bias
  data.frame(
    term = coefs$name[others], type = coefs$type[others], estimate = unname(fixef.hlm(fit)[others]), bias = moved,
    ratio = moved / sqrt(diag(vcov)[others]), source = coefs$name[[place]], row.names = NULL, stringsAsFactors = FALSE
  )
}

# In the reciprocal model the outcome may be computed; the earlier value is that of `lagged`. A change y(t) - y(t-1) with y(t-1) among the predictors
# is the model of the level with the coefficient smaller by 1.
direction_nickell <- function(made) {
  if (!length(made$roles$autoregression)) return(NULL)
  # the coefficient beside a residual is not an autoregression
  if (made$columns$kind == "residualised") return(NULL)
  nickell_of(made$fit, lagged_outcome(made$fit, as.name(made$columns$lagged)), if (made$columns$kind == "change") 1 else 0)
}

#' @rdname nickell_bias
#' @export
print.hlm_nickell <- function(x, digits = 3L, ...) {
  cat("Bias from the lagged outcome (Nickell bias)\n")
  number <- function(value) ifelse(is.na(value), "?", formatC(value, format = "f", digits = digits))
  table <- x$table
  print_table(cbind(
    Name = table$term, Estimate = number(table$estimate), `True value` = number(table$rho), Bias = number(table$bias),
    Persons = format(table$persons), Sessions = formatC(table$sessions, format = "f", digits = 1L)
  ))
  cat_lines("True value: the autoregression that is expected to give this estimate. Sessions: analysed per person, on average")
  for (i in seq_len(nrow(table))) {
    if (!is.na(table$note[[i]])) cat_lines(table$note[[i]])
  }
  if (!is.null(x$effects)) {
    cat("\nPassed on to the other effects\n")
    effects <- x$effects
    print_table(cbind(
      Name = effects$term, Estimate = number(effects$estimate), Bias = number(effects$bias),
      `In standard errors` = formatC(effects$ratio, format = "f", digits = 2L)
    ))
  }
  cat_lines(nickell_advice, 0L)
  invisible(x)
}

nickell_advice <- paste(
  "Without this bias: the random-intercept cross-lagged panel model (Hamaker et al. 2015) and the maximum-likelihood dynamic panel model",
  "(Allison et al. 2017), for instance in 'lavaan' or 'dpm'."
)

# One or two lines for summary(): what the lagged outcome does here.
nickell_note <- function(found) {
  if (is.null(found)) return(NULL)
  row <- found$table[1L, ]
  size <- if (is.na(row$bias)) "" else paste0(", here by about ", formatC(row$bias, format = "f", digits = 2L))
  paste0(
    "The outcome's earlier value (", row$term, ") beside a random intercept is endogenous: its effect is biased", size, " (",
    formatC(row$sessions, format = "f", digits = 1L), " sessions per person), and others with it. ",
    "See nickell_bias(fit); panel models (RI-CLPM, dynamic panel) avoid it."
  )
}

# The same for a model with a residual structure, for which the size of the bias is not known: the formulas are those of independent residuals.
nickell_unknown <- function(fit, columns = lagged_outcome(fit)) {
  if (is.null(columns) || !has_residual_structure(fit)) return(NULL)
  paste0(
    "The outcome's earlier value (", columns$term[[1L]], ") beside a random intercept is endogenous",
    if (has_correlated_residuals(fit)) ", also because residuals are correlated over time", ": its effect is biased, and others with it. ",
    "By how much is not known for a model with a residual structure; panel models (RI-CLPM, dynamic panel) avoid it."
  )
}

print_nickell_note <- function(note) {
  if (is.null(note)) return(invisible())
  cat("\n")
  cat_lines(note, 0L)
}
