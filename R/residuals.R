# What the model leaves unexplained, row by row.

#' Residuals
#'
#' Observed minus fitted values, the fitted values including the random effects. Rows left out because of missing values
#' come back as `NA` when the model was fitted with `na.action = na.exclude`.
#'
#' @param object A fitted model of class `hlm`.
#' @param type `"response"` (and its synonym `"working"`): in units of the outcome; `"pearson"` (and `"deviance"`): times the
#'   square root of the prior weight (and, with `residual = hetero()`, divided by the ratio of the row's SD to the first one's); `"scaled"`: Pearson
#'   residuals divided by the residual standard deviation; `"normalized"`: scaled and, with a residual structure, freed of serial correlation, so
#'   that they are independent with variance 1 if the model is right (as in 'nlme').
#' @param scaled Divide by the residual standard deviation?
#' @param ... Not used.
#' @return A numeric vector named by the rows of the data.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' summary(residuals(fit, "scaled"))
#' @export
residuals.hlm <- function(object, type = c("response", "pearson", "working", "deviance", "scaled", "normalized"), scaled = FALSE, ...) {
  check_dots(...)
  type <- check_choice(type, c("response", "pearson", "working", "deviance", "scaled", "normalized"), "type")
  check_flag(scaled, "scaled")
  residual <- object$design$y - fixed_predictor(object) - random_predictor(object)
  if (type == "normalized") {
    residual <- whiten_rows(object, residual)
  } else if (type %in% c("pearson", "deviance", "scaled")) {
    residual <- residual * residual_root(object)
  }
  if (scaled || type %in% c("scaled", "normalized")) residual <- residual / object$core$sigma
  per_row(object, residual)
}
