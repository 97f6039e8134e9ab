# Synthetic: 60 persons of 12 therapists, 4 to 14 sessions, two variables that influence each other, with sessions missing as rows and as values, and
# rows in no order. data-raw/fixtures/reciprocal.R fits the peers to it.
reciprocal_panel <- function(seed = 7L, persons = 60L) {
  withr::with_seed(seed, {
    care <- matrix(stats::rnorm(24L, 0, 1.2), 12L)
    parts <- lapply(seq_len(persons), function(i) {
      n <- sample(4:14, 1L)
      slope <- stats::rnorm(2L, c(-0.35, -0.2), 0.3)
      level <- stats::rnorm(2L, 0, 1.2) + care[(i - 1L) %% 12L + 1L, ]
      trend <- stats::rnorm(2L, c(0.05, -0.1), 0.08)
      x <- y <- numeric(n + 10L)
      for (t in seq_along(x)[-1L]) {
        x[[t]] <- 0.3 * x[[t - 1L]] + slope[[2L]] * y[[t - 1L]] + stats::rnorm(1L)
        y[[t]] <- 0.35 * y[[t - 1L]] + slope[[1L]] * x[[t - 1L]] + stats::rnorm(1L)
      }
      keep <- 10L + seq_len(n)
      data.frame(
        person = 100L + i, therapist = paste0("T", (i - 1L) %% 12L + 1L), session = seq_len(n), group = c("a", "b", "c")[(i - 1L) %/% 4L %% 3L + 1L],
        x = 5 + level[[1L]] + trend[[1L]] * seq_len(n) + x[keep], y = 20 + level[[2L]] + trend[[2L]] * seq_len(n) + y[keep]
      )
    })
    d <- do.call(rbind, parts)
    d$x[sample(nrow(d), 25L)] <- NA
    d$y[sample(nrow(d), 20L)] <- NA
    d <- d[-sample(nrow(d), 40L), ]
    d <- d[sample(nrow(d)), ]
    row.names(d) <- NULL
    d$group <- factor(d$group)
    d
  })
}

both_panel <- function() fit_once("reciprocal_panel", function() reciprocal(reciprocal_panel(), x, y, person, session))

# Stationary series of many persons: `spread` is the SD of the persons' levels, `effect` that of x on the next y.
panel_series <- function(persons, sessions, rho, spread, seed, effect = 0) {
  withr::with_seed(seed, {
    n <- persons * (sessions + 51L)
    x <- matrix(stats::rnorm(n), sessions + 51L)
    e <- matrix(stats::rnorm(n), sessions + 51L)
    z <- e
    for (t in 2:nrow(z)) z[t, ] <- rho * z[t - 1L, ] + effect * x[t - 1L, ] + e[t, ]
    keep <- 51L + 0:sessions
    keep <- keep[keep <= nrow(z)]
    d <- data.frame(person = rep(seq_len(persons), each = length(keep)), session = rep(seq_along(keep), persons))
    d$y <- as.vector(z[keep, ]) + rep(stats::rnorm(persons, 0, spread), each = length(keep))
    d$x <- as.vector(x[keep, ])
    d
  })
}
