# The columns of a terms object, one double vector each, named and ordered as model.matrix() has them, without forming
# the matrix: a plain numeric variable is passed on as it is.

# Contrasts and levels of the factors among `variables`. `contrasts` is the argument of hlm(); with `known` (from the
# blueprint of a fit) the levels and contrasts are those of the fit.
code_factors <- function(variables, contrasts = NULL, known = NULL) {
  labels <- character()
  for (label in names(variables)) {
    x <- variables[[label]]
    if (is.factor(x) || is.character(x) || is.logical(x)) labels <- c(labels, label)
  }
  check_contrasts(contrasts, labels)
  xlevels <- list()
  used <- list()
  for (label in labels) {
    x <- variables[[label]]
    if (is.null(known)) {
      x <- if (is.factor(x)) droplevels_keep(x) else factor(x)
      wanted <- contrasts[[label]]
      if (nlevels(x) < 2L && is.null(wanted)) {
        abort_hlm("data", c(
          "{.var {label}} has only one category in the rows analysed: {.val {levels(x)}}.",
          i = "Leave it out, or check whether rows were lost through missing values."
        ))
      }
      used[[label]] <- factor_contrasts(x, wanted, label)
    } else {
      x <- match_levels(x, known$xlevels[[label]], label)
      used[[label]] <- known$contrasts[[label]]
    }
    xlevels[[label]] <- levels(x)
    variables[[label]] <- x
  }
  list(variables = variables, xlevels = xlevels, contrasts = used)
}

check_contrasts <- function(contrasts, labels) {
  if (is.null(contrasts)) {
    return(invisible())
  }
  unknown <- setdiff(names(contrasts), labels)
  if (!is.list(contrasts) || is.null(names(contrasts))) {
    abort_hlm("design", "{.arg contrasts} must be a named list, for example {.code list(treatment = \"contr.sum\")}.")
  }
  if (length(unknown) > 0L) {
    abort_hlm("design", c(
      "{.arg contrasts} names {.var {unknown}}, which {?is/are} not {?a factor/factors} of the model.",
      i = if (length(labels)) "The factors are {.var {labels}}." else "The model has no factors."
    ))
  }
}

droplevels_keep <- function(x) {
  own <- attr(x, "contrasts")
  if (all(tabulate(x, nlevels(x)) > 0L)) {
    return(x)
  }
  # contrasts set for levels that do not occur no longer fit; a name still does
  out <- factor(x)
  if (is.character(own)) attr(out, "contrasts") <- own
  out
}

# list(name or matrix as given, matrix): the first is what model.matrix() reports.
factor_contrasts <- function(x, wanted, label) {
  tryCatch(make_contrasts(x, wanted), error = function(e) {
    abort_hlm("design", c(
      "The contrasts of {.var {label}} (a factor with {nlevels(x)} categories) could not be used: {conditionMessage(e)}.",
      i = if (is.null(wanted)) "They come from {.code options(\"contrasts\")} or from the factor itself." else "They come from {.arg contrasts}."
    ))
  })
}

make_contrasts <- function(x, wanted) {
  given <- if (!is.null(wanted)) wanted else attr(x, "contrasts")
  if (is.null(given)) {
    given <- unname(getOption("contrasts")[[if (is.ordered(x)) 2L else 1L]])
  }
  if (is.function(given)) given <- given(nlevels(x))
  stats::contrasts(x) <- given
  matrix <- stats::contrasts(x)
  list(given = if (is.character(given)) given else matrix, matrix = matrix, full = stats::contrasts(x, contrasts = FALSE))
}

match_levels <- function(x, levels, label) {
  text <- as.character(x)
  unknown <- setdiff(unique(text[!is.na(text)]), levels)
  if (length(unknown) > 0L) {
    abort_hlm("data", c(
      "{.var {label}} has {cli::qty(length(unknown))}{?a category/categories} that the model does not know: {.val {unknown}}.",
      i = "The model knows {.val {levels}}."
    ))
  }
  factor(text, levels = levels)
}

# `variables`: coded variables by label. Returns list(columns, names, assign, keys); the intercept's column is NULL. Keys
# say which columns are the same in X and in Z.
term_columns <- function(terms, variables, contrasts, recentre = NULL) {
  out <- list(columns = list(), names = character(), assign = integer(), keys = character())
  if (terms$intercept == 1L) {
    out <- list(columns = list(NULL), names = "(Intercept)", assign = 0L, keys = "1")
  }
  coding <- factor_coding(terms, variables)
  for (j in seq_along(terms$term_labels)) {
    members <- terms$members[[j]]
    if (length(members) == 1L) {
      # the usual case, a numeric variable, without the lists that a product takes
      label <- terms$labels[[members]]
      x <- variables[[label]]
      if (is.double(x) && is.null(attributes(x))) {
        place <- length(out$names) + 1L
        out$columns[[place]] <- x
        out$names[[place]] <- out$keys[[place]] <- label
        out$assign[[place]] <- j
        next
      }
    }
    made <- term_product(terms, members, coding[, j], variables, contrasts)
    if (!is.null(recentre)) made$columns <- recentre(terms$labels[members], made, terms$term_labels[[j]])
    out$columns <- c(out$columns, made$columns)
    out$names <- c(out$names, made$names)
    out$keys <- c(out$keys, made$keys)
    out$assign <- c(out$assign, rep.int(j, length(made$names)))
  }
  out
}

# attr(terms, "factors") says by contrasts (1) or by all levels (2). Without an intercept the first factor of the first
# term that has one gets all levels, as in model.matrix().
factor_coding <- function(terms, variables) {
  coding <- terms$factors
  if (terms$intercept == 1L || length(terms$term_labels) == 0L) {
    return(coding)
  }
  is_factor <- vapply(terms$labels, function(label) is.factor(variables[[label]]), NA)
  if (terms$response > 0L) is_factor[terms$response] <- FALSE
  for (j in seq_len(ncol(coding))) {
    first <- which(is_factor & coding[, j] > 0L)
    if (length(first) > 0L) {
      coding[first[1L], j] <- 2L
      break
    }
  }
  coding
}

term_product <- function(terms, members, coding, variables, contrasts) {
  if (length(members) == 1L) {
    label <- terms$labels[[members]]
    return(variable_columns(variables[[label]], label, coding[[members]], contrasts[[label]]))
  }
  made <- NULL
  for (i in members) {
    label <- terms$labels[[i]]
    one <- variable_columns(variables[[label]], label, coding[[i]], contrasts[[label]])
    made <- if (is.null(made)) one else cross_columns(made, one)
  }
  made
}

# The first variable varies fastest, as in model.matrix().
cross_columns <- function(a, b) {
  index_a <- rep(seq_along(a$names), times = length(b$names))
  index_b <- rep(seq_along(b$names), each = length(a$names))
  list(
    columns = Map(function(i, j) a$columns[[i]] * b$columns[[j]], index_a, index_b),
    names = paste(a$names[index_a], b$names[index_b], sep = ":"),
    keys = paste(a$keys[index_a], b$keys[index_b], sep = ":")
  )
}

variable_columns <- function(x, label, coding, contrasts) {
  if (is.double(x) && is.null(attributes(x))) {
    return(list(columns = list(x), names = label, keys = label))
  }
  if (is.factor(x)) {
    return(factor_columns(x, label, coding, contrasts))
  }
  if (is.matrix(x) && ncol(x) > 1L) {
    suffix <- if (is.null(colnames(x))) seq_len(ncol(x)) else colnames(x)
    names <- paste0(label, suffix)
    return(list(columns = lapply(seq_len(ncol(x)), function(k) as.double(x[, k])), names = names, keys = names))
  }
  list(columns = list(as.double(x)), names = label, keys = label)
}

factor_columns <- function(x, label, coding, contrasts) {
  matrix <- if (coding == 1L) contrasts$matrix else contrasts$full
  suffix <- if (is.null(colnames(matrix))) seq_len(ncol(matrix)) else colnames(matrix)
  codes <- as.integer(x)
  list(
    columns = lapply(seq_len(ncol(matrix)), function(k) as.double(matrix[, k])[codes]),
    names = paste0(label, suffix),
    keys = paste0(label, "|", coding, "|", suffix)
  )
}
