# The same audit_data object read from a fit: outcome, predictors, person, levels and time as the formula names them, over all rows that the
# fit keeps (also those left out for missing values, which carry the pattern of dropout).

audit_source_fit <- function(fit, extra) {
  data <- fit$data
  for (name in names(extra$columns)) data[[name]] <- extra$columns[[name]]
  env <- list2env(fit$blueprint$constants %||% list(), parent = environment(fit$formula) %||% baseenv())
  value_of <- function(expr) plain_column(eval_variable(expr, data, env))
  time <- extra$time %||% fit$time
  id <- fit$id %||% group_names(fit)[[person_group(fit)]]
  person <- read_group(str2lang(id), value_of)
  measured <- fit_measured(fit, time)
  columns <- lapply(measured$expr, function(expr) as.double(drop_column(value_of(expr))))
  names(columns) <- measured$name
  covariates <- c(fit_covariates(fit, c(measured$name, time)), extra$covariates)
  # another combination of the same factors (b:a for a:b) is the person once more
  parts <- function(text) sort(vapply(group_atoms(str2lang(text)), expr_text, ""))
  same <- vapply(group_names(fit), function(name) identical(parts(backticked(name, data)), parts(id)), NA)
  level_names <- union(group_names(fit)[!same], extra$level)
  levels <- lapply(stats::setNames(nm = level_names), function(name) read_group(str2lang(backticked(name, data)), value_of))
  list(
    fit = fit, person = person, time_raw = if (!is.null(time)) plain_column(data[[time]]), columns = columns,
    role = stats::setNames(measured$role, measured$name), covariates = lapply(stats::setNames(nm = covariates), function(name) {
      value_of(str2lang(backticked(name, data)))
    }),
    levels = Filter(function(level) is_level_above(person, level), levels), bounds = audit_bounds(extra$scale, measured$name),
    rows = row.names(data), names = c(list(id = id, time = time), fit_facts(fit, time)), others = extra$others
  )
}

# A column of the data may have blanks in its name; a combination (a:b) is an expression.
backticked <- function(name, data) if (name %in% names(data)) deparse1(as.name(name), backtick = TRUE) else name

# Most persons lie in one unit, and there are not more units than persons: a level. Otherwise a crossed factor (items, raters, stimuli).
is_level_above <- function(person, level) {
  known <- person$codes > 0L & level$codes > 0L
  if (length(level$levels) > length(person$levels)) return(FALSE)
  first <- match(seq_along(person$levels), person$codes[known])
  moved <- unique(person$codes[known][level$codes[known] != level$codes[known][first][person$codes[known]]])
  length(moved) < 0.5 * length(person$levels)
}

# Outcome and predictors measured in every session: what is split or lagged, and numbers that vary within persons. As data frame of name,
# expression, role.
fit_measured <- function(fit, time) {
  response <- fit$spec$terms$variables[[fit$spec$terms$response]]
  expressions <- c(list(response), lapply(unname(fit$spec$values), `[[`, "expr"))
  facts <- variable_facts(fit)
  frame <- model.frame.hlm(fit)
  raw <- facts$label[facts$kind == "raw" & facts$level == "1"]
  raw <- raw[vapply(raw, function(label) is.numeric(frame[[label]]) && is.null(dim(frame[[label]])) && !follows_time(fit, frame[[label]], time), NA)]
  raw <- lapply(raw, function(label) fit$spec$terms$variables[[match(label, fit$spec$terms$labels)]])
  expressions <- c(expressions, Filter(function(expr) !all(expr_vars(expr) %in% time), raw))
  name <- vapply(expressions, expr_label, "")
  keep <- !duplicated(name) & !(name %in% time)
  list(expr = expressions[keep], name = name[keep], role = ifelse(seq_along(name) == 1L, "outcome", "predictor")[keep])
}

# What everybody has the same value of at the same time (the phase, the beep of the day) belongs to the plan and was not measured.
follows_time <- function(fit, value, time) {
  if (is.null(time) || !time %in% names(fit$data)) return(FALSE)
  clock <- time_key(time_column(fit$data, time)[fit$rows])
  known <- !is.na(value) & !is.na(clock)
  first <- match(clock[known], clock[known])
  shared <- first %in% first[duplicated(first)]
  mean(shared) > 0.5 && all(value[known] == value[known][first])
}

expr_label <- function(expr) if (is.symbol(expr)) as.character(expr) else expr_text(expr)

# Columns of the data that are the person's.
fit_covariates <- function(fit, others) {
  facts <- variable_facts(fit)
  names <- facts$label[facts$kind == "raw" & facts$level != "1"]
  setdiff(intersect(names, names(fit$data)), others)
}

# What the formula does with time, lags and trends.
fit_facts <- function(fit, time) {
  values <- fit$spec$values
  lagged <- vapply(values, function(value) value$lag != 0L, NA)
  detrended <- vapply(Filter(function(source) source$degree > 0L, fit$spec$sources), function(source) expr_label(values[[source$value]]$expr), "")
  split <- names(values) %in% vapply(fit$spec$sources, `[[`, "", "value")
  mentions_time <- vapply(fit$spec$terms$variables, function(expr) any(time %in% expr_vars(expr)), NA)
  slopes <- unlist(lapply(fit$design$terms[term_group(fit) == person_group(fit)], `[[`, "names"))
  list(
    lagged = any(lagged), detrended = unname(detrended), time_in_model = any(mentions_time),
    split = unique(vapply(values[split], function(value) expr_label(value$expr), "")),
    time_slope = !is.null(time) && any(grepl(paste0("(?<![\\w.])\\Q", time, "\\E(?![\\w.])"), slopes, perl = TRUE)),
    concurrent = unique(vapply(Filter(function(value) value$lag == 0L, values), function(value) expr_label(value$expr), "")),
    lagged_names = unique(vapply(Filter(function(value) value$lag != 0L, values), function(value) expr_label(value$expr), ""))
  )
}

# Columns that the fit does not keep, from the data frame it was fitted to.
fit_extra_columns <- function(fit, data, needed) {
  absent <- setdiff(needed, names(fit$data))
  if (is.null(data)) {
    if (length(absent)) {
      abort_hlm("data", c(
        "The fit does not keep the column {.var {absent}}.", i = "Give the data frame it was fitted to: {.code audit(fit, data = my_data)}."
      ))
    }
    return(list(columns = list(), others = list()))
  }
  check_data(data)
  unknown <- setdiff(absent, names(data))
  if (length(unknown)) abort_hlm("data", c("{.arg data} has no column {.var {unknown}}.", i = "It has {.var {names(data)}}."))
  rows <- match_original_rows(fit, as.data.frame(data))
  new <- lapply(stats::setNames(nm = setdiff(names(data), names(fit$data))), function(name) take_rows(data[[name]], rows))
  list(columns = new[absent], others = new[setdiff(names(new), absent)])
}
