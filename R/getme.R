# The pieces of a fit under their lme4 names.

#' Extract the pieces of a fitted model
#'
#' The vectors and matrices of the mixed model `y = X beta + Z b + e`, `b = Lambda u`, under the names used by 'lme4'. Large
#' matrices (`Z`, `Lambda`) are sparse and are built when asked for.
#'
#' @param object A fitted model of class `hlm`.
#' @param name One name, several names, or `"ALL"`. Known names: `X`, `Z`, `Zt`, `Ztlist`, `mmList`, `y`, `mu`, `u`, `b`,
#'   `Gp`, `Tp`, `Lambda`, `Lambdat`, `Lind`, `Tlist`, `A`, `L`, `RX`, `RZX`, `sigma`, `flist`, `fixef`, `beta`, `theta`,
#'   `ST`, `REML`, `is_REML`, `n_rtrms`, `n_rfacs`, `N`, `n`, `p`, `q`, `p_i`, `l_i`, `q_i`, `k`, `m_i`, `m`, `cnms`, `devcomp`, `offset`,
#'   `lower`.
#' @param ... Not used.
#' @return What is asked for; for several names a named list. The columns of `Z` (and the elements of `b` and `u`) run over
#'   the terms, within a term over the groups, within a group over the effects.
#' @section Errors: `hlm_error_data` for an unknown name.
#' @source Bates, Maechler, Bolker and Walker (2015), *Journal of Statistical Software* 67(1).
#' @examplesIf requireNamespace("lme4", quietly = TRUE)
#' fit <- hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
#' getME(fit, "theta")
#' dim(getME(fit, "Z"))
#' @export
getME <- function(object, name, ...) UseMethod("getME")

#' @rdname getME
#' @export
getME.hlm <- function(object, name, ...) {
  known <- c(names(getme_small()), names(getme_large()))
  name <- as.character(name)
  if (identical(name, "ALL")) name <- known
  unknown <- setdiff(name, known)
  if (length(unknown)) {
    abort_hlm("data", c(
      "{.fn getME} knows no {.val {unknown}}.", i = "Known names: {.val {known}}."
    ))
  }
  pieces <- c(getme_small(), getme_large())[name]
  values <- lapply(pieces, function(piece) piece(object))
  if (length(name) == 1L) values[[1L]] else values
}

getme_sizes <- function(fit) {
  effects <- vapply(fit$design$terms, function(term) length(term$columns), 1L)
  levels <- vapply(fit$design$terms, function(term) length(fit$design$groups[[term$group]]$levels), 1L)
  labels <- bar_labels(fit)
  list(p_i = stats::setNames(effects, labels), l_i = ngrps.hlm(fit), q_i = stats::setNames(effects * levels, labels))
}

bar_labels <- function(fit) vapply(fit$design$terms, function(term) term$label, "")

# lme4 names repeated factors alike here, unlike in VarCorr().
term_names <- function(fit) group_names(fit)[term_group(fit)]

theta_names <- function(fit) {
  map <- theta_map(fit$design)
  vapply(seq_len(nrow(map)), function(k) {
    term <- fit$design$terms[[map$term[[k]]]]
    effects <- term$names[unique(c(map$row[[k]], map$col[[k]]))]
    paste(c(fit$design$groups[[term$group]]$name, effects), collapse = ".")
  }, "")
}

# Numbers, names and short vectors.
getme_small <- function() {
  list(
    y = function(fit) fit$design$y,
    sigma = function(fit) fit$core$sigma,
    fixef = function(fit) fixef.hlm(fit),
    beta = function(fit) unname(fixef.hlm(fit)),
    theta = function(fit) stats::setNames(fit$core$theta, theta_names(fit)),
    lower = function(fit) {
      map <- theta_map(fit$design)
      stats::setNames(ifelse(map$row == map$col, 0, -Inf), theta_names(fit))
    },
    Tlist = function(fit) {
      stats::setNames(lapply(seq_along(fit$design$terms), function(t) term_lambda(fit, t)), term_names(fit))
    },
    ST = function(fit) stats::setNames(lapply(seq_along(fit$design$terms), function(t) getme_st(fit, t)), term_names(fit)),
    cnms = function(fit) stats::setNames(lapply(fit$design$terms, `[[`, "names"), term_names(fit)),
    flist = getme_flist,
    offset = function(fit) design_offset(fit$design),
    REML = function(fit) if (isTRUE(fit$REML)) fit$core$parts$p else 0L,
    is_REML = function(fit) isTRUE(fit$REML),
    n_rtrms = function(fit) length(fit$design$terms),
    k = function(fit) length(fit$design$terms),
    n_rfacs = function(fit) length(fit$design$groups),
    N = n_rows,
    n = n_rows,
    p = function(fit) length(kept_columns(fit)),
    q = function(fit) sum(getme_sizes(fit)$q_i),
    m = function(fit) length(fit$core$theta),
    p_i = function(fit) getme_sizes(fit)$p_i,
    l_i = function(fit) getme_sizes(fit)$l_i,
    q_i = function(fit) getme_sizes(fit)$q_i,
    m_i = function(fit) stats::setNames(tabulate(theta_map(fit$design)$term, length(fit$design$terms)), bar_labels(fit)),
    Gp = function(fit) c(0L, as.integer(cumsum(getme_sizes(fit)$q_i))),
    Tp = function(fit) {
      sizes <- tabulate(theta_map(fit$design)$term, length(fit$design$terms))
      stats::setNames(c(0L, cumsum(sizes)), c("beg__", term_names(fit)))
    },
    devcomp = getme_devcomp
  )
}

# Matrices with as many rows or columns as there are rows of data or random effects.
getme_large <- function() {
  list(
    X = function(fit) stats::model.matrix(fit),
    Z = design_matrix_z,
    Zt = function(fit) Matrix::t(design_matrix_z(fit)),
    Ztlist = getme_ztlist,
    mmList = getme_mmlist,
    mu = function(fit) fixed_predictor(fit) + random_predictor(fit),
    b = getme_b,
    u = getme_u,
    Lambda = getme_lambda,
    Lambdat = function(fit) Matrix::t(getme_lambda(fit)),
    Lind = getme_lind,
    A = function(fit) Matrix::t(design_matrix_z(fit) %*% getme_lambda(fit)),
    L = function(fit) getme_factors(fit)$L,
    RZX = function(fit) getme_factors(fit)$RZX,
    RX = function(fit) getme_factors(fit)$RX
  )
}

getme_flist <- function(fit) {
  flist <- lapply(fit$design$groups, function(group) {
    structure(as.integer(group$codes), levels = group$levels, class = "factor")
  })
  structure(stats::setNames(flist, group_names(fit)), assign = term_group(fit))
}

# Lambda of a term as T S: unit lower triangular times diagonal, stored in one matrix as lme4 does.
getme_st <- function(fit, t) {
  lambda <- term_lambda(fit, t)
  scale <- diag(lambda)
  st <- sweep(lambda, 2L, ifelse(scale == 0, 1, scale), "/")
  diag(st) <- scale
  st
}

getme_devcomp <- function(fit) {
  parts <- fit$core$parts
  residual <- fit$design$y - fixed_predictor(fit) - random_predictor(fit)
  weights <- design_weights(fit$design)
  wrss <- if (has_residual_structure(fit)) sum(whiten_rows(fit, residual)^2) else sum(weights * residual^2)
  log_det <- if (has_residual_structure(fit)) 2 * as.double(Matrix::determinant(getme_factors(fit)$L, sqrt = TRUE)$modulus)
  reml <- isTRUE(fit$REML)
  cmp <- c(
    ldL2 = log_det %||% (parts$logdet_v + sum(log(weights))), ldRX2 = parts$logdet_x, wrss = wrss, ussq = parts$r2 - wrss, pwrss = parts$r2,
    REML = if (reml) fit$core$criterion else NA_real_, dev = if (reml) NA_real_ else fit$core$criterion,
    sigmaML = sqrt(parts$r2 / parts$n), sigmaREML = sqrt(parts$r2 / (parts$n - parts$p))
  )
  dims <- c(
    N = parts$n, n = parts$n, p = parts$p, nmp = parts$n - parts$p, q = sum(getme_sizes(fit)$q_i),
    nth = length(fit$core$theta), REML = if (reml) parts$p else 0L, useSc = 1L
  )
  list(cmp = cmp, dims = dims)
}

getme_b <- function(fit) {
  unlist(lapply(seq_along(fit$design$terms), function(t) as.double(t(term_modes(fit, t)))))
}

# At the optimum u = Lambda' Z' W (y - X beta - Z b) (the normal equations of the penalised least squares problem), which
# needs no inverse of a Lambda that may be singular.
getme_u <- function(fit) {
  fit <- whitened_fit(fit)
  residual <- (fit$design$y - fixed_predictor(fit) - random_predictor(fit)) * design_weights(fit$design)
  unlist(lapply(seq_along(fit$design$terms), function(t) {
    term <- fit$design$terms[[t]]
    group <- fit$design$groups[[term$group]]
    codes <- factor(group$codes, levels = seq_along(group$levels))
    scores <- vapply(term$columns, function(i) {
      as.double(rowsum(residual * design_column(fit$design, i), as.integer(codes), reorder = TRUE))
    }, double(length(group$levels)))
    as.double(t(matrix(scores, length(group$levels)) %*% term_lambda(fit, t)))
  }))
}

getme_lambda <- function(fit) {
  blocks <- lapply(seq_along(fit$design$terms), function(t) {
    lambda <- term_lambda(fit, t)
    # Zeros inside the pattern are kept: they are parameters.
    place <- which(lower.tri(lambda, diag = TRUE), arr.ind = TRUE)
    if (identical(fit$design$terms[[t]]$structure, "diagonal")) place <- place[place[, 1L] == place[, 2L], , drop = FALSE]
    levels <- length(fit$design$groups[[fit$design$terms[[t]]$group]]$levels)
    shift <- rep((seq_len(levels) - 1L) * nrow(lambda), each = nrow(place))
    Matrix::sparseMatrix(
      i = rep(place[, 1L], levels) + shift, j = rep(place[, 2L], levels) + shift, x = rep(lambda[place], levels),
      dims = rep(nrow(lambda) * levels, 2L)
    )
  })
  if (length(blocks) == 1L) blocks[[1L]] else methods::as(Matrix::bdiag(blocks), "CsparseMatrix")
}

# For each stored element of Lambdat the element of theta it holds.
getme_lind <- function(fit) {
  map <- theta_map(fit$design)
  unlist(lapply(seq_along(fit$design$terms), function(t) {
    mine <- which(map$term == t)
    # Column-compressed Lambdat runs through the rows of Lambda.
    ordered <- mine[order(map$row[mine], map$col[mine])]
    rep(ordered, length(fit$design$groups[[fit$design$terms[[t]]$group]]$levels))
  }))
}

getme_ztlist <- function(fit) {
  zt <- Matrix::t(design_matrix_z(fit))
  start <- c(0L, as.integer(cumsum(getme_sizes(fit)$q_i)))
  pieces <- lapply(seq_along(fit$design$terms), function(t) {
    q <- length(fit$design$terms[[t]]$columns)
    rows <- lapply(seq_len(q), function(j) zt[seq(start[[t]] + j, start[[t + 1L]], by = q), , drop = FALSE])
    stats::setNames(rows, paste(term_names(fit)[[t]], fit$design$terms[[t]]$names, sep = "."))
  })
  unlist(pieces, recursive = FALSE)
}

getme_mmlist <- function(fit) {
  matrices <- lapply(fit$design$terms, function(term) {
    matrix <- term_matrix(fit, term)
    rownames(matrix) <- row_names(fit)
    matrix
  })
  stats::setNames(matrices, bar_labels(fit))
}

# The blocks of the Cholesky factor of the penalised least squares problem (Bates et al. 2015, eq. 18).
getme_factors <- function(fit) {
  fit <- whitened_fit(fit)
  root_w <- sqrt(design_weights(fit$design))
  zl <- root_w * (design_matrix_z(fit) %*% getme_lambda(fit))
  x <- root_w * kept_x(fit)
  l <- Matrix::Cholesky(Matrix::crossprod(zl), perm = TRUE, LDL = FALSE, Imult = 1)
  rzx <- as.matrix(Matrix::solve(l, Matrix::solve(l, Matrix::crossprod(zl, x), system = "P"), system = "L"))
  dimnames(rzx) <- list(NULL, colnames(x))
  list(L = l, RZX = rzx, RX = if (ncol(x)) chol(crossprod(x) - crossprod(rzx)) else matrix(0, 0L, 0L))
}

# RX' z = rhs; without fixed effects there is nothing to solve.
solve_fixed <- function(rx, rhs) {
  if (nrow(rx) == 0L) matrix(0, 0L, ncol(rhs)) else backsolve(rx, rhs, transpose = TRUE)
}
