# From the frame to the design that the compiled core reads: see design/0001-contract.md.

# Returns list(design, blueprint, means, coefs).
build_design <- function(spec, frame, contrasts = NULL, control = hlm_control(), env = globalenv()) {
  made <- disaggregate_frame(spec, frame, control)
  variables <- plain_doubles(add_derived_variables(spec, frame, made$columns, env))
  parts <- design_parts(spec, frame, variables, contrasts, env)
  layout <- parts$layout
  groups <- design_groups(frame, layout$terms)
  design <- list(
    y = as.double(frame$y),
    offset = frame_offset(spec, frame, parts$coding$variables),
    weights = frame_weights(frame),
    columns = parts$columns,
    x = layout$x,
    x_names = layout$x_names,
    x_assign = layout$x_assign,
    groups = groups$groups,
    terms = groups$terms
  )
  check_terms_differ(design)
  if (!is.null(spec$residual)) design$residual <- residual_design(spec, frame, design)
  check_groups(design, length(design$y))
  class(design) <- "hlm_design"
  warn_ids(spec, frame)
  warn_blank_labels(parts$coding$xlevels, frame)
  blueprint <- parts$blueprint
  blueprint$random <- layout$random[groups$order]
  list(design = design, blueprint = blueprint, means = made$means, coefs = classify_coefs(spec, frame, parts$coding, layout))
}

# list(coding, layout, columns, blueprint): factors coded, what stands where, the columns' values, and what new data need. With nothing but numbers
# all of it but the values was settled when the formula was read.
design_parts <- function(spec, frame, variables, contrasts, env) {
  layout <- spec$layout
  if (is.null(contrasts) && !is.null(layout) && all_plain_doubles(variables)) {
    blueprint <- layout$blueprint
    blueprint$constants <- blueprint_constants(spec, frame, env)
    blueprint$values <- frame$value_calls
    return(list(
      coding = list(variables = variables, xlevels = list(), contrasts = list()),
      layout = layout, columns = layout_columns(layout, variables), blueprint = blueprint
    ))
  }
  coding <- code_factors(variables, contrasts)
  products <- new_products(spec, frame)
  layout <- lay_out(spec, coding, products$recentre)
  blueprint <- new_blueprint(spec, frame, variables, coding, env)
  blueprint$products <- products$frozen()
  list(coding = coding, layout = layout, columns = layout$columns, blueprint = blueprint)
}

all_plain_doubles <- function(variables) {
  for (x in variables) {
    if (!is.double(x) || !is.null(attributes(x))) return(FALSE)
  }
  TRUE
}

# Whole numbers become double once, not once for X and once for Z; a double vector stays as it is.
plain_doubles <- function(variables) {
  for (i in seq_along(variables)) {
    x <- variables[[i]]
    if (is.integer(x) && !is.object(x) && is.null(dim(x))) variables[[i]] <- as.double(x)
  }
  variables
}

# Derived columns and variables computed from them, such as I(within(x)^2), over the analysed rows.
add_derived_variables <- function(spec, frame, columns, env) {
  variables <- frame$variables
  all <- NULL
  for (label in names(spec$late)) {
    expr <- spec$late[[label]]
    if (is.symbol(expr)) {
      variables[[label]] <- columns[[as.character(expr)]]
      next
    }
    if (is.null(all)) all <- c(lapply(frame$raw, take_rows, rows = frame$rows), columns)
    value <- eval_variable(expr, all, env)
    check_late_variable(value, label, frame)
    variables[[label]] <- value
  }
  variables
}

check_late_variable <- function(value, label, frame) {
  check_column_type(value, label)
  if (is_clean(value)) {
    return(invisible())
  }
  check_finite(value, label, frame$rows)
  abort_hlm("data", c(
    "{.var {label}} is missing in {cli::qty(sum(is.na(value)))} row{?s} {show_some(frame$rows[which(is.na(value))])}.",
    i = "The rows of the analysis are fixed before persons' means are taken; this variable is computed from them."
  ))
}

# Names of the within columns; products of two of them are centred once more.
within_columns <- function(spec) {
  within <- character()
  for (column in spec$columns) {
    if (column$kind == "within") within <- c(within, column$name)
  }
  within
}

# The double-demeaned product (Giesselmann & Schmidt-Catran 2022, Sociol Methods Res 51:1100): in a term with two or more
# within variables, their product is centred at the person's mean once more. Its person means are frozen as well.
new_products <- function(spec, frame) {
  within <- within_columns(spec)
  if (length(within) < 2L) {
    return(list(recentre = NULL, frozen = function() list()))
  }
  person <- frame$factors[[frame$id]]
  n <- length(person$levels)
  frozen <- list()
  list(
    within = within,
    recentre = function(labels, made, term) {
      if (sum(labels %in% within) < 2L) {
        return(made$columns)
      }
      lapply(seq_along(made$columns), function(k) {
        sums <- engine_group_sums(made$columns[[k]], person$codes, n)
        mean <- sums$sum / sums$count
        frozen[[made$names[[k]]]] <<- list(persons = person$levels, mean = mean)
        made$columns[[k]] - mean[person$codes]
      })
    },
    frozen = function() frozen
  )
}

frame_offset <- function(spec, frame, variables) {
  own <- if (!is.null(frame[["(offset)"]])) frame[["(offset)"]] else frame$raw[["(offset)"]]
  if (is.null(spec$terms$offset)) {
    return(own)
  }
  for (i in rev(spec$terms$offset)) {
    part <- offset_values(variables[[spec$terms$labels[[i]]]], spec$terms$labels[[i]])
    own <- if (is.null(own)) part else part + own
  }
  own
}

offset_values <- function(x, label) {
  if (is.factor(x) || !is.numeric(x) || NCOL(x) != 1L) {
    abort_hlm("data", "{.code {label}} must be a number for every row, not {.cls {class(x)[1L]}}.")
  }
  as.double(x)
}

frame_weights <- function(frame) {
  weights <- if (!is.null(frame[["(weights)"]])) frame[["(weights)"]] else frame$raw[["(weights)"]]
  if (is.null(weights)) {
    return(NULL)
  }
  bad <- which(weights <= 0)
  if (length(bad) > 0L) {
    abort_hlm("data", c(
      "{.arg weights} must be greater than 0; they are not in {cli::qty(length(bad))}row{?s} {show_some(frame$rows[bad])}.",
      i = "To leave rows out, use {.arg subset}."
    ))
  }
  weights
}
