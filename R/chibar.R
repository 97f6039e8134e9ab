# The chi-bar-square distribution of likelihood ratio tests of variances: a mixture of chi-square distributions, because under the
# null hypothesis the parameter lies on the edge of what is possible (Self & Liang 1987, J Am Stat Assoc 82:605; Stram & Lee 1994,
# Biometrics 50:1171; Shapiro 1988, Int Stat Rev 56:49).
#
# The cone is a product of positive semidefinite matrices of sizes `blocks` (a single variance: size 1); `information` is the
# information about its entries (lower triangles, column by column, block after block), all other parameters profiled out. weights[j + 1]
# is the weight of the chi-square with j df. Exact for one, two and three variances and for one 2 x 2 block, otherwise simulated.
chibar_weights <- function(information, blocks, nsim = 2000L, seed = 1L) {
  if (identical(as.integer(blocks), 1L)) return(list(weights = c(0.5, 0.5), exact = TRUE))
  if (all(blocks == 1L) && length(blocks) <= 3L) return(list(weights = orthant_weights(information), exact = TRUE))
  if (identical(as.integer(blocks), 2L)) return(list(weights = cone2_weights(information), exact = TRUE))
  list(weights = keep_seed(seed, simulated_weights(information, as.integer(blocks), nsim)), exact = FALSE)
}

# Two or three variances (Shapiro 1988, section 5): probabilities of an orthant; weights of even and of odd df sum to 1/2 each.
orthant_weights <- function(information) {
  orthant <- function(covariance) {
    angles <- asin(stats::cov2cor(covariance)[lower.tri(covariance)])
    if (length(angles) == 1L) 1 / 4 + angles / (2 * pi) else 1 / 8 + sum(angles) / (4 * pi)
  }
  all <- orthant(solve(information))
  if (nrow(information) == 2L) return(c(0.5 - all, 0.5, all))
  none <- orthant(information)
  c(none, 0.5 - all, 0.5 - none, all)
}

# A 2 x 2 covariance matrix: a cone in three dimensions with the edge (c^2, cs, s^2), c = cos, s = sin. By Steiner's formula on the
# sphere the weight of 2 df is the length of the edge's image on the unit sphere / (4 pi), that of 3 df its area / (4 pi), and the area
# is 2 pi minus the edge's total geodesic curvature (Gauss-Bonnet). Both integrals are periodic: the trapezoidal rule is exact to rounding.
cone2_weights <- function(information, points = 20000L) {
  size <- diag(information)[c(1L, 3L)]^-0.25
  unit <- c(size[[1L]]^2, size[[1L]] * size[[2L]], size[[2L]]^2)
  root <- chol(information * outer(unit, unit))
  angle <- pi * seq_len(points) / points
  c <- cos(angle)
  s <- sin(angle)
  y <- rbind(c^2, c * s, s^2)
  dy <- rbind(-2 * c * s, c^2 - s^2, 2 * c * s)
  ddy <- rbind(2 * (s^2 - c^2), -4 * c * s, 2 * (c^2 - s^2))
  volume <- det(root) * triple(y, dy, ddy)
  y <- root %*% y
  dy <- root %*% dy
  norm <- sqrt(colSums(y^2))
  speed2 <- colSums((dy - y * rep(colSums(y * dy) / norm^2, each = 3L))^2) / norm^2
  step <- pi / points
  length <- sum(sqrt(speed2)) * step
  curvature <- abs(sum(volume / norm^3 / speed2) * step)
  two <- length / (4 * pi)
  three <- 0.5 - curvature / (4 * pi)
  c(0.5 - two, 0.5 - three, two, three)
}

triple <- function(a, b, c) {
  a[1L, ] * (b[2L, ] * c[3L, ] - b[3L, ] * c[2L, ]) - a[2L, ] * (b[1L, ] * c[3L, ] - b[3L, ] * c[1L, ]) +
    a[3L, ] * (b[1L, ] * c[2L, ] - b[2L, ] * c[1L, ])
}

# Any product of cones: the projection of normal draws onto the cone has squared length R |z|^2 with R a mixture of Beta(j/2, (r-j)/2)
# with the weights wanted (the master Steiner formula of McCoy & Tropp 2014, Discrete Comput Geom 51:926); the masses at R = 0 and R = 1
# are counted, the others estimated by maximum likelihood.
simulated_weights <- function(information, blocks, nsim) {
  r <- nrow(information)
  cone <- cone_entries(blocks)
  # Free of units: every diagonal entry has information 1.
  size <- diag(information)^-0.25
  unit <- size[cone$lead_row] * size[cone$lead_col]
  information <- information * outer(unit, unit)
  root <- chol(information)
  draws <- matrix(stats::rnorm(nsim * r), r)
  step <- local_progress(nsim, "Null distribution")
  share <- vapply(seq_len(nsim), function(i) {
    step(i)
    projected_share(drop(backsolve(root, draws[, i])), drop(crossprod(root, draws[, i])), information, cone, sum(draws[, i]^2))
  }, 0)
  none <- mean(share == 0)
  all <- mean(share == 1)
  inner <- share[share > 0 & share < 1]
  between <- seq_len(r - 1L)
  density <- vapply(between, function(j) stats::dbeta(inner, j / 2, (r - j) / 2), numeric(length(inner)))
  density <- matrix(density, length(inner))
  total <- ifelse(between %% 2L == 0L, 0.5 - none - (if (r %% 2L == 0L) all else 0), 0.5 - (if (r %% 2L == 1L) all else 0))
  class <- between %% 2L
  w <- total / stats::ave(total, class, FUN = length)
  for (step in seq_len(500L)) {
    posterior <- density * rep(w, each = nrow(density))
    expected <- colSums(posterior / rowSums(posterior))
    updated <- total * expected / stats::ave(expected, class, FUN = sum)
    if (max(abs(updated - w)) < 1e-7) break
    w <- updated
  }
  weights <- c(none, updated, all)
  pmax(weights, 0) / sum(pmax(weights, 0))
}

# Places of the entries of each block, and for each entry the diagonal entries of its row and its column.
cone_entries <- function(blocks) {
  start <- cumsum(c(0L, blocks * (blocks + 1L) / 2L))
  places <- lapply(seq_along(blocks), function(b) {
    index <- matrix(0L, blocks[[b]], blocks[[b]])
    index[lower.tri(index, diag = TRUE)] <- start[[b]] + seq_len(start[[b + 1L]] - start[[b]])
    index[upper.tri(index)] <- t(index)[upper.tri(index)]
    index
  })
  lead <- function(which) {
    unlist(lapply(places, function(index) diag(index)[which(lower.tri(index, diag = TRUE), arr.ind = TRUE)[, which]]))
  }
  list(places = places, lead_row = lead(1L), lead_col = lead(2L))
}

# Share of |z|^2 that the projection onto the cone keeps; 1 when z lies in the cone, 0 when the score lies in its polar.
projected_share <- function(z, score, information, cone, total) {
  blocks <- lapply(cone$places, function(index) matrix(z[index], nrow(index)))
  spectra <- lapply(blocks, eigen, symmetric = TRUE)
  if (all(vapply(spectra, function(e) min(e$values), 0) >= 0)) return(1)
  scores <- vapply(cone$places, function(index) {
    u <- matrix(score[index], nrow(index))
    max(eigen(u * (0.5 + diag(0.5, nrow(u))), symmetric = TRUE, only.values = TRUE)$values)
  }, 0)
  if (all(scores <= 0)) return(0)
  # Factors F with F F' in the cone: no local minima besides the projection when F is square (Burer & Monteiro 2005, Math Program 103:427).
  start <- unlist(lapply(spectra, function(e) e$vectors %*% diag(sqrt(pmax(e$values, 0.01 * max(abs(e$values)))), nrow(e$vectors))))
  sizes <- vapply(cone$places, nrow, 1L)
  shape <- function(f) {
    ends <- cumsum(sizes^2)
    lapply(seq_along(sizes), function(b) matrix(f[ends[[b]] - sizes[[b]]^2 + seq_len(sizes[[b]]^2)], sizes[[b]]))
  }
  point <- function(f) {
    x <- numeric(length(z))
    for (b in seq_along(sizes)) x[cone$places[[b]]] <- tcrossprod(shape(f)[[b]])
    x
  }
  value <- function(f) {
    distance <- point(f) - z
    sum(distance * (information %*% distance))
  }
  gradient <- function(f) {
    g <- 2 * drop(information %*% (point(f) - z))
    unlist(lapply(seq_along(sizes), function(b) {
      index <- cone$places[[b]]
      2 * (matrix(g[index], nrow(index)) * (0.5 + diag(0.5, nrow(index)))) %*% shape(f)[[b]]
    }))
  }
  found <- stats::nlminb(start, value, gradient, control = list(rel.tol = 1e-8))
  min(max(1 - found$objective / total, 1e-12), 1 - 1e-12)
}

# Upper tail; the chi-square with 0 df is the point 0.
chibar_p <- function(statistic, base, weights) {
  if (statistic <= 1e-7) return(1)
  df <- base + seq_along(weights) - 1
  sum(weights * ifelse(df == 0, 0, stats::pchisq(statistic, pmax(df, 1), lower.tail = FALSE)))
}

chibar_text <- function(base, weights, digits = 3L) {
  used <- which(weights > 5e-4)
  paste(paste0(format(round(weights[used], digits), trim = TRUE, drop0trailing = TRUE), " chi2(", base + used - 1, ")"), collapse = " + ")
}

# Evaluates with a seed of its own and puts the session's generator back as it was.
keep_seed <- function(seed, code) {
  if (is.null(seed)) return(code)
  known <- exists(".Random.seed", envir = globalenv(), inherits = FALSE)
  before <- if (known) get(".Random.seed", envir = globalenv())
  on.exit(if (known) assign(".Random.seed", before, envir = globalenv()) else rm(".Random.seed", envir = globalenv()))
  set.seed(seed)
  code
}
