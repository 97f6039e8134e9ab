# Information about the variance parameters: in theta (the elements of Lambda), in the entries of Psi = Lambda Lambda', and sigma^2.
#
# Observed information is half the Hessian of the criterion (engine_satterthwaite()). Expected information follows from the curvature of
# the log-determinant alone (logdet_curvature()). With Q = P (REML) or V^-1 (ML), V relative to sigma^2, and s = sigma^2
# (Harville 1977, J Am Stat Assoc 72:320, section 4):
#   I_kl = tr(Q V_k Q V_l) / 2,  I_ks = tr(Q V_k) / (2 s),  I_ss = nu / (2 s^2).
# Entries of Psi are ordered as theta_map(): per term the lower triangle, column by column.

# d Psi / d theta, entries by elements: Psi_rc = sum_b L_rb L_cb.
psi_jacobian <- function(map, theta) {
  m <- nrow(map)
  element <- function(term, row, col) {
    found <- match(paste(term, row, col), paste(map$term, map$row, map$col))
    ifelse(is.na(found), 0, theta[found])
  }
  jacobian <- matrix(0, m, m)
  for (k in seq_len(m)) {
    mine <- which(map$term == map$term[[k]])
    r <- map$row[mine]
    c <- map$col[mine]
    a <- map$row[[k]]
    b <- map$col[[k]]
    jacobian[mine, k] <- (r == a) * element(map$term[[k]], c, b) + (c == a) * element(map$term[[k]], r, b)
  }
  jacobian
}

# sum_i g_i d2 Psi_i / d theta_k d theta_l: the second derivatives are constants.
psi_curvature <- function(map, g) {
  m <- nrow(map)
  out <- matrix(0, m, m)
  for (k in seq_len(m)) {
    for (l in seq_len(k)) {
      if (map$term[[k]] != map$term[[l]] || map$col[[k]] != map$col[[l]]) next
      rows <- sort(c(map$row[[k]], map$row[[l]]), decreasing = TRUE)
      i <- which(map$term == map$term[[k]] & map$row == rows[[1L]] & map$col == rows[[2L]])
      if (length(i)) out[k, l] <- out[l, k] <- g[[i]] * (if (rows[[1L]] == rows[[2L]]) 2 else 1)
    }
  }
  out
}

# Gradient and Hessian of log|V| (REML: + log|X'V^-1X|) in theta, whatever the outcome. The design gets one more row that is zero in all
# columns of X and Z and alone has an outcome, 1: it adds nothing to the determinants, and r2 is 1 at every theta, so that the
# criterion's derivatives are those of the determinants.
logdet_curvature <- function(design, reml, theta, x) {
  n <- length(design$y)
  x <- qr.Q(qr(x / rep(pmax(sqrt(colMeans(x^2)), .Machine$double.xmin), each = n)))
  one <- length(design$columns) + 1L
  design$columns <- c(
    lapply(design$columns, c, 0), list(rep(c(1, 0), c(n, 1L))), lapply(seq_len(ncol(x)), function(j) c(x[, j], 0))
  )
  design$x <- one + seq_len(ncol(x))
  design$x_assign <- seq_len(ncol(x))
  design$x_names <- paste0("x", seq_len(ncol(x)))
  design$terms <- lapply(design$terms, function(term) {
    term$columns[term$columns == 0L] <- one
    term
  })
  design$groups <- lapply(design$groups, function(group) {
    group$codes <- c(group$codes, 1L)
    group
  })
  design$y <- rep(c(0, 1), c(n, 1L))
  design$offset <- NULL
  if (!is.null(design$weights)) design$weights <- c(design$weights, 1)
  engine_evaluate(design, reml, theta, 2L)[c("gradient", "hessian")]
}

# Sizes that make an effect comparable between units: its relative SD, or what one unit of its column would need.
effect_scale <- function(design, map, theta) {
  vapply(seq_len(nrow(map)), function(k) {
    term <- map$term[[k]]
    own <- sqrt(sum(theta[map$term == term & map$row == map$row[[k]]]^2))
    if (own > 0) return(own)
    z <- design_column(design, design$terms[[term]]$columns[[map$row[[k]]]])
    1 / sqrt(mean(z^2))
  }, 0)
}

# Directions of theta that move Psi at first order while variances of zero stay zero: all of them inside, those along the face where a
# correlation is +-1 or the rank is deficient. Columns in theta; `scale` is effect_scale().
theta_tangent <- function(map, theta, scale) {
  zero <- vapply(seq_len(nrow(map)), function(k) all(theta[map$term == map$term[[k]] & map$row == map$row[[k]]] == 0), TRUE)
  touched <- zero | vapply(seq_len(nrow(map)), function(k) {
    any(zero & map$term == map$term[[k]] & map$row == map$col[[k]])
  }, TRUE)
  jacobian <- psi_jacobian(map, theta / scale)[!touched, !zero, drop = FALSE]
  tangent <- matrix(0, nrow(map), 0L)
  if (length(jacobian)) {
    parts <- svd(jacobian)
    keep <- which(parts$d > 1e-7)
    tangent <- matrix(0, nrow(map), length(keep))
    tangent[!zero, ] <- parts$v[, keep, drop = FALSE]
  }
  list(basis = scale * tangent, zero = zero)
}

# The same Psi with columns of zeros where Lambda has a zero pivot (semidefinite Cholesky): of the many Lambda on the boundary the one from which
# the derivatives in Psi can be read off.
canonical_theta <- function(map, theta) {
  for (term in unique(map$term[map$row == map$col & theta == 0])) {
    mine <- which(map$term == term)
    q <- max(map$row[mine])
    lambda <- matrix(0, q, q)
    lambda[cbind(map$row[mine], map$col[mine])] <- theta[mine]
    psi <- tcrossprod(lambda)
    size <- pmax(diag(psi), .Machine$double.xmin)
    lambda[] <- 0
    for (k in seq_len(q)) {
      if (psi[k, k] <= 1e-12 * size[[k]]) next
      lambda[, k] <- ifelse(seq_len(q) < k, 0, psi[, k] / sqrt(psi[k, k]))
      psi <- psi - tcrossprod(lambda[, k])
    }
    theta[mine] <- lambda[cbind(map$row[mine], map$col[mine])]
  }
  theta
}

# Gradient of the log-determinant in the entries of Psi from its derivatives in theta. Inside, J'g is enough; on the boundary J has a
# kernel, along which the second derivatives show what the first do not (theta as canonical_theta() has it).
psi_gradient <- function(map, theta, scale, curvature) {
  jacobian <- psi_jacobian(map, theta / scale)
  gradient <- scale * curvature$gradient
  hessian <- outer(scale, scale) * curvature$hessian
  left <- t(jacobian)
  right <- gradient
  parts <- svd(jacobian)
  for (v in which(parts$d <= 1e-7)) {
    direction <- parts$v[, v]
    left <- rbind(left, vapply(seq_len(nrow(map)), function(i) {
      drop(psi_curvature(map, replace(numeric(nrow(map)), i, 1)) %*% direction)
    }, numeric(nrow(map))))
    right <- c(right, hessian %*% direction)
  }
  scaled <- qr.coef(qr(left), right)
  scaled[is.na(scaled)] <- 0
  scaled / (scale * scale[entry_column(map)])
}

# The element of theta that carries the scale of an entry's second effect: any of the effect's own row.
entry_column <- function(map) {
  match(paste(map$term, map$col), paste(map$term, map$row))
}

# Expected information in (theta, s).
expected_information <- function(design, reml, theta, s, x) {
  map <- theta_map(design)
  scale <- effect_scale(design, map, theta)
  curvature <- logdet_curvature(design, reml, theta, x)
  gradient <- psi_gradient(map, theta, scale, curvature)
  nu <- length(design$y) - if (reml) ncol(x) else 0L
  cross <- curvature$gradient / (2 * s)
  rbind(
    cbind((psi_curvature(map, gradient) - curvature$hessian) / 2, cross, deparse.level = 0L),
    c(cross, nu / (2 * s^2)), deparse.level = 0L
  )
}

# Observed information in (theta, s) at the estimates: there the gradient is zero and sigma -> s only rescales.
# The parameters of a residual structure, which come last, are profiled out; one at the limit of its range counts as known.
observed_information <- function(design, reml, theta, s, at_limit = logical()) {
  hessian <- engine_satterthwaite(design, reml, theta)$hessian / 2
  last <- length(theta) + 1L
  extra <- last + which(!as.logical(at_limit))
  if (length(extra)) {
    keep <- seq_len(last)
    cross <- hessian[extra, keep, drop = FALSE]
    hessian[keep, keep] <- hessian[keep, keep] - crossprod(cross, solve(hessian[extra, extra, drop = FALSE], cross))
  }
  hessian <- hessian[seq_len(last), seq_len(last), drop = FALSE]
  hessian[last, ] <- hessian[last, ] / (2 * sqrt(s))
  hessian[, last] <- hessian[, last] / (2 * sqrt(s))
  hessian
}

# Expected information in the entries of Psi and s = 1 at a Psi inside the cone: list of matrices q x q, one per term.
psi_information <- function(design, reml, psi, x) {
  map <- theta_map(design)
  factors <- lapply(psi, function(block) t(chol(block)))
  theta <- vapply(seq_len(nrow(map)), function(k) factors[[map$term[[k]]]][map$row[[k]], map$col[[k]]], 0)
  scale <- effect_scale(design, map, theta)
  curvature <- logdet_curvature(design, reml, theta, x)
  gradient <- psi_gradient(map, theta, scale, curvature)
  inverse <- scale * solve(psi_jacobian(map, theta / scale)) / rep(scale * scale[entry_column(map)], each = nrow(map))
  half <- (psi_curvature(map, gradient) - curvature$hessian) / 2
  nu <- length(design$y) - if (reml) ncol(x) else 0L
  rbind(
    cbind(crossprod(inverse, half %*% inverse), gradient / 2, deparse.level = 0L), c(gradient / 2, nu / 2), deparse.level = 0L
  )
}
