# Tidy data frames of a fit, in the style of 'broom.mixed'.

#' Tidy data frames from a fitted model
#'
#' `tidy()` gives the estimates, `glance()` one row about the model, `augment()` the data with fitted values and residuals, in
#' the shape of 'broom.mixed', so that 'modelsummary' and other tools can use them.
#'
#' @param x A fitted model of class `hlm`.
#' @param effects Any of `"fixed"`, `"ran_pars"` (standard deviations and correlations), `"ran_vals"` (each group's deviations)
#'   and `"ran_coefs"` (each group's coefficients).
#' @param conf.int Add confidence limits (for fixed effects, `"ran_pars"` and `"ran_vals"`)? Wald limits of `"ran_pars"` are [varcomp()]'s, and
#'   standard errors come with them.
#' @param conf.level Confidence level.
#' @param conf.method `"Wald"` (default), `"profile"` or `"boot"`: see [confint.hlm()]. The last two for fixed effects and `"ran_pars"`;
#'   covariances (`scales = "vcov"`) then have no limits.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]: `"Satterthwaite"`, `"Kenward-Roger"`, `"between-within"`, `"residual"` or
#'   `"none"`; by default `getOption("wbhlm.ddf")`, else `"Satterthwaite"`.
#' @param vcov,cluster Another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`, cluster-robust
#'   by `cluster`; see [hlm-ddf].
#' @param scales For `"ran_pars"`: `"sdcor"` (default) or `"vcov"`.
#' @param data A data frame with the analysed rows to add the columns to.
#' @param newdata New rows to predict.
#' @param ... Passed to [predict()][predict.hlm] by `augment()` and to [confint()][confint.hlm] by `tidy(conf.method = "boot")`; otherwise not used.
#' @return A tibble where 'tibble' is installed, otherwise a data frame. `tidy()`: `effect`, `group`, `level`, `term`, `estimate`,
#'   `std.error`, `statistic`, `df`, `p.value`, `conf.low`, `conf.high` as far as they apply; random-effect parameters are named
#'   `sd__x`, `cor__a.b`, `sd__Observation`; those of a residual structure `phi__session` and `sd_ratio__phase.level`.
#'   `glance()`: `nobs`, `sigma`, `logLik`, `AIC`, `BIC`, `REMLcrit` or `deviance`, `df.residual`, and `residual` where the model has a
#'   residual structure. `augment()`: the data with `.fitted`, `.resid`, `.fixed` (and `.weights`).
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' tidy(fit, conf.int = TRUE)
#' glance(fit)
#' @name hlm-tidiers
NULL

as_tidy <- function(table) {
  row.names(table) <- NULL
  if (requireNamespace("tibble", quietly = TRUE)) tibble::as_tibble(table) else table
}

#' @rdname hlm-tidiers
tidy.hlm <- function(x, effects = c("ran_pars", "fixed"), conf.int = FALSE, conf.level = 0.95, conf.method = "Wald",
                     ddf = NULL, scales = c("sdcor", "vcov"), vcov = NULL, cluster = NULL, ...) {
  cluster <- cluster_argument(x, substitute(cluster), parent.frame())
  scales <- check_choice(scales, c("sdcor", "vcov"), "scales")
  check_flag(conf.int, "conf.int")
  check_level(conf.level, "conf.level")
  method <- confint_method(x, conf.method, TRUE)
  # NULL: no limits; Wald limits come with the tests
  limits <- if (conf.int && method != "wald") {
    function(part) confint.hlm(x, part, conf.level, method, ...)
  }
  makers <- list(
    fixed = function() add_limits(tidy_fixed(x, resolve_inference(x, ddf, vcov, cluster), if (conf.int) conf.level), limits, "beta_"),
    ran_pars = function() {
      wanted <- if (conf.int) conf.level
      add_limits(rbind(tidy_ran_pars(x, scales, wanted), tidy_residual(x, wanted)), limits, "theta_", scales)
    },
    ran_vals = function() tidy_ran_vals(x, if (conf.int) conf.level),
    ran_coefs = function() tidy_ran_coefs(x)
  )
  unknown <- setdiff(effects, names(makers))
  if (length(unknown)) {
    abort_hlm("data", "{.arg effects} knows {.val {names(makers)}}, not {.val {unknown}}.")
  }
  # The order of broom.mixed: fixed effects first.
  pieces <- lapply(makers[intersect(names(makers), effects)], function(maker) maker())
  names <- c("effect", "group", "level", "term", "estimate", "std.error", "statistic", "df", "p.value", "conf.low", "conf.high")
  names <- names[names %in% unlist(lapply(pieces, names))]
  as_tidy(do.call(rbind, lapply(unname(pieces), fill_columns, names = names)))
}

# Limits by another method, whose rows stand in the order of the table.
add_limits <- function(tidy, limits, part, scales = "sdcor") {
  if (is.null(limits)) return(tidy)
  found <- unname(limits(part))
  if (scales == "vcov") {
    single <- startsWith(tidy$term, "var__")
    found[single, ] <- found[single, ]^2
    found[!single, ] <- NA
  }
  tidy$conf.low <- found[, 1L]
  tidy$conf.high <- found[, 2L]
  tidy
}

fill_columns <- function(table, names) {
  for (name in setdiff(names, names(table))) table[[name]] <- rep(if (name %in% c("group", "level")) NA_character_ else NA_real_, nrow(table))
  table[names]
}

tidy_fixed <- function(x, inference, level) {
  table <- coefficient_table(x, inference, level)
  tidy <- data.frame(
    effect = rep("fixed", nrow(table)), term = row.names(table), estimate = table$Estimate, std.error = table$`Std. Error`,
    statistic = table$`t value`, df = table$df, p.value = table$`Pr(>|t|)`
  )
  if (!is.null(level)) tidy <- cbind(tidy, conf.low = table$lower, conf.high = table$upper)
  tidy
}

tidy_ran_pars <- function(x, scales, level = NULL) {
  table <- as.data.frame.VarCorr.hlm(VarCorr.hlm(x), order = "lower.tri")
  prefix <- if (scales == "sdcor") c("sd", "cor") else c("var", "cov")
  var1 <- ifelse(table$grp == "Residual" & is.na(table$var1), "Observation", table$var1)
  single <- is.na(table$var2)
  tidy <- data.frame(
    effect = "ran_pars", group = table$grp,
    term = ifelse(single, paste0(prefix[[1L]], "__", var1), paste0(prefix[[2L]], "__", var1, ".", table$var2)),
    estimate = table[[scales]]
  )
  if (is.null(level)) return(tidy)
  key <- function(rows, group) paste(group, rows$var1, rows$var2)
  errors <- varcomp.hlm(x, scale = if (scales == "sdcor") "sd" else "variance", level = level)
  errors <- as.data.frame(errors)[match(key(table, table$grp), key(errors, errors$group)), ]
  cbind(tidy, std.error = errors$std.error, conf.low = errors$lower, conf.high = errors$upper)
}

tidy_ran_vals <- function(x, level) {
  long <- as.data.frame(ranef.hlm(x, condVar = TRUE))
  tidy <- data.frame(
    effect = "ran_vals", group = long$grpvar, level = as.character(long$grp), term = as.character(long$term),
    estimate = long$condval, std.error = long$condsd
  )
  if (is.null(level)) return(tidy)
  half <- stats::qnorm(1 - (1 - level) / 2) * tidy$std.error
  cbind(tidy, conf.low = tidy$estimate - half, conf.high = tidy$estimate + half)
}

tidy_ran_coefs <- function(x) {
  coefficients <- coef.hlm(x)
  pieces <- lapply(names(coefficients), function(group) {
    table <- coefficients[[group]]
    data.frame(
      effect = "ran_coefs", group = group, level = rep(row.names(table), ncol(table)),
      term = rep(names(table), each = nrow(table)), estimate = unlist(table, use.names = FALSE)
    )
  })
  do.call(rbind, pieces)
}

#' @rdname hlm-tidiers
glance.hlm <- function(x, ...) {
  likelihood <- logLik.hlm(x)
  table <- data.frame(
    nobs = n_rows(x), sigma = x$core$sigma, logLik = as.double(likelihood), AIC = stats::AIC(likelihood),
    BIC = stats::BIC(likelihood)
  )
  table[[if (isTRUE(x$REML)) "REMLcrit" else "deviance"]] <- x$core$criterion
  table$df.residual <- df.residual.hlm(x)
  if (has_residual_structure(x)) table$residual <- sub("^~", "", deparse1(x$residual))
  as_tidy(table)
}

#' @rdname hlm-tidiers
augment.hlm <- function(x, data = NULL, newdata = NULL, ...) {
  if (!is.null(newdata)) {
    table <- as.data.frame(newdata)
    table$.fitted <- unname(predict.hlm(x, newdata = newdata, ...))
    return(as_tidy(table))
  }
  table <- augment_data(x, data)
  fixed <- fixed_predictor(x)
  fitted <- fixed + random_predictor(x)
  added <- list(.fitted = fitted, .resid = x$design$y - fitted, .fixed = fixed)
  if (!is.null(x$design$weights)) added$.weights <- x$design$weights
  whole <- nrow(table) != n_rows(x)
  for (name in names(added)) {
    table[[name]] <- if (whole) replace(rep(NA_real_, nrow(table)), x$rows, added[[name]]) else added[[name]]
  }
  as_tidy(table)
}

# The stored variables; all rows after na.exclude, the analysed ones otherwise.
augment_data <- function(x, data) {
  if (is.null(data)) {
    data <- as.data.frame(x$data, optional = TRUE)
    return(if (inherits(x$na.action, "exclude")) data else data[x$rows, , drop = FALSE])
  }
  data <- as.data.frame(data)
  if (!nrow(data) %in% c(n_rows(x), NROW(x$data))) {
    abort_hlm("data", c(
      "{.arg data} has {nrow(data)} row{?s}; the model was fitted to {n_rows(x)} of {NROW(x$data)}.",
      i = "Leave {.arg data} out to use the variables stored with the fit."
    ))
  }
  data
}
