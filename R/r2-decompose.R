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

decompose_variance <- function(fit) {
  groups <- nested_groups(
    fit, "The decomposition of Rights and Sterba", "For crossed groups: r2(fit, method = \"nakagawa\")."
  )
  components <- rbind(
    fixed_components(fit, groups), random_components(fit, groups),
    component_row("residual", 1L, "residual", NA, fit$core$sigma^2 * mean(1 / design_weights(fit$design)))
  )
  row.names(components) <- NULL
  components
}

component_row <- function(component, level, source, group, variance) {
  data.frame(component = component, level = level, source = source, group = group, variance = variance, stringsAsFactors = FALSE)
}

# Lowest and highest level at which each estimated column can vary, from the specification: a between column has no part below its own level,
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
  data.frame(column = kept, low = low, high = high)
}

fixed_components <- function(fit, groups) {
  spans <- column_spans(fit, groups)
  spans <- spans[fit$design$x[spans$column] > 0L, , drop = FALSE]
  total <- replicate(length(groups) + 1L, numeric(n_rows(fit)), simplify = FALSE)
  for (rows in split(seq_len(nrow(spans)), list(spans$low, spans$high), drop = TRUE)) {
    eta <- 0
    for (i in rows) {
      k <- spans$column[[i]]
      eta <- eta + fit$core$beta[[k]] * design_column(fit$design, fit$design$x[[k]])
    }
    parts <- level_parts(eta, groups)
    for (l in seq(spans$low[[rows[[1L]]]], spans$high[[rows[[1L]]]])) total[[l]] <- total[[l]] + parts[[l]]
  }
  variance <- vapply(total, stats::var, 0)
  component_row(paste0("f", seq_along(total)), seq_along(total), "fixed", NA, variance)
}

random_components <- function(fit, groups) {
  top <- length(groups) + 1L
  pieces <- lapply(seq_along(groups), function(g) {
    v <- numeric(top)
    m <- 0
    for (t in which(term_group(fit) == g)) {
      added <- term_components(fit, t, groups)
      v <- v + added$v
      m <- m + added$m
    }
    slopes <- any(vapply(fit$design$terms[term_group(fit) == g], function(term) any(term$columns > 0L), NA))
    shown <- if (slopes) shown_slopes(v, m) else integer()
    list(
      v = component_row(sprintf("v%d%d", shown, rep(g + 1L, length(shown))), pmin(shown, g + 1L), rep("slopes", length(shown)),
        rep(groups[[g]]$name, length(shown)), v[shown]),
      m = component_row(paste0("m", g + 1L), g + 1L, "means", groups[[g]]$name, m)
    )
  })
  rbind(do.call(rbind, lapply(pieces, `[[`, "v")), do.call(rbind, lapply(pieces, `[[`, "m")))
}

# Parts that are zero but for rounding are not listed; a slope variance estimated as zero is, once.
shown_slopes <- function(v, m) {
  shown <- which(v > 1e-12 * (sum(v) + m))
  if (length(shown)) shown else 1L
}

# tr(T S_l) for each level l, and m'Tm, of one random-effect term.
term_components <- function(fit, t, groups) {
  term <- fit$design$terms[[t]]
  n <- n_rows(fit)
  covariance <- fit$core$sigma^2 * tcrossprod(term_lambda(fit, t))
  columns <- lapply(term$columns, function(k) if (k > 0L) design_column(fit$design, k))
  constant <- vapply(columns, is.null, NA)
  centre <- vapply(columns, function(x) if (is.null(x)) 1 else mean(x), 0)
  m <- sum(centre * (covariance %*% centre))
  if (all(constant)) return(list(v = numeric(length(groups) + 1L), m = m))
  parts <- lapply(columns[!constant], level_parts, groups = groups)
  v <- vapply(seq_len(length(groups) + 1L), function(l) {
    z <- matrix(unlist(lapply(parts, `[[`, l)), n)
    sum(covariance[!constant, !constant, drop = FALSE] * stats::cov(z))
  }, 0)
  list(v = v, m = m)
}

# Which estimated coefficients count at which levels, for the reader of the decomposition.
coefficient_levels <- function(fit, groups) {
  spans <- column_spans(fit, groups)
  spans <- spans[fit$design$x[spans$column] > 0L, , drop = FALSE]
  shares <- vapply(spans$column, function(k) {
    beta <- fit$core$beta[[k]]
    vapply(level_parts(beta * design_column(fit$design, fit$design$x[[k]]), groups), stats::var, 0)
  }, numeric(length(groups) + 1L))
  shares <- matrix(shares, length(groups) + 1L)
  place <- outer(seq_len(nrow(shares)), seq_len(ncol(shares)), function(l, i) l >= spans$low[i] & l <= spans$high[i])
  shares[!place] <- 0
  shares <- t(shares)
  colnames(shares) <- paste0("level", seq_len(ncol(shares)))
  data.frame(
    name = fit$design$x_names[spans$column], type = fit$spec$coefs$type[spans$column], centred = spans$high < ncol(shares), shares
  )
}
