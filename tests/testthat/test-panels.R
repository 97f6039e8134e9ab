# A property test: on 500 random panels with gaps, the columns of hlm() are those of plain loops over persons and rows in base R.

# Persons of 1 to 9 sessions out of 12, rows in no order, ids as numbers, text or factors, times whole or in steps of 0.1, missing values.
random_panel <- function(seed) {
  withr::with_seed(seed, {
    persons <- sample(3:8, 1L)
    step <- sample(c(1, 0.1, 2.5), 1L)
    d <- do.call(rbind, lapply(seq_len(persons), function(p) {
      data.frame(person = p * 7, session = sort(sample(12L, sample(if (p <= 2L) 5:9 else 1:9, 1L))) * step)
    }))
    d$x <- stats::rnorm(nrow(d), 3, 2)
    d$y <- stats::rnorm(nrow(d))
    d$x[stats::runif(nrow(d)) < 0.1] <- NA
    d$y[stats::runif(nrow(d)) < 0.05] <- NA
    d <- d[sample(nrow(d)), ]
    kind <- sample(3L, 1L)
    if (kind == 2L) d$person <- paste0("p", d$person)
    if (kind == 3L) d$person <- factor(d$person, levels = rev(unique(d$person)))
    list(data = d, step = step, lag = sample(1:2, 1L))
  })
}

loop_lag <- function(d, back) {
  person <- as.character(d$person)
  session <- d$session
  out <- rep(NA_real_, nrow(d))
  for (i in seq_along(out)) {
    for (j in seq_along(out)) {
      if (person[i] == person[j] && abs(session[i] - back - session[j]) < 1e-6) out[i] <- d$x[j]
    }
  }
  out
}

# Mean and line of each person by lm.fit() over the rows given.
loop_split <- function(person, time, x, at) {
  within <- line <- rep(NA_real_, length(x))
  mean <- level <- numeric()
  for (p in unique(as.character(person))) {
    rows <- which(as.character(person) == p)
    mean[[p]] <- sum(x[rows]) / length(rows)
    within[rows] <- x[rows] - mean[[p]]
    if (length(rows) < 2L) next
    made <- stats::lm.fit(cbind(1, time[rows]), x[rows])
    line[rows] <- made$residuals
    level[[p]] <- sum(made$coefficients * c(1, at))
  }
  key <- as.character(person)
  list(within = within, between = unname(mean[key]) - mean(mean), line = line, level = unname(level[key]) - mean(level))
}

# The columns of a formula over the analysed rows, without fitting.
model_columns <- function(formula, d) {
  spec <- parse_formula(formula, names(d), id = quote(person), time = "session")
  inputs <- list(subset = NULL, weights = NULL, offset = NULL)
  frame <- suppressWarnings(build_frame(spec, d, inputs, stats::na.omit, environment(formula)), classes = "hlm_warning")
  list(rows = frame$rows, columns = disaggregate_frame(spec, frame, hlm_control())$columns)
}

test_that("lags, person means and detrended parts equal base-R loops on 500 random panels with gaps", {
  compared <- 0L
  seed <- 0L
  while (compared < 500L && seed < 2000L) {
    seed <- seed + 1L
    panel <- random_panel(seed)
    d <- panel$data
    # lags of hlm() are whole numbers of time: times in steps of 0.1 or 2.5 are counted in steps of 5 at the least
    back <- if (panel$step == 1) panel$lag else if (panel$step == 2.5) 5 else 1
    lagged <- loop_lag(d, back)
    rows <- which(!is.na(lagged) & !is.na(d$y))
    # the split needs two persons, and a line with something left over
    if (sum(table(as.character(d$person[rows])) >= 3L) < 2L) next
    at <- mean(d$session)
    formula <- stats::as.formula(bquote(y ~ lagged(x, .(back)) + within(lagged(x, .(back))) + between(lagged(x, .(back))) + (1 | person)))
    made <- model_columns(formula, d)
    name <- paste0("x_lag", back)
    if (!identical(made$rows, rows)) fail(paste("rows of panel", seed))
    loops <- loop_split(d$person[rows], d$session[rows], lagged[rows], at)
    scale <- max(abs(d$x), na.rm = TRUE)
    differences <- c(
      made$columns[[name]] - lagged[rows], made$columns[[paste0(name, "_within")]] - loops$within, made$columns[[paste0(name, "_between")]] - loops$between
    )
    formula <- stats::as.formula(bquote(
      y ~ within(lagged(x, .(back)), detrend = TRUE) + between(lagged(x, .(back)), detrend = TRUE, at = .(at)) + (1 | person)
    ))
    trend <- model_columns(formula, d)
    # persons with one row have no line
    kept <- rows[rows %in% trend$rows]
    if (!identical(trend$rows, rows[!is.na(loops$line)])) fail(paste("rows with a trend of panel", seed))
    loops <- loop_split(d$person[kept], d$session[kept], lagged[kept], at)
    differences <- c(
      differences, trend$columns[[paste0(name, "_within")]] - loops$line, trend$columns[[paste0(name, "_between")]] - loops$level
    )
    # a line through two neighbouring sessions, taken far outside them, magnifies rounding
    if (anyNA(differences) || max(abs(differences)) > 1e-9 * scale) fail(paste("panel", seed, "differs by", max(abs(differences))))
    compared <- compared + 1L
  }
  expect_identical(compared, 500L)
})
