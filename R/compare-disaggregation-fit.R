# One specification of compare_disaggregation(): the fit, and the effects read off it.

# list(table: settings and outcome of the fit, effects: data frame or NULL, fit)
one_specification <- function(problem, specification, asked, keep) {
  start <- Sys.time()
  settings <- specification$settings
  done <- tryCatch(
    {
      fit <- if (specification$name == "fitted") problem$fit else variant_fit(problem, settings)
      list(fit = fit, effects = specification_effects(problem, settings, fit, asked))
    },
    # what the fit itself cannot give was asked for in error
    hlm_error = function(e) if (specification$name == "fitted") stop(e) else list(reason = reason_of(e))
  )
  seconds <- as.double(difftime(Sys.time(), start, units = "secs"))
  list(effects = done$effects, row = specification_row(problem, specification, done, seconds), fit = if (keep) done$fit)
}

# The first line of a message, as one sentence on one line.
reason_of <- function(cnd) {
  text <- cli::ansi_strip(if (is.character(cnd$message)) cnd$message[[1L]] else conditionMessage(cnd))
  gsub("[[:space:]]+", " ", text)
}

specification_row <- function(problem, specification, done, seconds) {
  fit <- done$fit
  status <- if (is.null(fit)) "not possible" else fit$core$status %||% "converged"
  data.frame(
    variant = specification$name, label = specification$label, specification$settings, rows = if (is.null(fit)) NA_integer_ else n_rows(fit),
    persons = if (is.null(fit)) NA_integer_ else n_persons_of(fit), status = status,
    reason = if (is.null(fit)) done$reason else status_reason(problem, specification$settings, fit), same_as = NA_character_, seconds = seconds,
    formula = if (is.null(fit)) NA_character_ else expr_text(fit$formula), stringsAsFactors = FALSE
  )
}

n_persons_of <- function(fit) {
  person <- person_factor(fit)
  if (is.null(person)) NA_integer_ else length(person$levels)
}

# What a reader should know about a fit that is there; "" when there is nothing.
status_reason <- function(problem, settings, fit) {
  status <- fit_status(fit)
  lost <- fit$dropped[grepl("^trend of ", names(fit$dropped))]
  words <- c(
    if (status$status == "failed") status$message,
    if (status$status == "boundary") status$words,
    if (settings$y == "detrend" && concerns_time(problem, fit)) "This is expected: no trend is left in the outcome.",
    if (settings$y == "detrend" && !is.null(attr(fit, "short_rows"))) {
      paste(count(attr(fit, "short_rows"), "row"), "of persons with too few sessions for a trend of the outcome left out.")
    },
    if (length(lost)) paste(count(sum(lost), "row"), "of persons with too few sessions for a trend left out.")
  )
  paste(words, collapse = " ")
}

# Is a random effect of time at the boundary?
concerns_time <- function(problem, fit) {
  components <- unlist(lapply(fit$core$boundary, `[[`, "component"))
  any(vapply(components, function(name) problem$time %in% tryCatch(all.names(str2lang(name)), error = function(e) name), NA))
}

# The model of a specification, from what the fit keeps. Warnings and messages of hlm() are known from the fit or told by status_reason().
variant_fit <- function(problem, settings) {
  object <- problem$fit
  object$call["data"] <- list(NULL)
  object$data <- problem$data
  object$time <- problem$time
  if (!inherits(object$na.action, "exclude")) object$na.action <- structure(integer(), class = "omit")
  object$control$means <- settings$means
  object$control$weighting <- settings$weighting
  short <- NULL
  response <- NULL
  if (settings$y == "detrend") {
    made <- quietly(detrended_response(problem, object, settings))
    object$data[[made$name]] <- made$y
    response <- as.name(made$name)
    short <- made$short
  }
  formula <- variant_formula(problem, settings, response)
  fit <- quietly(eval(update_call(object, formula, list(), globalenv()), globalenv()))
  fit$call <- problem$fit$call
  fit$call$formula <- formula
  attr(fit, "short_rows") <- short
  fit
}

quietly <- function(expr) {
  withCallingHandlers(
    expr, hlm_warning = function(w) invokeRestart("muffleWarning"), hlm_message = function(m) invokeRestart("muffleMessage")
  )
}

# The outcome without each person's own trend, over the rows of the model that it is for; NA in all other rows. The trend is that of the outcome
# less its offset; the level that is put back is the person's mean, or the trend at `at` where x is detrended as well (Curran & Bauer 2011).
detrended_response <- function(problem, object, settings) {
  data <- object$data
  formula <- variant_formula(problem, settings)
  env <- environment(formula)
  if (length(object$blueprint$constants)) env <- list2env(object$blueprint$constants, parent = env)
  spec <- parse_formula(formula, names(data), id = object$spec$id, time = problem$time)
  inputs <- list(weights = data[["(weights)"]], offset = data[["(offset)"]])
  frame <- build_frame(spec, data, inputs, stats::na.omit, env, settings$means)
  offset <- frame_offset(spec, frame, frame$variables) %||% 0
  time <- time_values(data[[problem$time]], problem$time)$values[frame$rows]
  person <- frame$factors[[frame$id]]
  check_duplicate_times(person$codes, time, person$levels, list(id = frame$id, time = problem$time))
  known <- which(!is.na(time))
  n <- length(person$levels)
  known <- known[tabulate(person$codes[known], n)[person$codes[known]] > problem$degree]
  if (!length(known)) abort_hlm("data", "No person has enough sessions for a trend of the outcome.")
  codes <- person$codes[known]
  y <- (as.double(frame$y) - offset)[known]
  model <- person_models(y, codes, n, time[known], problem$degree)
  at <- variant_focal(problem, 1L, settings)$at
  level <- if (settings$x == "detrend") person_level(model, at) else person_models(y, codes, n)$coef[, 1L]
  out <- rep(NA_real_, nrow(data))
  out[frame$rows[known]] <- off_trend(y, model, codes, time[known]) + level[codes] + rep_len(offset, length(frame$y))[known]
  label <- clean_name(expr_text(problem$marked$response))
  name <- utils::tail(make.unique(c(names(data), paste0(label, "_detrended")), sep = "_"), 1L)
  short <- length(frame$rows) - length(known)
  list(name = name, y = out, short = if (short > 0L) short)
}

# Effects --------------------------------------------------------------------------------------------------------------------------

specification_effects <- function(problem, settings, fit, asked) {
  inference <- resolve_inference(fit, asked$ddf, asked$vcov, asked$cluster)
  if (settings$corrected) inference <- corrected_inference(fit, inference, asked)
  rows <- lapply(seq_along(problem$focal), function(i) {
    focal <- variant_focal(problem, i, settings)
    names <- effect_columns(fit, focal, settings)
    l <- effect_contrasts(fit, names, settings)
    out <- effect_rows(fit, l, inference, asked$level)
    if (asked$standardize) out <- standardized_effects(out, l, names, fit, inference, asked)
    data.frame(variable = problem$focal[[i]]$label, out, stringsAsFactors = FALSE)
  })
  do.call(rbind, rows)
}

# Names of the coefficients: list(within, between (named by level, from the inside out)).
effect_columns <- function(fit, focal, settings) {
  raw <- if (focal$lag == 0L) deparse1(focal$expr, backtick = TRUE) else column_label(request_label(focal$expr, focal$lag))
  if (settings$x == "raw") return(list(within = raw, between = NULL))
  key <- paste(paste(expr_text(focal$expr), focal$lag), focal$degree)
  columns <- Filter(function(column) identical(column$source, key), unname(fit$spec$columns))
  pick <- function(kind) Filter(function(column) column$kind == kind, columns)
  between <- pick("between")
  level <- vapply(between, `[[`, "", "level")
  # the level of a trend at two times: the first one named
  between <- between[!duplicated(level)]
  level <- level[!duplicated(level)]
  within <- if (settings$x == "contextual") raw else column_label(vapply(pick("within"), `[[`, "", "name"))
  list(
    within = if (length(within)) within[[1L]],
    between = stats::setNames(column_label(vapply(between, `[[`, "", "name")), level)
  )
}

# One row per effect over the estimated coefficients; NA where a coefficient could not be estimated.
effect_contrasts <- function(fit, names, settings) {
  known <- names(fixef.hlm(fit))
  row <- function(add, subtract = NULL) {
    out <- stats::setNames(numeric(length(known)), known)
    if (!all(c(add, subtract) %in% known)) return(out + NA)
    out[add] <- 1
    out[subtract] <- -1
    out
  }
  if (settings$x == "raw") return(rbind(`not split` = row(names$within)))
  sum <- if (settings$x == "contextual") names$within
  effects <- list()
  if (!is.null(names$within)) effects$within <- row(names$within)
  for (k in seq_along(names$between)) {
    effects[[trimws(paste("between", plain_level(names(names$between)[[k]])))]] <- row(c(sum, names$between[[k]]))
  }
  if (!is.null(names$within) && length(names$between)) {
    own <- names$between[[1L]]
    effects$contextual <- if (is.null(sum)) row(own, names$within) else row(own)
  }
  do.call(rbind, effects)
}

effect_rows <- function(fit, l, inference, level) {
  out <- data.frame(
    effect = rownames(l), estimate = NA_real_, std.error = NA_real_, df = NA_real_, statistic = NA_real_, p.value = NA_real_, conf.low = NA_real_,
    conf.high = NA_real_, stringsAsFactors = FALSE
  )
  there <- which(!is.na(rowSums(l)))
  if (!length(there)) return(out)
  tests <- test_rows(fit, l[there, , drop = FALSE], 0, inference, level)
  out[there, -1L] <- tests[c("Estimate", "Std. Error", "df", "t value", "Pr(>|t|)", "lower", "upper")]
  out
}

# The estimates and the covariance matrix of between_correction(), with the degrees of freedom asked for.
corrected_inference <- function(fit, inference, asked) {
  corrected <- quietly(between_correction(fit, ddf = asked$ddf %||% match_ddf()))
  names <- names(fixef.hlm(fit))
  coefficients <- corrected$coefficients
  inference$beta <- stats::setNames(coefficients$estimate[match(names, coefficients$term)], names)
  inference$vcov <- unname(corrected$vcov[names, names, drop = FALSE])
  inference
}

# Standardised by R/standardize.R: the within effect on each person's SDs, higher effects on SDs of their level. What a random slope
# adds to the variance of the mean of persons' standardised slopes is added to whatever covariance matrix is used.
standardized_effects <- function(table, l, names, fit, inference, asked) {
  ddf <- asked$ddf %||% match_ddf()
  own <- as.data.frame(standardize.hlm(fit, "within-person", ddf = ddf))
  model <- coefficient_table(fit, prepare_inference(fit, "asymptotic"))
  higher <- setdiff(rownames(l), c("within", "contextual", "not split"))
  coefficient <- c(within = names$within, `not split` = names$within)
  coefficient[higher] <- names$between
  for (i in seq_len(nrow(table))) {
    name <- if (table$effect[[i]] == "contextual") NA else coefficient[[table$effect[[i]]]]
    row <- own[match(name, own$term), ]
    raw <- match(name, row.names(model))
    # of the sum of two coefficients (contextual form) only the scale is that of the between part
    alone <- sum(l[i, ] != 0) == 1L
    extra <- if (alone) row$std.error^2 - (row$scale * model$`Std. Error`[raw])^2 else 0
    shift <- if (alone) row$estimate - row$scale * model$Estimate[raw] else 0
    table$estimate[[i]] <- row$scale * table$estimate[[i]] + shift
    table$std.error[[i]] <- sqrt((row$scale * table$std.error[[i]])^2 + max(extra, 0))
  }
  half <- stats::qt(1 - (1 - asked$level) / 2, table$df) * table$std.error
  table$statistic <- table$estimate / table$std.error
  table$p.value <- 2 * stats::pt(abs(table$statistic), table$df, lower.tail = FALSE)
  table$conf.low <- table$estimate - half
  table$conf.high <- table$estimate + half
  table[table$effect != "contextual", ]
}

# The result -----------------------------------------------------------------------------------------------------------------------

collect_comparison <- function(problem, specifications, made, asked, keep) {
  table <- do.call(rbind, unname(lapply(made, `[[`, "row")))
  row.names(table) <- NULL
  wanted <- unique(made$fitted$effects[c("variable", "effect")])
  effects <- do.call(rbind, unname(lapply(table$variant, function(name) filled_effects(made[[name]], wanted, problem))))
  row.names(effects) <- NULL
  table$same_as <- same_specifications(table, effects)
  optional <- vapply(specifications, `[[`, NA, "optional")[table$variant]
  unchanged <- table$label[optional & !is.na(table$same_as)]
  gone <- optional & !is.na(table$same_as)
  effects <- effects[!effects$variant %in% table$variant[gone], ]
  row.names(effects) <- NULL
  seconds <- sum(table$seconds)
  models <- sum(table$status != "not possible")
  table <- table[!gone, ]
  row.names(table) <- NULL
  structure(
    list(
      effects = effects, specifications = table, verdict = comparison_verdict(table, effects, asked$level), unchanged = unchanged,
      fits = if (keep) lapply(made[table$variant], `[[`, "fit"), seconds = seconds, models = models, variables = unique(effects$variable),
      outcome = expr_text(problem$fit$spec$response), person = plain_level(problem$fit$id %||% "person"), time = problem$time,
      at = if (any(table$x == "detrend")) problem$at, conf.level = asked$level, inference = comparison_label(problem$fit, asked),
      standardized = asked$standardize, moderators = moderators_of(problem), lag = problem$base$lag
    ),
    class = "hlm_disaggregation"
  )
}

comparison_label <- function(fit, asked) {
  if (is.character(asked$vcov)) return(paste0("cluster-robust standard errors (", asked$vcov[[1L]], ")"))
  label <- paste("degrees of freedom:", match_ddf(asked$ddf))
  if (is.null(asked$vcov)) label else paste0(label, ", with the covariance matrix given")
}

# Every effect of the fit has a row in every specification, so that nothing is missing without a trace.
filled_effects <- function(made, wanted, problem) {
  own <- made$effects
  if (made$row$x == "raw") {
    wanted <- data.frame(variable = vapply(problem$focal, `[[`, "", "label"), effect = "not split", stringsAsFactors = FALSE)
  }
  key <- function(table) paste(table$effect, table$variable, sep = " of ")
  place <- if (is.null(own)) rep(NA_integer_, nrow(wanted)) else match(key(wanted), key(own))
  numbers <- c("estimate", "std.error", "df", "statistic", "p.value", "conf.low", "conf.high")
  values <- if (is.null(own)) {
    matrix(NA_real_, nrow(wanted), length(numbers), dimnames = list(NULL, numbers))
  } else {
    own[place, numbers]
  }
  data.frame(
    variable = wanted$variable, variant = made$row$variant, label = made$row$label, effect = wanted$effect, values, row.names = NULL,
    stringsAsFactors = FALSE
  )
}

# The first earlier specification with the same effects and standard errors from as many rows: another way to write the same model.
same_specifications <- function(table, effects) {
  parts <- split(effects, factor(effects$variant, levels = table$variant))
  same <- rep(NA_character_, nrow(table))
  for (i in seq_len(nrow(table))[-1L]) {
    for (j in which(is.na(same[seq_len(i - 1L)]))) {
      if (identical(table$rows[[i]], table$rows[[j]]) && same_effects(parts[[i]], parts[[j]])) {
        same[[i]] <- table$variant[[j]]
        break
      }
    }
  }
  same
}

same_effects <- function(a, b) {
  if (!identical(a$effect, b$effect) || all(is.na(a$estimate)) || !identical(is.na(a$estimate), is.na(b$estimate))) return(FALSE)
  unit <- 1e-6 * pmax(a$std.error, b$std.error)
  all(abs(a$estimate - b$estimate) <= unit & abs(a$std.error - b$std.error) <= unit, na.rm = TRUE)
}

# The variables that a focal part is multiplied with: its coefficient is then a conditional effect.
moderators_of <- function(problem) {
  tt <- sum_terms(apart(problem$marked$fixed, problem))
  factors <- attr(tt, "factors")
  if (!is.matrix(factors)) return(character())
  markers <- unlist(lapply(seq_along(problem$focal), function(i) c(as.character(within_marker(i)), as.character(between_marker(i)))))
  mine <- rownames(factors) %in% markers
  together <- colSums(factors[mine, , drop = FALSE] > 0) > 0 & colSums(factors > 0) > 1
  others <- as.list(attr(tt, "variables"))[-1L][!mine & rowSums(factors[, together, drop = FALSE] > 0) > 0]
  products <- any(colSums(factors[mine, , drop = FALSE] > 0) > 1)
  c(unique(unlist(lapply(others, expr_vars))), if (products) "the other part of x")
}
