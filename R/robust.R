# Cluster-robust ("sandwich") covariance of the fixed effects.
#
# Notation: M = (X'V^-1X)^-1 and V relative to sigma^2, cluster j with X_j, V_j, e_j = y_j - X_j beta. The estimators are
# M (sum_j E_j e_j e_j'E_j') M with E_j = X_j'V_j^-1 A_j, A_j the small-sample adjustment (Bell & McCaffrey 2002, Surv Methodol 28:169;
# Pustejovsky & Tipton 2018, J Bus Econ Stat 36:672, eqs. 4-9, with the model's own V as weights^-1 and as working covariance).
# In the basis of the whitened model M = I (cluster_basis()), and all that later steps need are, per cluster, E_j e_j, E_j X_j and
# E_j V_j E_j' (p, p x p, p x p). CR0, CR1*, CR3 come from X_j'V_j^-1[X_j e_j] alone, because (I - X_j M X_j'V_j^-1)^-1 commutes to
# (I - X_j'V_j^-1X_j M)^-1; CR2 needs a square root of the size of the cluster (robust-cr2.R).

robust_types <- c("CR0", "CR1", "CR1p", "CR1S", "CR2", "CR3")

match_robust_type <- function(type) {
  found <- if (is.character(type) && length(type) >= 1L) match(toupper(type[[1L]]), toupper(robust_types)) else NA
  if (is.na(found)) {
    abort_hlm("data", c(
      "{.arg type} = {.val {type}} is not a known robust covariance.", i = "Choose one of {.val {robust_types}}; {.val CR2} is the one
       made for few clusters."
    ))
  }
  robust_types[[found]]
}

# Clusters ------------------------------------------------------------------------------------------------------------------------

# What the user gave as `cluster`, seen from a function that captured it as an expression: a bare name that is a variable of
# the fit is that variable, anything else is evaluated.
cluster_argument <- function(fit, expr, env) {
  if (is.name(expr) && as.character(expr) %in% c(names(fit$data), group_names(fit))) return(as.character(expr))
  tryCatch(eval(expr, env), error = function(e) {
    abort_hlm("data", c(
      "{.code {deparse1(expr)}} is no variable of the fit: {conditionMessage(e)}.", i = "The fit knows {.var {names(fit$data)}}."
    ))
  })
}

# list(name, codes, labels): clusters of the analysed rows. `cluster`: NULL, a name, ~name, or one value per row.
resolve_cluster <- function(fit, cluster = NULL) {
  if (is.null(cluster)) return(default_cluster(fit))
  if (inherits(cluster, "formula") && length(cluster) == 2L) cluster <- all.vars(cluster)
  name <- "cluster"
  if (is.character(cluster) && length(cluster) == 1L && n_rows(fit) > 1L) {
    name <- cluster
    cluster <- named_cluster(fit, cluster)
  }
  if (is.list(cluster) || !is.null(dim(cluster))) abort_hlm("data", "{.arg cluster} must be one variable, not several.")
  if (length(cluster) != n_rows(fit) && length(cluster) == NROW(fit$data)) cluster <- cluster[fit$rows]
  if (length(cluster) != n_rows(fit)) {
    abort_hlm("data", c(
      "{.arg cluster} has {length(cluster)} value{?s}, but {n_rows(fit)} row{?s} were analysed.",
      i = "Give the name of a variable in the model, or one value for each analysed row or each row of the data."
    ))
  }
  if (anyNA(cluster)) {
    abort_hlm("data", c(
      "{.arg cluster} is missing in {sum(is.na(cluster))} analysed row{?s}.", i = "Every analysed row must belong to a cluster."
    ))
  }
  groups <- factor(cluster)
  as_unit(name, as.integer(groups), levels(groups))
}

named_cluster <- function(fit, name) {
  group <- match(name, group_names(fit))
  if (!is.na(group)) {
    group <- fit$design$groups[[group]]
    return(factor(group$levels[group$codes], levels = group$levels))
  }
  if (!name %in% names(fit$data)) {
    known <- unique(c(group_names(fit), names(fit$data)))
    abort_hlm("data", c(
      "{.val {name}} is neither a grouping factor nor a variable of this model.", i = "Known: {.val {known}}.",
      i = "A variable that the model does not use can be given by its values, for instance {.code cluster = data${name}}."
    ))
  }
  fit$data[[name]][fit$rows]
}

# The coarsest grouping factor; check_clusters() says so when the others are not nested in it.
default_cluster <- function(fit) {
  used <- used_groups(fit$design)
  sizes <- vapply(fit$design$groups[used], function(group) length(group$levels), 1L)
  group <- fit$design$groups[[used[[which.min(sizes)]]]]
  as_unit(group$name, as.integer(group$codes), group$levels)
}

# Robust covariances need the outcomes of different clusters to be independent.
check_clusters <- function(fit, cluster) {
  if (length(cluster$labels) < 2L) {
    abort_hlm("data", c(
      "There is only one cluster ({.var {cluster$name}}): a robust covariance compares clusters and needs at least two.",
      i = "Choose another {.arg cluster}."
    ))
  }
  crossing <- Filter(function(g) {
    group <- fit$design$groups[[g]]
    is.null(parent_nodes(group$codes, cluster$codes, length(group$levels)))
  }, used_groups(fit$design))
  if (!length(crossing)) return(invisible())
  names <- group_names(fit)[crossing]
  labels <- bar_labels(fit)[term_group(fit) %in% crossing]
  abort_hlm("covariance", c(
    "The clusters ({.var {cluster$name}}) cut across the random effects of {.var {names}}.",
    x = "Rows of different clusters then share {cli::qty(length(labels))}the random effect{?s} {.code {labels}} and are not independent, which a
         robust covariance needs.",
    i = "Cluster by something that contains {cli::qty(length(names))}{?it/them} (a coarser unit), or use the model-based covariance: {.code vcov(fit)}."
  ))
}

# Pieces per cluster ---------------------------------------------------------------------------------------------------------------

# Moments per cluster in the basis where M = I: a (J x p x p) = X_j'V_j^-1X_j, b (J x p) = X_j'V_j^-1e_j. `back` takes an estimate of the
# basis to the coefficients: beta = back gamma (sigma included).
cluster_moments <- function(fit, cluster, basis = tree_basis(fit)) {
  tree <- tree_of(fit, cluster)
  pass <- tree_pass(fit, tree, basis)
  top <- pass$levels[[length(tree$levels)]]$after$t
  p <- dim(top)[[2L]] - 1L
  whiten <- model_basis(pass$total$t, p)
  moments <- batch_congruence(top, whiten, whiten)
  x <- seq_len(p)
  list(
    a = moments[, x, x, drop = FALSE], b = matrix(moments[, x, p + 1L], ncol = p), whiten = whiten[x, x, drop = FALSE],
    back = fit$core$sigma * backsolve(basis$r, whiten[x, x, drop = FALSE])
  )
}

# Columns [X e] -> basis in which the total X'V^-1X is I; e stays.
model_basis <- function(total, p) {
  root <- diag(p + 1L)
  x <- seq_len(p)
  root[x, x] <- backsolve(chol(matrix(total[1L, x, x], p)), diag(p))
  root
}

# list(score J x p, ex J x p x p, eve J x p x p, back): E_j e_j, E_j X_j, E_j V_j E_j'.
robust_pieces <- function(fit, type, cluster) {
  check_independent_residuals(
    fit, "Cluster-robust covariances are",
    "Use {.code vcov(fit)}, or {.code update(fit, residual = NULL)} with robust standard errors."
  )
  check_clusters(fit, cluster)
  if (!length(kept_columns(fit))) abort_hlm("design", "The model has no fixed effects, so there is no covariance of them.")
  basis <- tree_basis(fit)
  moments <- cluster_moments(fit, cluster, basis)
  if (type == "CR2") {
    pieces <- cr2_pieces(fit, cluster, basis, moments$whiten)
  } else if (type == "CR3") {
    pieces <- cr3_pieces(moments, cluster)
  } else {
    factor <- cr1_factor(type, length(cluster$labels), n_rows(fit), ncol(moments$b))
    pieces <- list(score = sqrt(factor) * moments$b, ex = sqrt(factor) * moments$a, eve = factor * moments$a)
  }
  c(pieces, list(back = moments$back))
}

# Factors on the covariance: none, J/(J-1), J/(J-p), Stata's.
cr1_factor <- function(type, j, n, p) {
  if (type == "CR1p" && j <= p) {
    abort_hlm("data", c(
      "{.val CR1p} needs more clusters than coefficients; there are {j} clusters and {p} coefficients.", i = "Use {.val CR2}."
    ))
  }
  switch(type, CR0 = 1, CR1 = j / (j - 1), CR1p = j / (j - p), CR1S = j * (n - 1) / ((j - 1) * (n - p)))
}

# The approximate jackknife: A_j = (I - H_jj)^-1.
cr3_pieces <- function(moments, cluster) {
  p <- ncol(moments$b)
  left <- -moments$a
  for (k in seq_len(p)) left[, k, k] <- left[, k, k] + 1
  solved <- batch_inverse(left)
  if (any(solved$singular)) {
    lost <- cluster$labels[solved$singular]
    abort_hlm("numerical", c(
      "{.val CR3} does not exist here: without {.var {cluster$name}} {show_some(lost)} some coefficients cannot be estimated.",
      i = "Use {.val CR2}, which is defined in this case."
    ))
  }
  ex <- batch_product(solved$inverse, moments$a)
  list(
    score = batch_apply(solved$inverse, moments$b), ex = ex,
    eve = batch_product(ex, aperm(solved$inverse, c(1L, 3L, 2L)))
  )
}

batch_product <- function(a, b) {
  out <- array(0, c(dim(a)[1:2], dim(b)[[3L]]))
  for (j in seq_len(dim(b)[[3L]])) out[, , j] <- batch_apply(a, matrix(b[, , j], dim(b)[[1L]]))
  out
}

robust_matrix <- function(fit, pieces) {
  name_vcov(fit, tcrossprod(pieces$back %*% crossprod(pieces$score), pieces$back))
}

robust_vcov <- function(fit, type, cluster = NULL) {
  robust_matrix(fit, robust_pieces(fit, match_robust_type(type), resolve_cluster(fit, cluster)))
}

# For clubSandwich's generic, registered when that package is loaded. The working covariance and the weights are always the model's.
#' @noRd
vcovCR.hlm <- function(obj, cluster = NULL, type = "CR2", target = NULL, inverse_var = TRUE, form = "sandwich", ...) {
  check_dots(...)
  if (!is.null(target) || !isTRUE(inverse_var) || !identical(form, "sandwich")) {
    abort_hlm("data", c(
      "For fits of {.fn hlm} {.fn vcovCR} knows only its defaults of {.arg target}, {.arg inverse_var} and {.arg form}.",
      i = "The working covariance is the one of the fitted model."
    ))
  }
  type <- match_robust_type(type)
  unit <- resolve_cluster(obj, cluster)
  v <- robust_matrix(obj, robust_pieces(obj, type, unit))
  # Without the parts from which coef_test() would derive degrees of freedom: it has no notion of this model; summary() has.
  structure(v, type = type, cluster = factor(unit$labels[unit$codes], levels = unit$labels), class = c("vcovCR", "clubSandwich"))
}
