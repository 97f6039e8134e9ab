# Simple slopes: the effect of a predictor at chosen values of one or two moderators.

#' Simple slopes
#'
#' How large is the effect of a predictor for persons (or sessions, or treatments) of a given kind? For every value of the moderator the slope of the
#' predictor with its standard error, degrees of freedom and confidence interval, and tests of whether the slopes differ.
#'
#' The slope is the derivative of the fixed part of the model by the predictor, exactly as the terms of the formula have it: products of any
#' order, `I(x^2)`, `poly()` and `splines::ns()` of predictor or moderator, factors with any contrasts. `modx` may also be the predictor itself when
#' its effect is curved. The slope need not interact with the moderator; then it is the same at all its values.
#'
#' @section Which variable:
#' Variables of the formula are named as they are (`session`, `treatment`), the parts of a split variable as their coefficients (`wai_within`) or as typed
#' (`within(wai)`). The name of a split variable alone, `wai`, will do when only one of its parts shares a term with the other variable; otherwise the error
#' (class `hlm_error_ambiguous`) names the choices. A transformation that stands alone in the model may be named as a whole: `pred = "log(dose)"`
#' gives the slope per unit of `log(dose)`. The slope of `x_within` in a product `within(x):within(w)` is taken at the value of `w_within`; that the
#' product is centred at the person's mean once more moves the level of the outcome for that person, not the slope.
#'
#' @section Values of the moderators:
#' A category: all categories. A number with two values: both. Any other number: its mean and one standard deviation below and above, taken over the units at
#' which it varies, each once: persons for `x_between` and for variables of persons, therapists for variables of therapists, rows for
#' `x_within` and for variables of sessions. `at = "quantiles"` takes the 16th, 50th and 84th percentile instead, `"range"` the lowest and
#' highest value. Values outside those observed are marked.
#'
#' @section Other variables:
#' When the slope depends on further variables of the model, numbers are held at their mean (again over units that count once) and categories are averaged,
#' each counting the same, as 'emmeans' does; the output says so. A named list `at` sets them: `at = list(treatment = "CBT")`.
#'
#' @param fit A fitted model of class `hlm`.
#' @param pred The predictor whose slope is wanted: a bare name, a term as typed or a string. For a categorical predictor the slopes are
#'   the differences between its categories.
#' @param modx,mod2 The moderator and, for three-way interactions, a second one.
#' @param at Values of `modx`: numbers or categories, `"sd"` (default for numbers), `"quantiles"` or `"range"`; or a named list with values of `modx`, `mod2`
#'   and single values of other variables.
#' @param at2 Values of `mod2`, in the same way.
#' @param ddf Method for the degrees of freedom, see [hlm-ddf]; each slope has its own.
#' @param vcov,cluster Another covariance matrix of the fixed effects: a matrix, a function of the fit, or `"CR0"` to `"CR3"`, cluster-robust
#'   by `cluster`; see [hlm-ddf].
#' @param level Confidence level.
#' @param x The result.
#' @param digits Significant digits.
#' @param row.names,optional Not used.
#' @param what For `as.data.frame()`: `"slopes"` or `"differences"`.
#' @param ... Not used.
#' @return An object of class `hlm_simple_slopes`, a list:
#'   `slopes`, a data frame with one row per slope: `contrast` (of a categorical predictor, otherwise `""`), `modx`, `modx_label`, `mod2`,
#'   `mod2_label` (values and what they
#'   are), `Estimate`, `Std. Error`, `df`, `t value`, `lower`, `upper`, `Pr(>|t|)`, `outside` (is a value outside those observed?);
#'   `differences`, of the same shape, with the differences of slopes between the categories of `modx`, or the change of the slope per unit of a number
#'   (p values are not adjusted for their number); `joint`, F tests as [contest()] gives them, of equal slopes at all values of `modx`
#'   and, with `mod2`, of the same moderation at all its values; `lines`, predicted outcomes for [plot()]; `L`, the combinations of coefficients behind
#'   `slopes`; `observed`, the values of the predictor, one per unit at which it varies; `pred`, `modx`, `mod2`, `held`, `notes`, `inference`,
#'   `conf.level`. `tidy()`: one row per slope: `term`, `contrast`, `modx`, `modx.value`, `mod2`, `mod2.value`, `estimate`, `std.error`, `df`,
#'   `statistic`, `p.value`,
#'   `conf.low`, `conf.high`.
#' @section Errors: `hlm_error_data` for a variable or value that the model does not have, `hlm_error_ambiguous` (also of class `hlm_error_data`)
#'   when a name fits
#'   several variables.
#' @source Aiken and West (1991), *Multiple Regression: Testing and Interpreting Interactions*, Sage; Bauer and Curran (2005), *Multivariate
#'   Behavioral Research* 40,
#'   373-400, for multilevel models; Giesselmann and Schmidt-Catran (2022), *Sociological Methods & Research* 51, 1100-1127, on products of within
#'   variables; Heisig and Schaeffer (2019), *European Sociological Review* 35, 258-279, on random slopes.
#' @seealso [johnson_neyman()] for all values of a moderator at once.
#' @examples
#' # synthetic: 40 persons, 6 sessions; the within effect differs between two groups
#' set.seed(1)
#' d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40))
#' d$group <- rep(c("A", "B"), each = 120)
#' d$alliance <- rnorm(40)[d$patient] + rnorm(240)
#' d$distress <- 20 - d$alliance * ifelse(d$group == "A", 1, 0.2) + rnorm(40)[d$patient] + rnorm(240)
#' fit <- hlm(distress ~ within(alliance) * group + between(alliance) + (1 | patient), d)
#' simple_slopes(fit, pred = within(alliance), modx = group)
#' @export
simple_slopes <- function(fit, pred, modx, mod2 = NULL, at = NULL, at2 = NULL, ddf = NULL, vcov = NULL, cluster = NULL, level = 0.95, ...) {
  check_dots(...)
  caller <- parent.frame()
  probe <- new_probe(fit)
  cluster <- cluster_argument(fit, substitute(cluster), caller)
  check_level(level)
  focals <- resolve_focals(
    probe, focal_argument(probe, substitute(pred), caller, "pred"), focal_argument(probe, substitute(modx), caller, "modx"),
    focal_argument(probe, substitute(mod2), caller, "mod2")
  )
  values <- probe_values(probe, focals, at, at2)
  setup <- probe_setup(probe, focals, values$held)
  inference <- resolve_inference(fit, ddf, vcov, cluster)
  grid <- slopes_grid(values)
  rows <- slope_rows(setup, grid$modx, grid$mod2)
  moved <- slopes_moved(setup, values)
  structure(
    list(
      slopes = slopes_table(fit, grid, rows, inference, level), differences = slope_differences(setup, values, inference, level, moved),
      joint = slope_joint(setup, values, inference, moved), lines = slope_lines(setup, values, inference, level),
      L = do.call(rbind, rows), observed = focals$pred$x, outcome = deparse1(fit$formula[[2L]]),
      pred = focal_summary(focals$pred), modx = focal_summary(focals$modx),
      mod2 = focal_summary(focals$mod2), held = values$held, moderated = moved, notes = slope_notes(setup, moved), inference = inference$label,
      conf.level = level
    ),
    class = "hlm_simple_slopes"
  )
}

# A missing argument stays missing: NULL.
focal_argument <- function(probe, expr, caller, argument) {
  if (rlang::is_missing(expr)) return(NULL)
  focal_expression(probe, expr, caller, argument)
}

# All combinations, the moderator running fastest.
slopes_grid <- function(values) {
  modx <- values$modx
  mod2 <- values$mod2
  n2 <- if (is.null(mod2)) 1L else nrow(mod2)
  i <- rep(seq_len(nrow(modx)), n2)
  j <- rep(seq_len(n2), each = nrow(modx))
  grid <- list(modx = modx$value[i], modx_label = modx$words[i], outside = modx$outside[i])
  if (!is.null(mod2)) {
    grid$mod2 <- mod2$value[j]
    grid$mod2_label <- mod2$words[j]
    grid$outside <- grid$outside | mod2$outside[j]
  }
  grid
}

# The columns that say which slope a row is about.
grid_columns <- function(grid, contrast) {
  out <- list(contrast = rep(contrast, length(grid$modx)), modx = grid$modx, modx_label = grid$modx_label)
  if (!is.null(grid$mod2)) out <- c(out, grid[c("mod2", "mod2_label")])
  structure(out, class = "data.frame", row.names = seq_along(grid$modx))
}

slopes_table <- function(fit, grid, rows, inference, level) {
  pieces <- lapply(seq_along(rows), function(k) {
    cbind(grid_columns(grid, names(rows)[[k]]), test_slopes(fit, rows[[k]], inference, level), outside = grid$outside)
  })
  do.call(rbind, pieces)
}

# Does any slope of the table depend on the moderator?
slopes_moved <- function(setup, values) {
  at2 <- if (is.null(values$mod2)) list(NULL) else as.list(values$mod2$value)
  m <- trial_values(setup$focals$modx)
  any(vapply(at2, function(v) any(vapply(slope_rows(setup, m, rep(v, length(m))), slope_moves, NA, setup = setup)), NA))
}

# Differences between categories, or the change per unit of a number; none when the slope is curved along the moderator.
slope_differences <- function(setup, values, inference, level, moved) {
  if (!moved) return(NULL)
  fit <- setup$probe$fit
  at2 <- if (is.null(values$mod2)) list(NULL) else as.list(values$mod2$value)
  pieces <- lapply(seq_along(at2), function(k) {
    made <- difference_rows(setup, values, at2[[k]])
    if (is.null(made)) return(NULL)
    lapply(seq_along(made), function(i) {
      head <- data.frame(contrast = names(made)[[i]], modx = rownames(made[[i]]))
      if (!is.null(values$mod2)) head <- cbind(head, mod2 = at2[[k]], mod2_label = values$mod2$words[[k]])
      cbind(head, test_slopes(fit, unname(made[[i]]), inference, level))
    })
  })
  pieces <- Filter(Negate(is.null), pieces)
  if (!length(pieces)) return(NULL)
  found <- do.call(rbind, unlist(pieces, recursive = FALSE))
  row.names(found) <- NULL
  found
}

# Per contrast of the predictor: rows of differences, named in words; NULL when there is no single number for them.
difference_rows <- function(setup, values, at2) {
  modx <- setup$focals$modx
  if (modx$kind == "factor") {
    m <- values$modx$value
    if (length(m) < 2L) return(NULL)
    pairs <- utils::combn(length(m), 2L)
    rows <- slope_rows(setup, m, rep(at2, length(m)))
    return(lapply(rows, function(l) {
      difference <- l[pairs[2L, ], , drop = FALSE] - l[pairs[1L, ], , drop = FALSE]
      rownames(difference) <- paste(m[pairs[2L, ]], "-", m[pairs[1L, ]])
      difference
    }))
  }
  if (!slope_is_line(setup, at2)) return(NULL)
  m <- range(modx$x)
  lapply(slope_rows(setup, m, rep(at2, 2L)), function(l) {
    matrix((l[2L, ] - l[1L, ]) / diff(m), 1L, dimnames = list("per unit", NULL))
  })
}

# F tests: equal slopes at all values of modx (per value of mod2), and the same moderation at all values of mod2.
slope_joint <- function(setup, values, inference, moved) {
  if (!moved) return(NULL)
  fit <- setup$probe$fit
  modx <- values$modx$value
  if (length(modx) < 2L) modx <- trial_values(setup$focals$modx)
  at2 <- if (is.null(values$mod2)) list(NULL) else as.list(values$mod2$value)
  blocks <- lapply(at2, function(v) {
    rows <- lapply(slope_rows(setup, modx, rep(v, length(modx))), function(l) l[-1L, , drop = FALSE] - rep(l[1L, ], each = nrow(l) - 1L))
    do.call(rbind, rows)
  })
  tests <- do.call(rbind, lapply(blocks, test_joint, model = fit, rhs = 0, inference = inference))
  of <- paste0("equal slopes at all values of ", setup$focals$modx$key)
  if (!is.null(values$mod2)) {
    of <- paste0(of, " (", setup$focals$mod2$key, " = ", format_values(values$mod2$value), ")")
    if (length(blocks) > 1L) {
      change <- do.call(rbind, lapply(blocks[-1L], function(l) l - blocks[[1L]]))
      if (anyNA(change) || max(abs(change)) > 0) {
        tests <- rbind(tests, test_joint(fit, change, 0, inference))
        of <- c(of, paste("the same moderation at all values of", setup$focals$mod2$key))
      }
    }
  }
  cbind(hypothesis = of, tests[c("NumDF", "DenDF", "F value", "Pr(>F)")])
}

format_values <- function(x) if (is.character(x)) x else trimws(format(signif(x, 4L), trim = TRUE))

focal_summary <- function(focal) {
  if (is.null(focal)) return(NULL)
  if (focal$kind == "factor") {
    counts <- table(factor(focal$x, levels = focal$levels))
    return(list(name = focal$key, kind = "factor", level = focal$level, unit = focal$unit, n = length(focal$x), counts = c(counts)))
  }
  list(
    name = focal$key, kind = "numeric", level = focal$level, unit = focal$unit, n = length(focal$x), range = range(focal$x),
    mean = near_zero(mean(focal$x), focal$x), sd = stats::sd(focal$x)
  )
}

# The fixed part over the predictor at each combination of moderators, the other variables at their mean: for plot().
slope_lines <- function(setup, values, inference, level) {
  pred <- setup$focals$pred
  # a predictor that moderates itself has one curve
  same <- pred$key == setup$focals$modx$key
  if (same) values$modx <- data.frame(value = NA_real_, words = "", outside = FALSE)
  grid <- slopes_grid(values)
  x <- if (pred$kind == "factor") pred$levels else seq(min(pred$x), max(pred$x), length.out = if (same) 101L else 25L)
  n <- length(grid$modx)
  row <- rep(seq_len(n), each = length(x))
  table <- setup_table(setup, if (same) rep(x, n) else grid$modx[row], grid$mod2[row], rep(x, n))
  l <- estimable_rows(grid_x(setup$probe, table, setup$given), setup)
  tests <- test_slopes(setup$probe$fit, l, inference, level)
  offset <- mean(design_offset(setup$probe$fit$design))
  out <- grid_columns(lapply(grid, `[`, row), "")
  data.frame(
    x = rep(x, n), out[setdiff(names(out), "contrast")], estimate = tests$Estimate + offset, lower = tests$lower + offset, upper = tests$upper + offset
  )
}

#' @rdname simple_slopes
#' @export
as.data.frame.hlm_simple_slopes <- function(x, row.names = NULL, optional = FALSE, what = c("slopes", "differences"), ...) {
  what <- check_choice(what, c("slopes", "differences"), "what")
  x[[what]]
}

#' @rdname simple_slopes
#' @rawNamespace S3method(tidy, hlm_simple_slopes)
tidy.hlm_simple_slopes <- function(x, ...) {
  check_dots(...)
  slopes <- x$slopes
  table <- data.frame(term = rep(x$pred$name, nrow(slopes)), contrast = slopes$contrast, modx = x$modx$name, modx.value = slopes$modx)
  if (!is.null(x$mod2)) table <- cbind(table, mod2 = x$mod2$name, mod2.value = slopes$mod2)
  as_tidy(cbind(
    table, estimate = slopes$Estimate, std.error = slopes$`Std. Error`, df = slopes$df, statistic = slopes$`t value`, p.value = slopes$`Pr(>|t|)`,
    conf.low = slopes$lower, conf.high = slopes$upper
  ))
}
