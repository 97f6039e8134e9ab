# The validation matrix: which models, and their seeded synthetic data.
#
# `model_grid()` lists the models (one row each); `generate_model(row)` returns the data and the formulas. Every number here is
# synthetic. The same seed gives the same data on every machine with R >= 3.6 (the three generators are named).

row_targets <- c(60, 80, 100, 130, 160, 200, 260, 340, 450, 600, 900, 1400, 2300, 3600)

# Sizes of the last model of each class: up to 30,000 rows where lme4 fits in seconds.
large_rows <- c(
  two_intercept = 30000, two_slope = 30000, two_diagonal = 5000, two_three_effects = 5000, two_several_terms = 5000,
  three_intercept = 30000, three_slope = 30000, three_both_slopes = 5000, four_intercept = 5000, four_slope = 5000,
  crossed_intercept = 5000, crossed_slope = 5000, crossed_three_factors = 5000, partially_crossed = 5000,
  near_boundary = 5000, zero_variance = 5000, correlation_one = 5000, badly_scaled = 5000, calendar_time = 5000,
  tiny_groups = 5000, unbalanced_groups = 5000, dropout = 5000, within_between = 5000, weights_offset = 5000
)

# The first 360 models, and those of generate-more.R.
model_grid <- function() rbind(first_grid(), more_grid())

first_grid <- function() {
  classes <- names(large_rows)
  grid <- do.call(rbind, lapply(seq_along(classes), function(k) {
    rows <- c(row_targets, large_rows[[k]])
    data.frame(class = classes[k], rep = seq_along(rows), n_target = rows, seed = 1000L * k + seq_along(rows))
  }))
  grid$name <- sprintf("%s-%02d", grid$class, grid$rep)
  # Alternating within and across classes, so that both criteria see small and large models of every class.
  grid$REML <- (grid$rep + match(grid$class, classes)) %% 2 == 0
  grid
}

generate_model <- function(row) {
  set.seed(row$seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  model <- c(builders, more_builders, residual_builders)[[row$class]](row$n_target, row$rep)
  model[c("name", "class", "seed", "REML")] <- list(row$name, row$class, row$seed, row$REML)
  model$hlm_formula <- model$hlm_formula %||% model$formula
  model
}

`%||%` <- function(x, y) if (is.null(x)) y else x

# --- frames -------------------------------------------------------------------------------------------------------------------

# Sessions in patients, patients in `outer` levels. `sizes` gives the number of sessions per patient.
nested_frame <- function(sizes, outer = character(), per = 6) {
  patients <- length(sizes)
  patient <- rep(seq_len(patients), sizes)
  frame <- data.frame(patient = factor(patient), time = sequence(sizes) - 1)
  above <- seq_len(patients)
  for (level in outer) {
    groups <- max(3, round(max(above) / per))
    map <- sort(c(seq_len(groups), sample(groups, max(above) - groups, replace = TRUE)))
    above <- map[above]
    frame[[level]] <- factor(above[patient])
  }
  add_predictors(frame)
}

add_predictors <- function(frame) {
  patients <- nlevels(frame$patient)
  n <- nrow(frame)
  person_mean <- rnorm(patients)
  frame$x <- person_mean[frame$patient] + rnorm(n)
  frame$w <- rnorm(n) + 0.3 * frame$x
  frame$treated <- rbinom(patients, 1, 0.5)[frame$patient]
  frame
}

even_sizes <- function(n, per = sample(4:10, 1)) rep(per, max(8, round(n / per)))

crossed_frame <- function(n) {
  items <- min(60, max(5, round(sqrt(n / 2))))
  subjects <- max(6, ceiling(n / items / 0.9))
  cells <- expand.grid(item = seq_len(items), patient = seq_len(subjects))
  # A tenth of the cells are missing, so that no balanced shortcut is right by accident.
  cells <- cells[sort(sample(nrow(cells), ceiling(0.9 * nrow(cells)))), ]
  frame <- data.frame(patient = factor(cells$patient), item = factor(cells$item), time = cells$item / items)
  add_predictors(frame)
}

# Patients who mostly keep their therapist, and sometimes change: partial crossing.
switching_frame <- function(n) {
  frame <- nested_frame(even_sizes(n), outer = "therapist", per = 5)
  moved <- runif(nrow(frame)) < 0.15
  frame$therapist[moved] <- sample(levels(frame$therapist), sum(moved), replace = TRUE)
  frame$therapist <- droplevels(frame$therapist)
  frame
}

# --- outcome ------------------------------------------------------------------------------------------------------------------

# y = X beta + sum over terms of Z b + e. `random` is a list of list(group, columns, cov); a column "1" is the intercept.
draw_outcome <- function(frame, random, beta = c(x = 0.5, time = -0.3), sigma = 1) {
  eta <- 1 + as.matrix(frame[names(beta)]) %*% beta
  for (term in random) {
    group <- frame[[term$group]]
    root <- sqrt_psd(term$cov)
    b <- matrix(rnorm(nlevels(group) * ncol(root)), ncol = ncol(root)) %*% t(root)
    z <- vapply(term$columns, function(k) if (k == "1") rep(1, nrow(frame)) else frame[[k]], numeric(nrow(frame)))
    eta <- eta + rowSums(z * b[group, , drop = FALSE])
  }
  as.numeric(eta) + rnorm(nrow(frame), sd = sigma)
}

sqrt_psd <- function(cov) {
  parts <- eigen(as.matrix(cov), symmetric = TRUE)
  parts$vectors %*% diag(sqrt(pmax(parts$values, 0)), nrow(parts$vectors))
}

effect <- function(group, columns, sd, cor = 0) {
  q <- length(columns)
  correlation <- matrix(cor, q, q)
  diag(correlation) <- 1
  list(group = group, columns = columns, cov = diag(sd, q) %*% correlation %*% diag(sd, q))
}

model <- function(frame, random, formula, nlme = NA_character_, ...) {
  frame$y <- draw_outcome(frame, random)
  list(data = frame, formula = formula, nlme = nlme, ...)
}

# --- the classes --------------------------------------------------------------------------------------------------------------

builders <- list(
  two_intercept = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    model(frame, list(effect("patient", "1", c(0.3, 0.8, 2)[rep %% 3 + 1])), "y ~ x + time + (1 | patient)", "list(patient = ~ 1)")
  },
  two_slope = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    model(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), c(-0.5, 0, 0.6)[rep %% 3 + 1])),
      "y ~ x + time + (1 + x | patient)", "list(patient = ~ 1 + x)")
  },
  two_diagonal = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    model(frame, list(effect("patient", c("1", "x"), c(0.8, 0.5))), "y ~ x + time + (1 + x || patient)",
      "list(patient = pdDiag(~ 1 + x))")
  },
  two_three_effects = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 120), per = 8))
    model(frame, list(effect("patient", c("1", "x", "time"), c(1, 0.5, 0.3), 0.3)), "y ~ x + time + (1 + x + time | patient)",
      "list(patient = ~ 1 + x + time)")
  },
  two_several_terms = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 120), per = 8))
    model(frame, list(effect("patient", c("1", "time"), c(1, 0.3), 0.3), effect("patient", "x", 0.5)),
      "y ~ x + time + (1 + time | patient) + (0 + x | patient)",
      "list(patient = pdBlocked(list(pdSymm(~ 1 + time), pdSymm(~ x - 1))))")
  },
  three_intercept = function(n, rep) {
    frame <- nested_frame(even_sizes(n, per = sample(3:7, 1)), "therapist")
    model(frame, list(effect("patient", "1", 0.8), effect("therapist", "1", 0.5)),
      if (rep %% 2 == 0) "y ~ x + time + (1 | therapist/patient)" else "y ~ x + time + (1 | patient) + (1 | therapist)",
      "list(therapist = ~ 1, patient = ~ 1)")
  },
  three_slope = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    model(frame, list(effect("patient", c("1", "time"), c(0.9, 0.2), -0.3), effect("therapist", "1", 0.5)),
      "y ~ x + time + (1 + time | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1 + time)")
  },
  three_both_slopes = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist", per = 8)
    model(frame, list(effect("patient", c("1", "time"), c(0.9, 0.2), -0.3), effect("therapist", c("1", "time"), c(0.6, 0.15), 0.4)),
      "y ~ x + time + (1 + time | patient) + (1 + time | therapist)", "list(therapist = ~ 1 + time, patient = ~ 1 + time)")
  },
  four_intercept = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 150), per = 3), c("therapist", "clinic"), per = 4)
    model(frame, list(effect("patient", "1", 0.8), effect("therapist", "1", 0.5), effect("clinic", "1", 0.7)),
      "y ~ x + time + (1 | patient) + (1 | therapist) + (1 | clinic)", "list(clinic = ~ 1, therapist = ~ 1, patient = ~ 1)")
  },
  four_slope = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 260), per = 5), c("therapist", "clinic"), per = 4)
    model(frame, list(effect("patient", c("1", "time"), c(0.8, 0.3), 0.2), effect("therapist", c("1", "x"), c(0.6, 0.3), -0.2),
      effect("clinic", "1", 0.7)), "y ~ x + time + (1 + time | patient) + (1 + x | therapist) + (1 | clinic)",
      "list(clinic = ~ 1, therapist = ~ 1 + x, patient = ~ 1 + time)")
  },
  crossed_intercept = function(n, rep) {
    frame <- crossed_frame(n)
    model(frame, list(effect("patient", "1", 0.8), effect("item", "1", 0.6)), "y ~ x + time + (1 | patient) + (1 | item)")
  },
  crossed_slope = function(n, rep) {
    frame <- crossed_frame(n)
    model(frame, list(effect("patient", c("1", "x"), c(0.8, 0.3), 0.4), effect("item", c("1", "x"), c(0.6, 0.2), -0.3)),
      "y ~ x + time + (1 + x | patient) + (1 + x | item)")
  },
  crossed_three_factors = function(n, rep) {
    frame <- crossed_frame(n)
    frame$clinic <- factor(sample(max(4, round(n^0.3)), nlevels(frame$patient), replace = TRUE)[frame$patient])
    model(frame, list(effect("patient", "1", 0.8), effect("item", c("1", "x"), c(0.6, 0.3)), effect("clinic", "1", 0.4)),
      "y ~ x + time + (1 | patient) + (1 + x || item) + (1 | clinic)")
  },
  partially_crossed = function(n, rep) {
    frame <- switching_frame(n)
    slope <- rep %% 2 == 0
    model(frame, list(effect("patient", c("1", "time"), c(0.9, 0.25), -0.2), effect("therapist", "1", 0.5)),
      if (slope) "y ~ x + time + (1 + time | patient) + (1 | therapist)" else "y ~ x + time + (1 | patient) + (1 | therapist)")
  },
  near_boundary = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    sd <- list(c(0.05, 0.5), c(0.8, 0.05), c(0.1, 0.1))[[rep %% 3 + 1]]
    model(frame, list(effect("patient", c("1", "x"), sd, 0.2)), "y ~ x + time + (1 + x | patient)", "list(patient = ~ 1 + x)")
  },
  zero_variance = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    case <- rep %% 4
    sd <- list(c(0.8, 0), c(0, 0.4), c(0, 0), c(0.8, 0))[[case + 1]]
    model(frame, list(effect("patient", c("1", "x"), sd)),
      if (case == 3) "y ~ x + time + (1 + x || patient) + (1 | therapist)" else "y ~ x + time + (1 + x | patient) + (1 | therapist)",
      if (case == 3) NA_character_ else "list(therapist = ~ 1, patient = ~ 1 + x)")
  },
  correlation_one = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    model(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), if (rep %% 2 == 0) 1 else -1)),
      "y ~ x + time + (1 + x | patient)", "list(patient = ~ 1 + x)")
  },
  badly_scaled = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    frame$y <- draw_outcome(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.3), effect("therapist", "1", 0.4)))
    power <- c(3, 4, 6)[rep %% 3 + 1]
    frame$x <- frame$x * 10^power
    frame$y <- frame$y * 10^-power
    list(data = frame, formula = "y ~ x + time + (1 + x | patient) + (1 | therapist)", nlme = NA_character_)
  },
  calendar_time = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 80), per = 8))
    frame$y <- draw_outcome(frame, list(effect("patient", c("1", "time"), c(0.8, 0.25), 0.3)))
    frame$time <- if (rep %% 2 == 0) 1990 + frame$time else 18000 + 7 * frame$time
    list(data = frame, formula = "y ~ x + time + (1 + time | patient)", nlme = NA_character_)
  },
  tiny_groups = function(n, rep) {
    sizes <- sample(1:3, max(20, round(n / 1.7)), replace = TRUE, prob = c(0.5, 0.3, 0.2))
    slope <- rep %% 3 == 0
    model(nested_frame(sizes), list(effect("patient", c("1", "x"), c(0.9, 0.5), 0.2)),
      if (slope) "y ~ x + time + (1 + x || patient)" else "y ~ x + time + (1 | patient)",
      if (slope) "list(patient = pdDiag(~ 1 + x))" else "list(patient = ~ 1)")
  },
  unbalanced_groups = function(n, rep) {
    sizes <- pmax(1, round(n * (1 / seq_len(max(10, round(n^0.6)))) / sum(1 / seq_len(max(10, round(n^0.6))))))
    model(nested_frame(sizes), list(effect("patient", c("1", "x"), c(0.9, 0.5), 0.2)), "y ~ x + time + (1 + x | patient)",
      "list(patient = ~ 1 + x)")
  },
  dropout = function(n, rep) {
    sizes <- pmin(15, 2 + rgeom(max(12, round(n / 8)), 0.15))
    frame <- nested_frame(sizes, "therapist")
    model(frame, list(effect("patient", c("1", "time"), c(0.9, 0.15), -0.3), effect("therapist", "1", 0.4)),
      "y ~ x + time * treated + (1 + time | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1 + time)")
  },
  within_between = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    person <- tapply(frame$x, frame$patient, mean)
    frame$xw <- frame$x - person[as.integer(frame$patient)]
    frame$xb <- as.numeric(person[as.integer(frame$patient)] - mean(person))
    model(frame, list(effect("patient", c("1", "xw"), c(0.9, 0.4), 0.2), effect("therapist", "1", 0.4)),
      "y ~ time + xw + xb + (1 + xw | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1 + xw)",
      hlm_formula = "y ~ time + within(x) + between(x) + (1 + within(x) | patient) + (1 | therapist)")
  },
  weights_offset = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    frame$wt <- sample(c(0.5, 1, 2, 4), nrow(frame), replace = TRUE)
    frame$off <- rnorm(nrow(frame))
    model(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.3)), "y ~ x + time + (1 + x | patient)",
      weights = "wt", offset = if (rep %% 2 == 0) "off")
  }
)

# --- helpers of the classes in generate-more.R and generate-residual.R ---------------------------------------------------------

# Variants go round by pairs of models, so that each is fitted by REML and by ML.
variant <- function(rep, ...) {
  choices <- list(...)
  choices[[(rep %/% 2) %% length(choices) + 1]]
}

finish <- function(frame, random, formula, nlme = NA_character_, beta = c(x = 0.5, time = -0.3), sigma = 1, ...) {
  frame$y <- draw_outcome(frame, random, beta, sigma)
  list(data = frame, formula = formula, nlme = nlme, ...)
}

# Mean of each group, by row.
group_mean <- function(x, group) stats::ave(x, as.character(group))

# What between() is: the mean of each person, minus the mean over persons.
hand_between <- function(x, person) {
  mean_of <- tapply(x, as.character(person), mean)
  as.numeric(mean_of[as.character(person)]) - mean(mean_of)
}

uneven_sizes <- function(n) sample(3:9, max(8, round(n / 6)), replace = TRUE)

# Sessions in three phases, and the dummies of the phases.
phase_frame <- function(n) {
  frame <- nested_frame(even_sizes(n, per = 9))
  frame$phase <- factor(c("a", "b", "c")[(frame$time + as.integer(frame$patient)) %% 3 + 1])
  for (level in c("a", "b", "c")) frame[[paste0("phase", level)]] <- as.numeric(frame$phase == level)
  frame
}

# x -> xw (deviation from the person's mean) and xb (the person's mean minus the mean over persons).
hand_split <- function(frame, name) {
  frame[[paste0(name, "w")]] <- frame[[name]] - group_mean(frame[[name]], frame$patient)
  frame[[paste0(name, "b")]] <- hand_between(frame[[name]], frame$patient)
  frame
}

earlier_value <- function(frame, name, back) {
  key <- paste(frame$patient, frame$time)
  frame[[name]][match(paste(frame$patient, frame$time - back), key)]
}
