# The argument `residual` of hlm(): ar1(session), car1(day), hetero(phase) and sums of these, recognised by name inside the
# argument and nowhere else. A structure is one entry here and one file of the core (src/rust/core/src/residual).

# needs: what the core wants of every row, a "time" or a stratum ("codes"). correlates: are rows of a person correlated, and how, given the
# distance in time? natural: from the core's free parameter to the one that means something; slope: the size of the derivative of that one, given it.
# term: its name in tidy().
residual_registry <- function() {
  list(
    ar1 = list(
      needs = "time", correlates = TRUE, natural = tanh, slope = function(phi) 1 - phi^2,
      correlation = function(phi, distance) phi^distance, term = "phi__"
    ),
    car1 = list(
      needs = "time", correlates = TRUE, natural = function(free) exp(-exp(free)), slope = function(phi) -phi * log(phi),
      correlation = function(phi, distance) phi^distance, term = "phi__"
    ),
    hetero = list(needs = "codes", correlates = FALSE, natural = exp, slope = identity, term = "sd_ratio__")
  )
}

# The argument as typed -> NULL or list(parts, formula): parts are list(name, expr), the expression of a variable of the data.
# `residual = ar1`, "ar1", ar1(session), ~ ar1(session), ar1(session) + hetero(phase), or a variable of the caller that holds one of these.
capture_residual <- function(expr, time, caller) {
  if (is.null(expr)) return(NULL)
  parse_residual(residual_expression(expr, caller), time)
}

residual_expression <- function(expr, caller) {
  if (is_residual_expression(expr)) return(expr)
  if (is.symbol(expr)) {
    # an argument of the calling function that was handed on as it is: hlm(..., residual = residual)
    given <- eval(call("substitute", expr), caller)
    if (is.language(given) && !inherits(given, "formula") && is_residual_expression(given)) return(given)
  }
  value <- tryCatch(eval(expr, caller), error = function(e) {
    abort_residual(expr, if (inherits(e, "hlm_error")) conditionMessage(e) else "no structure of that name exists", known_structures())
  })
  if (inherits(value, "formula")) {
    if (length(value) != 2L) abort_residual(value, "it must be a one-sided formula")
    return(value[[2L]])
  }
  if (is.character(value) && length(value) == 1L && !is.na(value)) {
    value <- tryCatch(str2lang(value), error = function(e) abort_residual(value, "it is not understood"))
    if (call_head(value) == "~") value <- value[[2L]]
    return(value)
  }
  if (!is.null(value) && !is.language(value)) abort_residual(expr, paste("it is of class", class(value)[[1L]]))
  value
}

is_residual_expression <- function(expr) {
  if (is.symbol(expr)) return(as.character(expr) %in% names(residual_registry()))
  is.null(expr) || call_head(expr) %in% c(names(residual_registry()), "+", "(")
}

parse_residual <- function(expr, time) {
  if (is.null(expr)) return(NULL)
  parts <- lapply(residual_summands(expr), parse_residual_part, time = time)
  names <- vapply(parts, `[[`, "", "name")
  correlates <- vapply(residual_registry()[names], `[[`, NA, "correlates")
  if (anyDuplicated(names) || sum(correlates) > 1L) {
    abort_residual(expr, "it asks for two structures of the same kind", "One of ar1() and car1() may stand beside one hetero().")
  }
  # the core's order: variances outside, correlations inside
  parts <- parts[order(correlates)]
  terms <- lapply(parts, function(part) call(part$name, part$expr))
  sum <- Reduce(function(a, b) call("+", a, b), terms)
  list(parts = parts, formula = stats::as.formula(call("~", sum), env = globalenv()))
}

known_structures <- function() paste0("There are ", paste0(names(residual_registry()), "()", collapse = ", "), ".")

residual_summands <- function(expr) {
  head <- call_head(expr)
  if (head == "(") return(residual_summands(expr[[2L]]))
  if (head == "+" && length(expr) == 3L) return(c(residual_summands(expr[[2L]]), residual_summands(expr[[3L]])))
  list(expr)
}

parse_residual_part <- function(expr, time) {
  name <- if (is.symbol(expr)) as.character(expr) else call_head(expr)
  known <- names(residual_registry())
  if (!name %in% known) abort_residual(expr, "no structure of that name exists", known_structures())
  given <- if (is.call(expr)) as.list(expr)[-1L] else list()
  needs <- residual_registry()[[name]]$needs
  if (length(given) > 1L && needs == "codes") given <- list(Reduce(function(a, b) call(":", a, b), unname(given)))
  if (length(given) > 1L) abort_residual(expr, "it takes one variable")
  if (length(given) == 1L) return(list(name = name, expr = given[[1L]]))
  if (is.null(time)) {
    abort_residual(expr, "it does not say by which variable", paste0(
      if (needs == "time") "Name the session: " else "Name the groups of rows: ", name, if (needs == "time") "(session)" else "(phase)",
      if (needs == "time") ", or give `time`." else "."
    ))
  }
  list(name = name, expr = as.name(time))
}

abort_residual <- function(expr, why, hint = NULL) {
  text <- if (is.character(expr)) expr else expr_text(expr)
  abort_hlm("covariance", c(
    "{.code residual = {text}} cannot be used: {why}.",
    i = hint %||% "For example {.code residual = \"ar1\"} with {.arg time}, or {.code residual = ~ car1(day) + hetero(phase)}."
  ))
}

residual_variables <- function(spec) {
  if (!is.null(spec$residual)) unique(unlist(lapply(spec$residual$parts, function(part) expr_vars(part$expr))))
}

has_residual_structure <- function(fit) !is.null(fit$design$residual)

residual_parts <- function(fit) vapply(fit$design$residual$parts, `[[`, "", "name")

has_correlated_residuals <- function(fit) {
  has_residual_structure(fit) && any(vapply(residual_registry()[residual_parts(fit)], `[[`, NA, "correlates"))
}

has_hetero_residuals <- function(fit) "hetero" %in% residual_parts(fit)

# Residual parameters count as variance parameters.
n_residual_parameters <- function(fit) length(fit$core$residual$free)

# The design with the residual parameters of the fit: what the core needs wherever it does not estimate them. A design without them is
# refused by the core, so that nothing is computed as if residuals were independent.
known_design <- function(fit, core = fit$core) {
  design <- fit$design
  if (!is.null(design$residual)) design$residual$free <- core$residual$free
  design
}

# The one error of what is not available: `use` says what is.
check_independent_residuals <- function(fit, what, use = NULL) {
  if (has_residual_structure(fit)) abort_residual_structure(what, use, has_correlated_residuals(fit))
  invisible(fit)
}

check_one_residual_variance <- function(fit, what, use = NULL) {
  if (has_hetero_residuals(fit)) abort_residual_structure(what, use, FALSE)
  invisible(fit)
}

check_uncorrelated_residuals <- function(fit, what, use = NULL) {
  if (has_correlated_residuals(fit)) abort_residual_structure(what, use, TRUE)
  invisible(fit)
}

abort_residual_structure <- function(what, use, correlated) {
  kind <- if (correlated) "correlated residuals" else "residual variances that differ between rows"
  abort_hlm("covariance", c(
    paste0(what, " not available for a model with ", kind, " yet."),
    i = use %||% "Fit the model without {.arg residual} for this: {.code update(fit, residual = NULL)}."
  ))
}

# Values or rows whitened (forward) by the weights and the residual structure of a fit, or independent draws made residuals of
# variance 1; a vector or a matrix of one column per variable.
whiten_rows <- function(fit, values, forward = TRUE) {
  if (!has_residual_structure(fit)) {
    root <- sqrt(design_weights(fit$design))
    return(if (forward) values * root else values / root)
  }
  out <- engine_whiten(known_design(fit), values, residual_blocks(fit), forward)
  if (is.matrix(values)) matrix(out, nrow(values), dimnames = dimnames(values)) else out
}

# Rows are correlated within the levels of the finest factor that has a random effect.
residual_blocks <- function(fit) {
  groups <- fit$design$groups[used_groups(fit$design)]
  groups[[which.max(vapply(groups, function(g) length(g$levels), 0L))]]$codes
}

# The same model for whitened rows, which are independent with equal variances: right for whatever takes the variance parameters as known.
whitened_fit <- function(fit) {
  if (!has_residual_structure(fit)) return(fit)
  design <- fit$design
  one <- length(design$columns) + 1L
  constant <- function(places) replace(places, places == 0L, one)
  columns <- c(design$columns, list(rep(1, length(design$y))))
  white <- whiten_rows(fit, do.call(cbind, columns))
  design$columns <- lapply(seq_len(one), function(j) white[, j])
  design$x <- constant(design$x)
  design$terms <- lapply(design$terms, function(term) {
    term$columns <- constant(term$columns)
    term
  })
  design$y <- whiten_rows(fit, design$y - design_offset(design))
  design["offset"] <- list(NULL)
  design["weights"] <- list(NULL)
  design["residual"] <- list(NULL)
  fit$design <- design
  fit
}

# What takes every row's residual to the SD sigma.
residual_root <- function(fit) {
  root <- sqrt(design_weights(fit$design))
  free <- fit$core$residual$free
  for (part in fit$design$residual$parts) {
    size <- length(residual_names(part))
    if (!is.null(part$codes)) root <- root / exp(c(0, unname(free[seq_len(size)])))[part$codes]
    free <- free[-seq_len(size)]
  }
  root
}

# Is the residual structure of one model a special case of that of another? Every part of the first must be in the second, for the same variable.
residual_in <- function(small, large) {
  parts <- large$design$residual$parts
  all(vapply(small$design$residual$parts, function(part) {
    any(vapply(parts, function(other) identical(part[c("name", "time", "codes")], other[c("name", "time", "codes")]), NA))
  }, NA))
}
