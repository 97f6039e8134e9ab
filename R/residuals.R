# What the model leaves unexplained, row by row.

#' Residuals
#'
#' Observed minus fitted values, the fitted values including the random effects. Rows left out because of missing values
#' come back as `NA` when the model was fitted with `na.action = na.exclude`.
#'
#' @param object A fitted model of class `hlm`.
#' @param type `"response"` (and its synonym `"working"`): in units of the outcome; `"pearson"` (and `"deviance"`): times the
#'   square root of the prior weight; `"scaled"`: Pearson residuals divided by the residual standard deviation.
#' @param scaled Divide by the residual standard deviation?
#' @param ... Not used.
#' @return A numeric vector named by the rows of the data.
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' summary(residuals(fit, "scaled"))
#' @export
residuals.hlm <- function(object, type = c("response", "pearson", "working", "deviance", "scaled"), scaled = FALSE, ...) {
  check_dots(...)
  type <- check_choice(type, c("response", "pearson", "working", "deviance", "scaled"), "type")
  check_flag(scaled, "scaled")
  residual <- object$design$y - fixed_predictor(object) - random_predictor(object)
  if (type %in% c("pearson", "deviance", "scaled")) residual <- residual * sqrt(design_weights(object$design))
  if (scaled || type == "scaled") residual <- residual / object$core$sigma
  per_row(object, residual)
}
