# Johnson-Neyman regions: for which values of a moderator does the slope of a predictor differ from zero?

#' Johnson-Neyman regions of significance
#'
#' Instead of slopes at a few chosen values, all values of a moderator at which the slope of the predictor differs from zero: the bounds of these
#' regions, how many persons (or sessions) of the data lie in each, and whether a region lies beyond the data.
#'
#' Each slope has its own degrees of freedom, so that the critical value may change along the moderator. Where it does not (`ddf = "none"`,
#' `"residual"`, ...) and the
#' slope is a straight line in the moderator, the bounds are the roots of Johnson and Neyman's quadratic equation; otherwise all roots are found numerically,
#' for straight lines on the whole axis, for curved ones (`poly()`, `ns()`) within the observed range, since such curves mean nothing outside.
#'
#' @section Many tests:
#' Looking at all values of a moderator is many tests. `adjust = "fdr"` limits the share of false discoveries to `alpha`: Benjamini and Hochberg's
#' procedure over
#' the tests at the observed values, each value once (Esarey and Sumner 2018); for more than 1,000 of them 1,001 evenly spaced values; `grid` sets others.
#' The level it finds for each test is reported and also used for the band. `adjust = "simultaneous"` makes band and regions hold for all values of the
#' moderator together with the given confidence (Potthoff 1964, after Scheffe); this is the strictest.
#'
#' @inheritParams simple_slopes
#' @inheritSection simple_slopes Which variable
#' @inheritSection simple_slopes Other variables
#' @param modx The moderator, a number.
#' @param mod2 For three-way interactions a second moderator; the regions are found at each of its values.
#' @param at Values of `mod2` (as in [simple_slopes()] for `at2`), or a named list with values of `mod2` and single values of other variables.
#' @param at2 Values of `mod2`; the same as `at`.
#' @param level Confidence level of the band; `1 - alpha`.
#' @param alpha Level of the tests, if given instead of `level`.
#' @param adjust `"none"` (default): each value of the moderator by itself; `"fdr"` or `"simultaneous"`, see below.
#' @param range Two numbers: regions and picture are limited to this part of the moderator.
#' @param grid With `adjust = "fdr"`: the values of the moderator whose tests are adjusted together.
#' @param what For `as.data.frame()`: `"regions"`, `"bounds"` or `"curve"`.
#' @return An object of class `hlm_johnson_neyman`, a list. The data frames have the columns `contrast` (of a categorical predictor) and `mod2` where
#'   they apply.
#'   `bounds`: `bound`, the slope there (`Estimate`, `Std. Error`, `df`) and `inside`, whether the bound is among the observed values;
#'   `regions`: `from`, `to`, `significant`, `sign` of the slope, `n` and `share` of the units of the moderator in it (of those in the
#'   category, with a categorical `mod2`), and `data`: whether `"all"`, `"part"` or
#'   `"none"` of the region is within the observed values; `curve`: slopes and band over the moderator, for [plot()];
#'   `rules`: for each curve the `alpha` of its tests, whether its bounds come from the quadratic equation (`closed`) and, with `"fdr"`, the number
#'   of `tests`, with
#'   `"simultaneous"` the critical t (`limit`); `observed`, the values of the moderator, one per unit; `pred`, `modx`, `mod2`, `held`, `notes`,
#'   `adjust`, `alpha`,
#'   `range`, `inference`. `tidy()` gives the regions as columns `term`, `contrast`, `modx`, `mod2`, `mod2.value`, `from`, `to`, `significant`,
#'   `sign`, `n`, `share`, `data`.
#' @section Errors: `hlm_error_data` when the moderator is not a number or does not vary, when a variable is not in the model, or, also of class
#'   `hlm_error_no_interaction`,
#'   when the slope does not depend on the moderator.
#' @source Johnson and Neyman (1936), *Statistical Research Memoirs* 1, 57-93; Potthoff (1964), *Psychometrika* 29, 241-256; Bauer and Curran (2005),
#'   *Multivariate Behavioral
#'   Research* 40, 373-400; Esarey and Sumner (2018), *Comparative Political Studies* 51, 1144-1176; Benjamini and Hochberg (1995), *Journal of the Royal
#'   Statistical Society B* 57, 289-300.
#' @seealso [simple_slopes()]
#' @examples
#' # synthetic: 60 persons, 6 sessions; the within effect grows with severity
#' set.seed(2)
#' d <- data.frame(patient = rep(1:60, each = 6), session = rep(1:6, 60))
#' d$severity <- rnorm(60, 20, 4)[d$patient]
#' d$alliance <- rnorm(60)[d$patient] + rnorm(360)
#' d$distress <- 20 - d$alliance * (d$severity - 16) / 8 + rnorm(60)[d$patient] + rnorm(360)
#' fit <- hlm(distress ~ within(alliance) * severity + between(alliance) +
#'   (1 + within(alliance) | patient), d)
#' johnson_neyman(fit, pred = within(alliance), modx = severity)
#' @export
johnson_neyman <- function(fit, pred, modx, mod2 = NULL, at = NULL, at2 = NULL, level = 0.95, alpha = NULL,
                           adjust = c("none", "fdr", "simultaneous"), range = NULL, grid = NULL, ddf = NULL, vcov = NULL, cluster = NULL, ...) {
  check_dots(...)
  caller <- parent.frame()
  probe <- new_probe(fit)
  cluster <- cluster_argument(fit, substitute(cluster), caller)
  adjust <- check_choice(adjust, c("none", "fdr", "simultaneous"), "adjust")
  alpha <- check_alpha(alpha, level)
  focals <- resolve_focals(
    probe, focal_argument(probe, substitute(pred), caller, "pred"), focal_argument(probe, substitute(modx), caller, "modx"),
    focal_argument(probe, substitute(mod2), caller, "mod2")
  )
  check_continuous(focals$modx)
  values <- neyman_values(probe, focals, at, at2)
  setup <- probe_setup(probe, focals, values$held)
  check_moderated(setup, values)
  range <- check_range(range, focals$modx)
  grid <- test_grid(grid, focals$modx, adjust)
  inference <- resolve_inference(fit, ddf, vcov, cluster)
  curves <- neyman_curves(setup, values, inference, list(adjust = adjust, alpha = alpha, grid = grid, range = range))
  join <- function(name) {
    table <- do.call(rbind, lapply(curves, `[[`, name))
    row.names(table) <- NULL
    table
  }
  structure(
    list(
      bounds = join("bounds"), regions = join("regions"), curve = join("curve"), rules = join("rules"), observed = focals$modx$x,
      outcome = deparse1(fit$formula[[2L]]), pred = focal_summary(focals$pred), modx = focal_summary(focals$modx),
      mod2 = focal_summary(focals$mod2), mod2_values = values$mod2, held = values$held, notes = c(slope_notes(setup, TRUE), note_two_values(focals$modx)),
      adjust = adjust, alpha = alpha, range = range, inference = inference$label
    ),
    class = "hlm_johnson_neyman"
  )
}

check_alpha <- function(alpha, level) {
  if (is.null(alpha)) {
    check_level(level)
    return(1 - level)
  }
  check_level(alpha, "alpha")
  alpha
}

# Without a list, `at` is about the second moderator: the first is looked at everywhere.
neyman_values <- function(probe, focals, at, at2) {
  if (!is.null(at) && !is.list(at)) {
    if (is.null(focals$mod2)) {
      abort_hlm("data", c(
        "{.fn johnson_neyman} looks at all values of {.arg modx}; {.arg at} gives values of {.arg mod2}, which is not named.",
        i = "For slopes at chosen values use {.fn simple_slopes}; to hold another variable, a named list: {.code at = list(treatment = \"CBT\")}."
      ))
    }
    if (!is.null(at2)) abort_hlm("data", "Give the values of {.arg mod2} in {.arg at} or in {.arg at2}, not in both.")
    at2 <- at
    at <- NULL
  }
  if (is.list(at) && focals$modx$key %in% vapply(names(at), held_key, "", probe = probe)) {
    abort_hlm("data", "{.fn johnson_neyman} looks at all values of {.arg modx} = {.var {focals$modx$key}}: leave it out of {.arg at}.")
  }
  probe_values(probe, focals, at, at2)
}

check_continuous <- function(modx) {
  if (modx$kind == "factor") {
    abort_hlm("data", c(
      "{.arg modx} = {.var {modx$key}} is a categorical variable: it has no regions.", i = "Use {.fn simple_slopes}, which gives the slope in each category."
    ))
  }
  if (!diff(range(modx$x)) > 0) {
    abort_hlm("data", "{.arg modx} = {.var {modx$key}} has the same value in every row analysed.")
  }
}

check_moderated <- function(setup, values) {
  if (slopes_moved(setup, values)) return(invisible())
  keys <- vapply(setup$focals, `[[`, "", "key")
  written <- share_term(
    setup$probe, labels_of(setup$probe, keys[["pred"]], setup$focals$pred$is_label), labels_of(setup$probe, keys[["modx"]], setup$focals$modx$is_label)
  )
  lost <- setup$probe$fit$design$x_names[setup$probe$fit$core$dropped]
  same <- keys[["pred"]] == keys[["modx"]]
  abort_hlm(c("no_interaction", "data"), c(
    "The slope of {.var {keys[['pred']]}} does not depend on {.var {keys[['modx']]}} in this model.",
    i = if (length(lost) && !same) "Coefficients that could not be estimated: {.val {lost}}.",
    i = if (same) {
      "Add a curved term, for example {.code I({keys[['pred']]}^2)}."
    } else if (!written || !length(lost)) "Add {.code {keys[['pred']]}:{keys[['modx']]}} to the formula."
  ))
}

check_range <- function(range, modx) {
  if (is.null(range)) return(NULL)
  range <- check_numbers(range, modx$original, modx$key, "range")
  if (length(range) != 2L) abort_hlm("data", "{.arg range} must be two numbers, the lowest and the highest value of {.var {modx$key}}.")
  sort(range)
}

# The values whose tests are adjusted together.
test_grid <- function(grid, modx, adjust) {
  if (!is.null(grid) && adjust != "fdr") {
    abort_hlm("data", "{.arg grid} is used with {.code adjust = \"fdr\"} only.")
  }
  if (!is.null(grid)) return(check_numbers(grid, modx$original, modx$key, "grid"))
  distinct <- unique(modx$x)
  if (length(distinct) <= 1000L) distinct else seq(min(distinct), max(distinct), length.out = 1001L)
}

# One curve per contrast of the predictor and value of the second moderator.
neyman_curves <- function(setup, values, inference, how) {
  at2 <- if (is.null(values$mod2)) list(NULL) else as.list(values$mod2$value)
  contrasts <- names(slope_rows(setup, setup$focals$modx$x[[1L]], at2[[1L]]))
  pieces <- list()
  for (k in seq_along(at2)) {
    for (i in seq_along(contrasts)) {
      head <- list(contrast = contrasts[[i]])
      if (!is.null(values$mod2)) head <- c(head, list(mod2 = at2[[k]], mod2_label = values$mod2$words[[k]]))
      pieces[[length(pieces) + 1L]] <- neyman_curve(setup, new_curve(setup, i, at2[[k]]), inference, how, head)
    }
  }
  pieces
}

neyman_curve <- function(setup, curve, inference, how, head) {
  fit <- setup$probe$fit
  x <- setup$focals$modx$x
  if (anyNA(curve$at(range(x)))) {
    abort_hlm("data", "The slope of {.var {setup$focals$pred$key}} cannot be estimated: coefficients that it needs were left out of the model.")
  }
  rule <- new_rule(how$adjust, how$alpha, curve, fit, inference, how$grid)
  search <- how$range %||% range(x)
  bounds <- find_bounds(curve, fit, inference, rule, search)
  if (!is.null(how$range)) bounds <- bounds[bounds >= how$range[[1L]] & bounds <= how$range[[2L]]]
  whole <- how$range %||% if (is.null(curve$line)) range(x) else c(-Inf, Inf)
  with_head <- function(table) {
    labels <- structure(lapply(head, rep, times = nrow(table)), class = "data.frame", row.names = seq_len(nrow(table)))
    cbind(labels, table)
  }
  rules <- data.frame(alpha = rule$alpha, closed = !is.null(curve$line) && !is.null(rule$constant %||% constant_limit(curve, inference, rule)))
  if (how$adjust == "fdr") rules$tests <- rule$tests
  if (how$adjust == "simultaneous") rules <- cbind(rules, limit = rule$constant, num_df = rule$num_df, den_df = rule$den_df)
  list(
    bounds = with_head(bounds_table(curve, fit, inference, bounds, x)),
    regions = with_head(find_regions(curve, fit, inference, rule, bounds, whole, x, values_in_category(setup, head$mod2))),
    curve = with_head(curve_table(curve, fit, inference, rule, how$range)), rules = with_head(rules)
  )
}

# The values of the moderator that belong to a category of the second one: of the units with a row in it.
values_in_category <- function(setup, category) {
  modx <- setup$focals$modx
  mod2 <- setup$focals$mod2
  if (is.null(mod2) || mod2$kind != "factor") return(modx$x)
  fit <- setup$probe$fit
  codes <- if (modx$level == "1") seq_len(n_rows(fit)) else level_codes(fit, modx$level)
  modx$x[codes[unit_rows(fit, modx$level)] %in% codes[as.character(mod2$original) == category]]
}

# For the picture: the observed range and, for straight lines, a tenth of it beyond.
curve_table <- function(curve, fit, inference, rule, range) {
  if (is.null(range)) range <- curve$range + c(-1, 1) * diff(curve$range) * (if (is.null(curve$line)) 0 else 0.1)
  m <- seq(range[[1L]], range[[2L]], length.out = 201L)
  tests <- slope_tests(curve$at(m), fit, inference)
  half <- rule$critical(tests$df) * tests$se
  data.frame(
    modx = m, Estimate = tests$estimate, `Std. Error` = tests$se, df = tests$df, lower = tests$estimate - half, upper = tests$estimate + half,
    significant = abs(tests$estimate) > half, check.names = FALSE
  )
}

note_two_values <- function(modx) {
  values <- unique(modx$x)
  if (length(values) > 2L) return(NULL)
  paste0(modx$key, " has only the values ", paste(format_values(sort(values)), collapse = " and "), ": simple_slopes() at these two is all there is to know.")
}

#' @rdname johnson_neyman
#' @export
as.data.frame.hlm_johnson_neyman <- function(x, row.names = NULL, optional = FALSE, what = c("regions", "bounds", "curve"), ...) {
  x[[check_choice(what, c("regions", "bounds", "curve"), "what")]]
}

#' @rdname johnson_neyman
#' @rawNamespace S3method(tidy, hlm_johnson_neyman)
tidy.hlm_johnson_neyman <- function(x, ...) {
  check_dots(...)
  regions <- x$regions
  table <- data.frame(term = rep(x$pred$name, nrow(regions)), contrast = regions$contrast, modx = x$modx$name)
  if (!is.null(x$mod2)) table <- cbind(table, mod2 = x$mod2$name, mod2.value = regions$mod2)
  as_tidy(cbind(table, regions[c("from", "to", "significant", "sign", "n", "share", "data")]))
}
