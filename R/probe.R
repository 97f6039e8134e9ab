# Probing interactions: which variable of the model is meant by `pred`, `modx` and `mod2`, what it is and at which level it varies.
#
# A *probe* holds the variables of the fixed part over the analysed rows: list(fit, values, labels).
# values  the plain variables ("atoms") of the fixed part by name: columns of the data and the derived ones (x_within, x_between); means: of the numbers
# labels  data frame, one row per variable as it stands in a term: label, place (in the terms), type (as the blueprint has it), and the
#         list column atoms (names of the plain variables it is computed from)
# A *focal* variable is list(argument, key, is_label, kind, levels, level, unit, x): `key` names an atom or, with is_label, a variable as it stands
# in a term (log(dose), factor(session)); `x` its values, one per unit of `level` ("1" = rows), each unit counting once.

new_probe <- function(fit) {
  if (!inherits(fit, "hlm")) abort_hlm("data", "{.arg fit} must be a model fitted with {.fn hlm}.")
  if (!length(kept_columns(fit))) abort_hlm("design", "The model has no fixed effects: there is no slope to look at.")
  rows <- newdata_derived(fit, newdata_columns(fit, NULL), NULL, "within")
  tt <- fit$blueprint$terms
  place <- setdiff(seq_along(tt$labels), c(tt$response, tt$offset))
  atoms <- lapply(place, function(i) intersect(expr_vars(tt$variables[[i]]), names(rows$columns)))
  labels <- data.frame(label = tt$labels[place], place = place, type = unname(fit$blueprint$types[tt$labels[place]]))
  labels$atoms <- atoms
  probe <- list(fit = fit, values = rows$columns[unique(unlist(atoms))], labels = labels, rows = rows, overridden = list())
  probe$means <- atom_means(probe)
  probe
}

# The mean of each number at its own level, each unit counting once.
atom_means <- function(probe) {
  numbers <- Filter(function(x) !is_category(x) && NCOL(x) == 1L && !is.list(x), probe$values)
  lapply(stats::setNames(nm = names(numbers)), function(name) {
    x <- as.double(numbers[[name]])
    mean(x[unit_rows(probe$fit, focal_level(probe, name, numbers[[name]]))])
  })
}

# The labels that change with a variable.
labels_of <- function(probe, key, is_label = FALSE) {
  if (is_label) return(key)
  probe$labels$label[vapply(probe$labels$atoms, function(names) key %in% names, NA)]
}

label_place <- function(probe, label) match(label, probe$labels$label)

is_category <- function(x) is.factor(x) || is.character(x) || is.logical(x)

# What the user wrote --------------------------------------------------------------------------------------------------------------

# A bare name, a term as typed, a string, or a variable of the caller that holds a string: as an expression.
focal_expression <- function(probe, expr, caller, argument) {
  if (is.null(expr)) return(NULL)
  if (is.symbol(expr) && !known_name(probe, as.character(expr))) {
    value <- get0(as.character(expr), envir = caller)
    if (is.null(value) && exists(as.character(expr), envir = caller)) return(NULL)
    if (is.character(value)) expr <- value
  }
  # names[[1]], paste0(x, "_within"): a string that is computed
  if (is.call(expr) && !call_head(expr) %in% request_heads && !known_name(probe, expr_text(expr))) {
    value <- tryCatch(eval(expr, caller), error = function(e) NULL)
    if (is.character(value)) expr <- value
  }
  if (!is.character(expr)) return(expr)
  if (length(expr) != 1L || is.na(expr)) abort_hlm("data", "{.arg {argument}} must name one variable.")
  if (known_name(probe, expr)) return(as.name(expr))
  tryCatch(str2lang(expr), error = function(e) as.name(expr))
}

known_name <- function(probe, name) {
  name %in% names(probe$values) || name %in% probe$labels$label || name %in% source_labels(probe$fit$spec$sources) ||
    name %in% probe$fit$design$x_names
}

# The keys an expression may stand for: list(keys, is_label).
focal_candidates <- function(probe, expr, argument) {
  name <- expr_text(expr)
  atoms <- names(probe$values)
  if (name %in% atoms) return(atom_candidate(probe, name, argument))
  if (name %in% probe$labels$label) {
    label <- name
    if (is.symbol(probe$fit$blueprint$terms$variables[[probe$labels$place[[label_place(probe, label)]]]])) {
      return(list(keys = as.character(str2lang(label)), is_label = FALSE))
    }
    return(label_candidate(probe, label, argument))
  }
  columns <- if (call_head(expr) %in% request_heads) request_keys(probe, expr) else source_keys(probe, name)
  columns <- intersect(columns, atoms)
  if (length(columns)) return(list(keys = columns, is_label = FALSE))
  abort_unknown_focal(probe, name, argument)
}

# A number that only stands inside factor() is a category of the model.
atom_candidate <- function(probe, name, argument) {
  labels <- labels_of(probe, name)
  type <- probe$labels$type[label_place(probe, labels)]
  if (is_category(probe$values[[name]]) || any(type == "numeric")) return(list(keys = name, is_label = FALSE))
  if (length(labels) == 1L) return(list(keys = labels, is_label = TRUE))
  abort_hlm("data", c(
    "{.arg {argument}} = {.var {name}} stands in the model as several categorical variables: {.code {labels}}.",
    i = "Say which one, for example {.code {argument} = \"{labels[[1L]]}\"}."
  ))
}

# A variable as it stands in a term (log(dose)) is changed as a whole; what it is made of must not be needed elsewhere.
label_candidate <- function(probe, label, argument) {
  made_of <- probe$labels$atoms[[label_place(probe, label)]]
  others <- setdiff(unlist(lapply(made_of, labels_of, probe = probe)), label)
  if (length(others)) {
    abort_hlm("data", c(
      "{.arg {argument}} = {.code {label}} cannot change alone: {.var {made_of}} is also in {.code {others}}.",
      i = "Name the variable itself: {.code {argument} = {made_of[[1L]]}}."
    ))
  }
  list(keys = label, is_label = TRUE)
}

# The columns that within(x), between(x), wb(x), cx(x), lagged(x) stand for in this model.
request_keys <- function(probe, expr) {
  spec <- probe$fit$spec
  request <- parse_request(expr, environment(probe$fit$formula))
  label <- request_label(request$expr, request$lag)
  kinds <- switch(request$head, within = "within", between = "between", lagged = "lag", wb = c("within", "between"), cx = "between")
  found <- Filter(function(column) column$label == label && column$kind %in% kinds, spec$columns)
  # a trend named without `detrend` is understood as long as there is only one
  same <- Filter(function(column) column$degree == request$degree, found)
  if (length(same)) found <- same
  c(if (request$head == "cx" && request$lag == 0L) label, vapply(found, `[[`, "", "name", USE.NAMES = FALSE))
}

# The parts of a split variable; a variable that is only split lagged may be named without its lag.
source_keys <- function(probe, name) {
  columns <- probe$fit$spec$columns
  found <- Filter(function(column) column$label == name, columns)
  if (!length(found)) found <- Filter(function(column) expr_label(column$expr) == name, columns)
  vapply(found, `[[`, "", "name", USE.NAMES = FALSE)
}

abort_unknown_focal <- function(probe, name, argument) {
  variables <- names(probe$values)
  place <- match(name, probe$fit$design$x_names)
  term <- if (is.na(place)) 0L else probe$fit$design$x_assign[[place]]
  members <- if (term > 0L) {
    terms <- probe$fit$blueprint$terms
    terms$labels[terms$factors[, term] > 0L]
  }
  made_of <- unique(unlist(probe$labels$atoms[label_place(probe, members)]))
  abort_hlm("data", c(
    if (length(made_of)) {
      "{.arg {argument}} = {.val {name}} is a coefficient of the model, made from {.var {made_of}}, not a variable."
    } else {
      "{.arg {argument}} = {.val {name}} is not a variable of the fixed part of the model."
    },
    i = if (length(made_of) == 1L) {
      "Use {.code {argument} = {made_of}}."
    } else if (length(variables)) "Variables: {.var {variables}}." else "The fixed part has no variables."
  ))
}

# Who is meant --------------------------------------------------------------------------------------------------------------------

# A variable that is split (wai) may stand for its within or its between part: taken when only one of them is in a term with a part of the other
# variable. Returns a list of focal variables pred, modx, mod2 (NULL when not asked for).
resolve_focals <- function(probe, pred, modx, mod2 = NULL) {
  if (is.null(pred) || is.null(modx)) {
    abort_hlm("data", c(
      "Name the predictor and the moderator.", i = "For example {.code simple_slopes(fit, pred = wai_within, modx = treatment)}."
    ))
  }
  asked <- Filter(Negate(is.null), list(pred = pred, modx = modx, mod2 = mod2))
  found <- Map(function(expr, argument) focal_candidates(probe, expr, argument), asked, names(asked))
  for (argument in names(found)) {
    if (length(found[[argument]]$keys) == 1L) next
    partners <- if (argument == "pred") found$modx else found$pred
    keys <- found[[argument]]$keys
    linked <- Filter(function(key) any(vapply(setdiff(partners$keys, key), function(other) {
      share_term(probe, labels_of(probe, key), labels_of(probe, other, partners$is_label))
    }, NA)), keys)
    if (length(linked) != 1L) abort_ambiguous(probe, argument, asked[[argument]], keys)
    found[[argument]]$keys <- linked
  }
  focals <- Map(function(candidate, argument) new_focal(probe, candidate, argument), found, names(found))
  check_distinct(focals)
  focals
}

abort_ambiguous <- function(probe, argument, expr, keys) {
  what <- vapply(keys, function(key) {
    if (key %in% derived_names(probe$fit$spec)) describe_level(probe, key) else "as it is"
  }, "")
  abort_hlm(c("ambiguous", "data"), c(
    "{.arg {argument}} = {.code {expr_text(expr)}} may mean {length(keys)} variables of the model: {paste0(keys, ' (', what, ')', collapse = ', ')}.",
    i = "Say which one, for example {.code {argument} = {keys[[1L]]}}."
  ))
}

describe_level <- function(probe, key) {
  kind <- derived_kind(Filter(function(column) column$name == key, probe$fit$spec$columns), probe$fit$spec, list(id = probe$fit$id))
  if (kind$level == "1") paste0("within-", plain_level(probe$fit$id)) else paste0("between-", plain_level(kind$level))
}

# Do two sets of labels meet in a term with an estimated column, or in one variable such as I(x * z)?
share_term <- function(probe, a, b) {
  if (length(intersect(a, b))) return(TRUE)
  terms <- probe$fit$blueprint$terms
  estimated <- unique(probe$fit$design$x_assign[kept_columns(probe$fit)])
  any(vapply(setdiff(estimated, 0L), function(j) {
    members <- terms$labels[terms$factors[, j] > 0L]
    any(a %in% members) && any(b %in% members)
  }, NA))
}

check_distinct <- function(focals) {
  keys <- vapply(focals, `[[`, "", "key")
  if (!is.na(keys["mod2"]) && keys["mod2"] %in% keys[c("pred", "modx")]) {
    abort_hlm("data", "{.arg mod2} = {.var {keys[['mod2']]}} is already {.arg {names(keys)[[match(keys[['mod2']], keys)]]}}.")
  }
  if (keys[["pred"]] == keys[["modx"]] && focals$pred$kind == "factor") {
    abort_hlm("data", c(
      "The categorical variable {.var {keys[['pred']]}} cannot moderate itself.", i = "Choose another {.arg modx}."
    ))
  }
}

# What it is ------------------------------------------------------------------------------------------------------------------------

new_focal <- function(probe, candidate, argument) {
  key <- candidate$keys
  fit <- probe$fit
  x <- focal_values(probe, key, candidate$is_label)
  if (is.matrix(x) && ncol(x) > 1L || is.list(x)) {
    abort_hlm("data", c(
      "{.arg {argument}} = {.code {key}} stands for several columns.", i = "Name the variable that it is made of."
    ))
  }
  level <- focal_level(probe, key, x)
  first <- unit_rows(fit, level)
  type <- if (is_category(x)) "factor" else "numeric"
  list(
    argument = argument, key = key, is_label = candidate$is_label, kind = type, levels = if (type == "factor") category_levels(probe, key, x),
    level = level, unit = if (level == "1") "row" else plain_level(level), original = x,
    x = if (type == "factor") as.character(x[first]) else as.double(x[first])
  )
}

focal_values <- function(probe, key, is_label) {
  if (!is_label) return(probe$values[[key]])
  fit <- probe$fit
  frame_variable(fit, probe$rows, key, fit$blueprint$predvars[[probe$labels$place[[label_place(probe, key)]]]])
}

# From the specification; only a variable that the formula does not split is looked up in the data.
focal_level <- function(probe, key, x) {
  made_of <- c(key, unlist(probe$labels$atoms[probe$labels$label == key]))
  derived <- Filter(function(column) column$name %in% made_of, probe$fit$spec$columns)
  if (length(derived)) return(derived_kind(derived, probe$fit$spec, list(id = probe$fit$id))$level)
  raw_level(probe$fit, if (is.character(x)) factor(x) else x)
}

# The first row of each unit of a level.
unit_rows <- function(fit, level) {
  if (level == "1") return(seq_len(n_rows(fit)))
  which(!duplicated(level_codes(fit, level)))
}

category_levels <- function(probe, key, x) {
  known <- probe$fit$blueprint$xlevels[[key]] %||% probe$fit$blueprint$xlevels[[column_label(key)]]
  known %||% (if (is.factor(x)) levels(droplevels(x)) else sort(unique(as.character(x))))
}
