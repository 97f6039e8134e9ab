# The variance that the model implies, taken apart by level and source: Rights & Sterba (2019, Psychol Methods 24:309-338) for two
# levels, Rights & Sterba (2023, Multivariate Behav Res) for three.
#
# y = X beta + sum over levels g of Z_g u_g + e, u_g ~ N(0, T_g). Every column of X and Z is the sum of its parts by level, uncorrelated over the
# rows (R/levels.R). With S_l(Z) the covariance matrix over the rows of the level-l parts of Z and m the means of Z,
#   f_l  = var(level-l part of X beta)              fixed effects at level l
#   v_lg = tr(T_g S_l(Z_g))                         slopes that differ between groups at level g, through the level-l part of
#                                                   their predictor (Rights & Sterba 2019, eq. 11)
#   m_g  = m' T_g m                                 what differs between the groups at the average of the slopes' predictors: the
#                                                   intercept variance when these are centred
#   e    = sigma^2 (mean of sigma^2 / w with prior weights)
# Their sum is the model-implied variance of an outcome, whatever the centring. A component counts at the level at which it varies from unit
# to unit: f_l at l, v_lg at the lower of l and g, m_g at g. (r2mlm's three-level function counts v_32, the level-3 part of a slope that
# differs between level-2 groups, at level 3; since the slopes of two persons of one therapist are independent, it makes
# persons of the same therapist differ and belongs to level 2. It is zero when the predictor is centred within clusters.)

decompose_variance <- function(fit) shown_components(implied_variances(fit)$components)

shown_components <- function(components) {
  components <- components[components$shown, names(components) != "shown"]
  row.names(components) <- NULL
  components
}

# list(components, value, spans, roots): `value(draws)` gives the variances, replicates x components; `components` has those of the fit and says which are
# shown; roots R_l of S_l = R_l'R_l, the covariance matrices of the level-l parts of the columns of the fixed part in `spans`.
implied_variances <- function(fit) {
  groups <- nested_groups(
    fit, "The decomposition of Rights and Sterba", "For crossed groups: r2(fit, method = \"nakagawa\")."
  )
  spans <- column_spans(fit, groups)
  roots <- fixed_roots(fit, spans, groups)
  random <- random_moments(fit, groups)
  value <- function(draws) {
    fixed <- lapply(roots, fixed_variance, beta = draws$beta[, spans$place, drop = FALSE])
    cbind(do.call(cbind, fixed), effect_covariances(fit, draws) %*% t(random$moments), residual_variance(fit, draws$sigma))
  }
  levels <- seq_along(roots)
  components <- rbind(component_row(paste0("f", levels), levels, "fixed", NA), random$components, component_row("residual", 1L, "residual", NA))
  components$variance <- drop(value(estimates_row(fit)))
  components$shown <- components$source != "slopes"
  for (group in unique(components$group[!components$shown])) {
    own <- which(components$group %in% group)
    slopes <- own[components$source[own] == "slopes"]
    components$shown[slopes[shown_slopes(components$variance[slopes], components$variance[setdiff(own, slopes)])]] <- TRUE
  }
  list(components = components, value = value, spans = spans, roots = roots)
}

component_row <- function(component, level, source, group) {
  data.frame(component = component, level = level, source = source, group = group, stringsAsFactors = FALSE)
}

# Variance of X beta for each row of beta, from a root of the covariance matrix of the columns: rounding cannot make it negative.
fixed_variance <- function(root, beta) rowSums((beta %*% t(root))^2)

column_root <- function(x) {
  if (!ncol(x)) return(matrix(0, 0L, 0L))
  found <- qr(scale(x, scale = FALSE), LAPACK = TRUE)
  qr.R(found)[, order(found$pivot), drop = FALSE] / sqrt(nrow(x) - 1)
}

# Lowest and highest level at which each estimated column but the constant can vary, from the specification: a between column has no part below its own level,
# a person-mean centred one none above the rows.
column_spans <- function(fit, groups) {
  coefs <- fit$spec$coefs
  kept <- kept_columns(fit)
  top <- length(groups) + 1L
  low <- pmax(level_number(fit, coefs$level[kept]), 1L)
  high <- rep(top, length(kept))
  person <- match(fit$id %||% "", group_names(fit), nomatch = 0L)
  if (person > 0L && length(fit$means)) {
    facts <- variable_facts(fit)
    for (i in which(coefs$type[kept] %in% c("within", "cross-level"))) {
      if (is_person_centred(fit, coefs$term[kept[[i]]], coefs$name[kept[[i]]], facts)) high[[i]] <- person
    }
  }
  spans <- data.frame(column = kept, place = seq_along(kept), low = low, high = high)
  spans[fit$design$x[kept] > 0L, , drop = FALSE]
}

fixed_roots <- function(fit, spans, groups) {
  levels <- seq_len(length(groups) + 1L)
  parts <- lapply(seq_len(nrow(spans)), function(i) {
    parts <- level_parts(design_column(fit$design, fit$design$x[[spans$column[[i]]]]), groups)
    parts[levels < spans$low[[i]] | levels > spans$high[[i]]] <- list(0)
    parts
  })
  lapply(levels, function(l) column_root(columns_of(parts, l, n_rows(fit))))
}

# Part l of every column as a matrix.
columns_of <- function(parts, l, n) matrix(as.double(unlist(lapply(parts, function(part) rep_len(part[[l]], n)))), n, length(parts))

# Components of the random effects, slopes first, and what each variance and covariance (in the order of theta_map()) adds to them.
random_moments <- function(fit, groups) {
  map <- theta_map(fit$design)
  levels <- seq_len(length(groups) + 1L)
  pieces <- lapply(seq_along(groups), function(g) {
    own <- which(term_group(fit) == g)
    moments <- matrix(0, length(levels) + 1L, nrow(map))
    for (t in own) moments[, map$term == t] <- term_moments(fit, t, groups)
    components <- component_row(
      c(paste0("v", levels, g + 1L), paste0("m", g + 1L)), c(pmin(levels, g + 1L), g + 1L), rep(c("slopes", "means"), c(length(levels), 1L)), groups[[g]]$name
    )
    slopes <- any(unlist(lapply(fit$design$terms[own], `[[`, "columns")) > 0L)
    kept <- components$source == "means" | slopes
    list(components = components[kept, ], moments = moments[kept, , drop = FALSE])
  })
  components <- do.call(rbind, lapply(pieces, `[[`, "components"))
  moments <- do.call(rbind, lapply(pieces, `[[`, "moments"))
  order <- order(components$source == "means")
  list(components = components[order, ], moments = moments[order, , drop = FALSE])
}

# Parts that are zero but for rounding are not listed; a slope variance estimated as zero is, once.
shown_slopes <- function(v, m) {
  shown <- which(v > 1e-12 * (sum(v) + m))
  if (length(shown)) shown else 1L
}

# tr(T S_l) for each level l, and m'Tm, of one random-effect term: their coefficients of the entries of T.
term_moments <- function(fit, t, groups) {
  n <- n_rows(fit)
  map <- theta_map(fit$design)
  map <- map[map$term == t, ]
  columns <- lapply(fit$design$terms[[t]]$columns, function(k) rep_len(as.double(design_column(fit$design, k)), n))
  entries <- function(moment) (2 - (map$row == map$col)) * moment[cbind(map$row, map$col)]
  parts <- lapply(columns, level_parts, groups = groups)
  centre <- vapply(columns, mean, 0)
  slopes <- vapply(seq_len(length(groups) + 1L), function(l) entries(stats::cov(columns_of(parts, l, n))), numeric(nrow(map)))
  rbind(t(matrix(slopes, nrow(map))), entries(outer(centre, centre)))
}

# Which estimated coefficients count at which levels, for the reader of the decomposition.
coefficient_levels <- function(fit, implied) {
  spans <- implied$spans
  beta <- kept_beta(fit$core)[spans$place]
  shares <- vapply(implied$roots, function(root) beta^2 * colSums(root^2), beta)
  shares <- matrix(shares, nrow(spans), length(implied$roots), dimnames = list(NULL, paste0("level", seq_along(implied$roots))))
  data.frame(
    name = fit$design$x_names[spans$column], type = fit$spec$coefs$type[spans$column], centred = spans$high < ncol(shares), shares
  )
}
