# Hypotheses about the terms of one model: types I, II and III, and marginal ones, as 'lmerTest' defines them
# (Kuznetsova, Brockhoff & Christensen 2017, J Stat Softw 82(13), section 3; SAS technical report R-101).
# A set of hypotheses is a named list of matrices L, one per term, over the estimated coefficients.

match_anova_type <- function(type) {
  number <- match(toupper(as.character(type[[1L]])), c("1", "2", "3", "I", "II", "III"))
  if (is.na(number)) {
    abort_hlm("data", "{.arg type} must be 1, 2 or 3 (or \"I\", \"II\", \"III\"), not {.val {type}}.")
  }
  (number - 1L) %% 3L + 1L
}

anova_terms <- function(object, type, inference) {
  hypotheses <- switch(type, contrasts_type1(object), contrasts_type2(object), contrasts_type3(object))
  heading <- paste(
    "Type", c("I", "II", "III")[[type]], "Analysis of Variance Table with", inference$label
  )
  structure(
    term_tests(object, hypotheses, inference), heading = heading, hypotheses = hypotheses, class = c("anova", "data.frame")
  )
}

term_tests <- function(object, hypotheses, inference) {
  columns <- columns_by_term(object)
  rows <- lapply(names(hypotheses), function(term) {
    l <- hypotheses[[term]]
    test_joint(object, l, rep(0, nrow(l)), term_inference(inference, columns[[term]]))
  })
  if (!length(rows)) return(f_row(object, numeric(), integer(), numeric()))
  table <- do.call(rbind, rows)
  row.names(table) <- names(hypotheses)
  table
}

# Methods that count by level give a term its own degrees of freedom, whatever other coefficients its contrasts touch.
term_inference <- function(inference, columns) {
  if (is.null(inference$term_df)) return(inference)
  df <- inference$term_df(columns)
  inference$df <- function(l) df
  inference$joint_df <- function(l) df
  inference
}

term_label_names <- function(object) attr(stats::terms(object), "term.labels")

# Estimated columns of each term.
columns_by_term <- function(object) {
  labels <- term_label_names(object)
  assign <- object$design$x_assign[kept_columns(object)]
  stats::setNames(lapply(seq_along(labels), function(i) which(assign == i)), labels)
}

contrasts_marginal <- function(object) {
  names <- names(fixef.hlm(object))
  identity <- structure(diag(length(names)), dimnames = list(names, names))
  lapply(columns_by_term(object), function(columns) identity[columns, , drop = FALSE])
}

# Sequential: the rows of the unit upper triangular factor of X'X.
contrasts_type1 <- function(object) {
  sequential <- unit_upper(kept_x(object))
  lapply(columns_by_term(object), function(columns) sequential[columns, , drop = FALSE])
}

unit_upper <- function(x) {
  r <- qr.R(qr(x, tol = 0))
  r <- r / diag(r)
  dimnames(r) <- list(colnames(x), colnames(x))
  r
}

# Each term after all others that do not contain it.
contrasts_type2 <- function(object) {
  x <- kept_x(object)
  columns <- columns_by_term(object)
  contained <- term_containment(object)
  if (length(contained) == 1L) return(contrasts_type1(object))
  marginal <- contrasts_marginal(object)
  stats::setNames(lapply(names(columns), function(term) {
    if (!length(contained[[term]])) return(marginal[[term]])
    last <- unlist(columns[c(term, contained[[term]])])
    order <- c(setdiff(seq_len(ncol(x)), last), last)
    l <- unit_upper(x[, order, drop = FALSE])
    l[colnames(x)[columns[[term]]], colnames(x), drop = FALSE]
  }), names(columns))
}

# For each term the terms that contain it: all its factors, the same numeric variables, and more factors.
term_containment <- function(object) {
  labels <- term_label_names(object)
  variables <- term_variables(object)
  numeric <- lapply(variables, function(v) setdiff(v, factor_variables(object)))
  stats::setNames(lapply(labels, function(term) {
    labels[vapply(labels, function(other) {
      all(variables[[term]] %in% variables[[other]]) && length(variables[[other]]) > length(variables[[term]]) &&
        setequal(numeric[[term]], numeric[[other]])
    }, TRUE)]
  }), labels)
}

term_variables <- function(object) {
  factors <- attr(stats::terms(object), "factors")
  labels <- term_label_names(object)
  stats::setNames(lapply(labels, function(term) rownames(factors)[factors[, term] > 0L]), labels)
}

factor_variables <- function(object) names(object$blueprint$xlevels)

# Estimable functions in which each term is free of the terms that contain it. Without factors every term stands for
# itself; otherwise the complete (over-parametrised) design decides, so that the result does not depend on the contrasts.
contrasts_type3 <- function(object) {
  contained <- term_containment(object)
  if (length(contained) == 1L) return(contrasts_type1(object))
  # the degrees of freedom of a test of several rows depend on how its hypothesis is written: by treatment contrasts, as in 'lmerTest'
  if (!any(lengths(contained)) && treatment_coded(object)) return(contrasts_marginal(object))
  frame <- stats::model.frame(object)
  x <- treatment_x(object, frame)
  complete <- complete_x(object, frame)
  empty <- colnames(complete)[colSums(complete != 0) == 0]
  if (length(empty)) {
    inform_hlm("cells", c(
      "No row combines {.val {empty}}.", i = "Type III tests compare means over cells that were not observed; read them with care."
    ))
  }
  estimable <- t(generalised_solve(x, complete))
  dimnames(estimable) <- list(colnames(complete), colnames(x))
  place <- lapply(split(seq_along(attr(x, "assign")), attr(x, "assign")), identity)
  place <- stats::setNames(place[as.character(seq_along(contained))], names(contained))
  by_order <- names(contained)[order(attr(stats::terms(object), "order"), decreasing = TRUE)]
  for (term in by_order[lengths(contained[by_order]) > 0L]) {
    above <- estimable[, unlist(place[contained[[term]]]), drop = FALSE]
    estimable[, place[[term]]] <- clean(stats::lm.fit(above, estimable[, place[[term]], drop = FALSE])$residuals)
  }
  estimable <- estimable[colnames(x), , drop = FALSE]
  to_fit <- clean(generalised_solve(x, kept_x(object)))
  lapply(place, function(columns) {
    l <- t(estimable[, columns, drop = FALSE]) %*% to_fit
    l <- l[rowSums(abs(l)) > 1e-8, , drop = FALSE]
    dimnames(l) <- list(NULL, names(fixef.hlm(object)))
    l
  })
}

# Are all factors coded by treatment contrasts (or are there none)?
treatment_coded <- function(object) {
  all(vapply(object$blueprint$contrasts, function(coding) identical(coding$given, "contr.treatment"), NA))
}

clean <- function(x) zapsmall(x, digits = 10L)

generalised_solve <- function(x, y) {
  solution <- qr.coef(qr(x), y)
  solution[is.na(solution)] <- 0
  solution
}

# X with treatment contrasts, of full rank.
treatment_x <- function(object, frame) {
  terms <- stats::delete.response(stats::terms(object))
  # model.matrix() looks a symbol up without the backticks of its label
  symbols <- Filter(is.symbol, as.list(attr(terms, "variables"))[-1L])
  bare <- vapply(symbols, as.character, "")
  place <- match(names(frame), column_label(bare))
  names(frame) <- ifelse(is.na(place), names(frame), bare[place])
  factors <- factor_variables(object)
  place <- match(factors, column_label(bare))
  factors <- intersect(ifelse(is.na(place), factors, bare[place]), names(frame))
  contrasts <- stats::setNames(rep(list("contr.treatment"), length(factors)), factors)
  x <- stats::model.matrix(terms, frame, contrasts.arg = contrasts)
  decomposition <- qr(x)
  keep <- sort(decomposition$pivot[seq_len(decomposition$rank)])
  structure(x[, keep, drop = FALSE], assign = attr(x, "assign")[keep])
}

# All columns that the terms can have: every factor by an indicator of each level.
complete_x <- function(object, frame) {
  terms <- stats::terms(object)
  factors <- attr(terms, "factors")
  pieces <- lapply(term_label_names(object), function(term) {
    Reduce(row_products, lapply(rownames(factors)[factors[, term] > 0L], indicator_columns, frame = frame))
  })
  intercept <- if (attr(terms, "intercept")) matrix(1, nrow(frame), 1L, dimnames = list(NULL, "(Intercept)"))
  do.call(cbind, c(list(intercept), pieces))
}

indicator_columns <- function(name, frame) {
  value <- frame[[name]]
  if (is.character(value)) value <- factor(value)
  if (is.factor(value)) {
    columns <- outer(as.integer(value), seq_along(levels(value)), "==") + 0
    dimnames(columns) <- list(NULL, paste0(name, levels(value)))
    return(columns)
  }
  if (is.logical(value)) return(matrix(c(!value, value) + 0, ncol = 2L, dimnames = list(NULL, paste0(name, c("FALSE", "TRUE")))))
  if (is.matrix(value)) return(structure(unclass(value), dimnames = list(NULL, paste0(name, colnames(value)))))
  matrix(as.double(value), ncol = 1L, dimnames = list(NULL, name))
}

# Products of each column of a with each of b, those of a running fastest, as model.matrix() names them.
row_products <- function(a, b) {
  place <- expand.grid(i = seq_len(ncol(a)), j = seq_len(ncol(b)))
  product <- a[, place$i, drop = FALSE] * b[, place$j, drop = FALSE]
  colnames(product) <- paste(colnames(a)[place$i], colnames(b)[place$j], sep = ":")
  product
}
