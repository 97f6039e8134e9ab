# Profile likelihood interval of a share of variance, v / (v + rest), where v belongs to some of the theta and the rest to the others. The share
# depends on theta only (sigma^2 cancels), so that its profile is the criterion minimised over theta with the share held: the theta of v are scaled to
# give it. Right at the edge: where v is estimated as zero the interval starts at zero and still ends somewhere.
# Source: the likelihood ratio principle, Venzon & Moolgavkar (1988) Appl Stat 37:87.

# The two limits of a share take about so many searches.
share_steps <- 40L

# share: list(set = places of theta that v scales with, v = function(theta), rest = function(theta)), both relative to sigma^2. `step` is told how many searches
# are done.
profile_share <- function(fit, share, level, step = silent_progress) {
  estimate <- share$v(fit$core$theta) / (share$v(fit$core$theta) + share$rest(fit$core$theta))
  cutoff <- stats::qchisq(level, 1)
  best <- fit$core$criterion
  start <- share_start(fit, share)
  done <- 0L
  rise <- function(rho) {
    found <- criterion_at_share(fit, share, rho, start)
    start <<- found$free
    done <<- done + 1L
    step(done)
    found$criterion - best - cutoff
  }
  c(lower = share_limit(rise, estimate, down = TRUE), upper = share_limit(rise, estimate, down = FALSE))
}

# The estimates, with some direction for a v that is zero.
share_start <- function(fit, share) {
  theta <- fit$core$theta
  if (share$v(theta) > 1e-10) return(theta)
  map <- theta_map(fit$design)
  theta[share$set] <- ifelse(map$row[share$set] == map$col[share$set], 0.1, 0)
  theta
}

# The lowest criterion with the share at rho.
criterion_at_share <- function(fit, share, rho, start) {
  reml <- isTRUE(fit$REML)
  full <- function(theta) {
    v <- share$v(theta)
    if (rho <= 0) {
      theta[share$set] <- 0
    } else {
      theta[share$set] <- theta[share$set] * sqrt(rho / (1 - rho) * share$rest(theta) / v)
    }
    theta
  }
  # One pass over the data gives the criterion and its gradient in theta; the chain rule through the scaling needs none.
  last <- list(theta = NULL)
  look <- function(theta) {
    if (!identical(theta, last$theta)) {
      found <- tryCatch(engine_evaluate(fit$design, reml, full(theta), 1L), hlm_error_numerical = function(e) list(criterion = 1e10, gradient = 0 * theta))
      last <<- c(list(theta = theta), found)
    }
    last
  }
  # A single theta of v has no direction to choose; held at zero, none has.
  free <- if (length(share$set) == 1L || rho <= 0) setdiff(seq_along(start), share$set) else seq_along(start)
  if (!length(free)) return(list(criterion = look(start)$criterion, free = start))
  slope <- function(part) {
    theta <- replace(start, free, part)
    gradient <- look(theta)$gradient
    vapply(free, function(k) {
      step <- 1e-5 * max(abs(theta[[k]]), 1e-3)
      moved <- function(by) full(replace(theta, k, theta[[k]] + by))
      sum(gradient * (moved(step) - moved(-step))) / (2 * step)
    }, 0)
  }
  found <- stats::nlminb(start[free], function(part) look(replace(start, free, part))$criterion, slope, control = list(rel.tol = 1e-10))
  list(criterion = found$objective, free = replace(start, free, found$par))
}

share_limit <- function(rise, estimate, down) {
  if (down) {
    if (estimate <= 1e-8 || rise(0) <= 0) return(0)
    return(stats::uniroot(rise, c(0, estimate), tol = 1e-6)$root)
  }
  inner <- estimate
  for (outer in 1 - (1 - estimate) * c(0.95, 0.8, 0.6, 0.4, 0.2, 0.1, 0.03, 0.01, 0.001)) {
    if (rise(outer) > 0) return(stats::uniroot(rise, c(inner, outer), tol = 1e-6)$root)
    inner <- outer
  }
  1
}

# The intraclass correlation of group g: the variance of its effects averaged over the rows, against that of all effects and the residual.
share_of_level <- function(fit, g) {
  coefficients <- level_coefficients(fit)
  map <- theta_map(fit$design)
  by_level <- function(theta) level_variances(fit, list(theta = t(theta), sigma = 1), coefficients)
  list(set = which(term_group(fit)[map$term] == g), v = function(theta) by_level(theta)[[g]], rest = function(theta) sum(by_level(theta)[-g]))
}

# Of the differences between persons in one effect, those between the groups of g: variances of the effect of the same name in g and in the factors
# nested in it. NULL where these have no such effect.
share_of_effect <- function(fit, g, name) {
  map <- theta_map(fit$design)
  places <- function(groups) {
    found <- lapply(which(term_group(fit) %in% groups), function(t) {
      column <- match(name, fit$design$terms[[t]]$names)
      if (!is.na(column)) which(map$term == t & map$row == column)
    })
    unlist(found)
  }
  own <- places(g)
  inner <- places(inner_factors(fit$design, g))
  if (!length(own) || !length(inner)) return(NULL)
  list(set = own, v = function(theta) sum(theta[own]^2), rest = function(theta) sum(theta[inner]^2))
}
