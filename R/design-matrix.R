# X and Z of a fit as matrices, made when asked for; the engine reads the columns themselves.

# Dense X as model.matrix() gives it: all columns of the formula, dropped ones included, with `assign` and `contrasts`.
design_matrix_x <- function(fit) {
  design <- fit$design
  x <- design_x(design)
  rownames(x) <- analysed_row_names(fit)
  attr(x, "assign") <- design$x_assign
  contrasts <- lapply(fit$blueprint$contrasts, `[[`, "given")
  used <- intersect(names(contrasts), fixed_factors(fit))
  if (length(used) > 0L) attr(x, "contrasts") <- contrasts[used]
  x
}

fixed_factors <- function(fit) {
  terms <- fit$blueprint$terms
  setdiff(terms$labels, terms$labels[c(terms$response, terms$offset)])
}

analysed_row_names <- function(fit) {
  as.character(attr(fit$data, "row.names")[fit$rows])
}

# Sparse Z as lme4's getME(, "Z"): terms side by side, within a term the effects of one group next to each other.
design_matrix_z <- function(fit) {
  design <- fit$design
  n <- length(design$y)
  blocks <- lapply(design$terms, function(term) {
    group <- design$groups[[term$group]]
    q <- length(term$columns)
    values <- vapply(term$columns, function(k) if (k == 0L) rep(1, n) else design$columns[[k]], numeric(n))
    columns <- outer((group$codes - 1L) * q, seq_len(q), `+`)
    Matrix::sparseMatrix(
      i = rep(seq_len(n), q), j = as.vector(columns), x = as.vector(values),
      dims = c(n, q * length(group$levels)),
      dimnames = list(analysed_row_names(fit), rep(group$levels, each = q))
    )
  })
  do.call(cbind, blocks)
}

# X of a design alone.
design_x <- function(design) columns_matrix(c(list(NULL), design$columns)[design$x + 1L], design$x_names, length(design$y))
