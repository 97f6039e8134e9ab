# From continuous values to the steps of the instruments: the ANS item mean has 12 items (steps of 1/12), the OQ-45 item mean 45
# (steps of 1/45). Rounding moves the figures a little; single steps of single values, chosen by their linear effect on
# all figures at once, move them back inside the tolerances.

step_ans <- 1 / 12
step_oq <- 1 / 45

round_to_steps <- function(d) {
  d$ans <- round(d$ans / step_ans) * step_ans
  d$oq <- round(d$oq / step_oq) * step_oq
  d
}

# Intervals in which a figure costs nothing: a part of its tolerance around the printed value. Figures without a goal are
# those that no data can meet (their note says why), or follow from others (p values).
tolerance_band <- function(published, part, edge_scale) {
  contradicted <- c("hybrid.within.upper", "detrended.within.lower", "detrended.within.upper")
  keep <- !grepl("p$|below", published$quantity) & !published$id %in% contradicted
  band <- published[keep, c("id", "published", "tolerance", "quantity")]
  band$slack <- part * band$tolerance
  # The printed interval of the session slope and its t meet only at the ends of both tolerances (|t| from 4.70 to 4.71).
  edge <- startsWith(band$id, "time.session") & band$quantity != "df"
  band$slack[edge] <- 0.999 * band$tolerance[edge]
  # p = .64 is narrower than the tolerances of t and chi-square.
  band$slack[band$id == "interactive.product.t"] <- 0.006
  band$published[band$id == "interactive.lrt"] <- 0.219
  band$slack[band$id == "interactive.lrt"] <- 0.006
  # Degrees of freedom come as near as the other figures let them, so they must not outweigh these.
  band$scale <- band$tolerance * ifelse(band$quantity == "df", 10, 0.05)
  band$scale[edge] <- edge_scale * band$tolerance[edge]
  band
}

band_misses <- function(d, band, starts) band$published - paper_statistics(d, starts)[band$id]

beyond <- function(miss, band) pmax(abs(miss) - band$slack, 0) / band$scale

# Effect of one upward step of each value on the figures.
step_effects <- function(d, band, starts) {
  targets <- data.frame(id = band$id, goal = band$published, scale = 1)
  j <- jacobian(d, targets, starts)
  n <- nrow(d)
  effects <- cbind(j[, seq_len(n)] * step_ans, j[, n + seq_len(n)] * step_oq)
  # Values at the end of a scale stay.
  effects[, c(d$ans > 6.9 | d$ans < 1.1, d$oq < 0.05 | d$oq > 3.9)] <- 0
  effects
}

# Greedy choice of up to `limit` moves, each value at most once, by the linear model of the figures; where no single move
# helps, the best pair of moves.
choose_moves <- function(miss, effects, band, limit) {
  chosen <- integer(0)
  both <- cbind(effects, -effects)
  cells <- ncol(effects)
  free <- rep(TRUE, 2L * cells)
  cost_with <- function(miss) ifelse(free, colSums(beyond(miss - both, band)^2), Inf)
  while (length(chosen) < limit) {
    now <- sum(beyond(miss, band)^2)
    single <- cost_with(miss)
    take <- which.min(single)
    if (single[take] >= 0.9995 * now) {
      firsts <- order(single)[1:60]
      pairs <- vapply(firsts, function(i) {
        second <- cost_with(miss - both[, i])
        second[c(i, (i + cells - 1L) %% (2L * cells) + 1L)] <- Inf
        c(which.min(second), min(second))
      }, numeric(2))
      best <- which.min(pairs[2, ])
      if (pairs[2, best] >= 0.999 * now) break
      take <- c(firsts[best], pairs[1, best])
    }
    chosen <- c(chosen, take)
    free[c(take, (take + cells - 1L) %% (2L * cells) + 1L)] <- FALSE
    miss <- miss - rowSums(both[, take, drop = FALSE])
  }
  ifelse(chosen > cells, cells - chosen, chosen)
}

apply_moves <- function(d, moves) {
  n <- nrow(d)
  cell <- abs(moves)
  a <- cell <= n
  d$ans[cell[a]] <- d$ans[cell[a]] + sign(moves[a]) * step_ans
  d$oq[cell[!a] - n] <- d$oq[cell[!a] - n] + sign(moves[!a]) * step_oq
  round_to_steps(d)
}

repair_steps <- function(d, band, rounds = 5L, limit = 60L, passes = 25L) {
  starts <- new_starts()
  miss <- band_misses(d, band, starts)
  for (k in seq_len(rounds)) {
    effects <- step_effects(d, band, starts)
    before <- sum(beyond(miss, band)^2)
    # The effects stay nearly valid while few values have moved, so they serve several passes.
    for (pass in seq_len(passes)) {
      moves <- choose_moves(miss, effects, band, limit)
      better <- NULL
      for (m in unique(pmax(1, floor(length(moves) / c(1, 2, 4, 8, 16, 32))))) {
        if (!length(moves)) break
        candidate <- apply_moves(d, moves[seq_len(m)])
        value <- band_misses(candidate, band, starts)
        if (anyNA(value) || sum(beyond(value, band)^2) >= 0.995 * sum(beyond(miss, band)^2)) next
        better <- list(d = candidate, miss = value)
        break
      }
      if (is.null(better)) break
      d <- better$d
      miss <- better$miss
    }
    now <- sum(beyond(miss, band)^2)
    message(sprintf("steps %d: misfit beyond the tolerances %.4g, from %.4g", k, now, before))
    if (now == 0 || now > 0.98 * before) break
  }
  d
}
