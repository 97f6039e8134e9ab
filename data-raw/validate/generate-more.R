# The second part of the validation matrix: 640 models of 40 classes that the first 360 lack. Seeds of their own.
#
# Most are small, because trouble lives in small samples; the last of each class is larger. What the peers cannot express (within(), lags,
# detrending, `||` of a factor, ids that are text) is made by hand here, in base R, for them; this package gets the formula and data a user has.

more_rows <- c(48, 60, 72, 84, 96, 110, 125, 140, 160, 180, 210, 250, 300, 400, 650)

# Classes and the size of their last model.
more_large <- c(
  few_persons = 1200, one_or_two_sessions = 3000, one_huge_person = 3000, few_therapists = 2000, three_diagonal = 1500,
  four_level_slopes = 1500, five_levels = 3000, nested_and_crossed = 2000, crossed_diagonal = 1500, crossed_sparse = 12000,
  crossed_unbalanced = 2000, several_terms_per_group = 1500, four_effects = 1500, no_intercept = 1500, factor_slopes = 1500,
  factor_diagonal = 1500, interactions = 2000, polynomials = 1500, wb_contextual = 10000, wb_three_levels = 1500,
  lagged_within = 2000, detrended = 1500, cross_level = 2000, double_demeaned = 1500, weights_three_levels = 1500,
  weights_crossed = 1500, boundary_many = 1500, rank_one = 1500, correlation_near_one = 1500, high_icc = 1500,
  column_scales = 1500, large_means = 1500, rank_deficient = 1500, collinear_time = 1500, many_predictors = 2000,
  outliers = 1500, ids_of_all_kinds = 2000, hetero_residuals = 600, ar1_residuals = 600, car1_residuals = 600
)

more_grid <- function() {
  classes <- names(more_large)
  grid <- do.call(rbind, lapply(seq_along(classes), function(k) {
    rows <- c(more_rows, more_large[[k]])
    data.frame(class = classes[k], rep = seq_along(rows), n_target = rows, seed = 100000L + 1000L * k + seq_along(rows))
  }))
  grid$name <- sprintf("%s-%02d", grid$class, grid$rep)
  grid$REML <- (grid$rep + match(grid$class, classes)) %% 2 == 0
  grid
}

more_builders <- list(
  few_persons = function(n, rep) {
    persons <- 3 + rep %% 6
    frame <- nested_frame(rep(max(4, round(n / persons)), persons))
    v <- variant(rep, list("1", "(1 | patient)", "~ 1"), list(c("1", "x"), "(1 + x | patient)", "~ 1 + x"),
      list(c("1", "x"), "(1 + x || patient)", "pdDiag(~ 1 + x)"))
    sd <- c(1, 0.5)[seq_along(v[[1]])]
    finish(frame, list(effect("patient", v[[1]], sd)), paste("y ~ x + time +", v[[2]]), sprintf("list(patient = %s)", v[[3]]),
      beta = c(x = 0.5, time = -0.1))
  },
  one_or_two_sessions = function(n, rep) {
    frame <- nested_frame(sample(1:2, round(n / 1.4), replace = TRUE, prob = c(0.6, 0.4)), "therapist")
    v <- variant(rep, c("(1 | patient)", "list(patient = ~ 1)"), c("(1 | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1)"),
      c("(1 + x || patient)", "list(patient = pdDiag(~ 1 + x))"), c("(1 | patient) + (1 + x | therapist)", "list(therapist = ~ 1 + x, patient = ~ 1)"))
    finish(frame, list(effect("patient", c("1", "x"), c(0.9, 0.3)), effect("therapist", "1", 0.5)), paste("y ~ x + time +", v[1]), v[2])
  },
  one_huge_person = function(n, rep) {
    sizes <- c(round(n / 2), sample(1:5, max(10, round(n / 6)), replace = TRUE))
    frame <- nested_frame(sizes)
    frame$time <- frame$time / max(frame$time) * 5
    v <- variant(rep, c("(1 | patient)", "list(patient = ~ 1)"), c("(1 + time | patient)", "list(patient = ~ 1 + time)"),
      c("(1 + x | patient)", "list(patient = ~ 1 + x)"))
    finish(frame, list(effect("patient", c("1", "x"), c(0.9, 0.4), -0.3)), paste("y ~ x + time +", v[1]), v[2])
  },
  few_therapists = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    therapists <- 2 + rep %% 3
    frame$therapist <- factor(as.integer(frame$patient) %% therapists + 1)
    v <- variant(rep, c("(1 | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1)"),
      c("(1 + x | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1 + x)"),
      c("(1 | patient) + (1 + x || therapist)", "list(therapist = pdDiag(~ 1 + x), patient = ~ 1)"))
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.3)), effect("therapist", c("1", "x"), c(0.6, 0.3))),
      paste("y ~ x + time +", v[1]), v[2])
  },
  three_diagonal = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist", per = 5)
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4)), effect("therapist", c("1", "time"), c(0.6, 0.2))),
      "y ~ x + time + (1 + x || patient) + (1 + time || therapist)", "list(therapist = pdDiag(~ 1 + time), patient = pdDiag(~ 1 + x))")
  },
  four_level_slopes = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 260), per = 5), c("therapist", "clinic"), per = 3)
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4)), effect("therapist", c("1", "time"), c(0.5, 0.2), 0.4),
      effect("clinic", c("1", "x"), c(0.6, 0.3), -0.5)), "y ~ x + time + (1 + x || patient) + (1 + time | therapist) + (1 + x | clinic)",
      "list(clinic = ~ 1 + x, therapist = ~ 1 + time, patient = pdDiag(~ 1 + x))")
  },
  five_levels = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 260) + 10 * rep, per = 3), c("therapist", "clinic", "region"), per = 3)
    slope <- rep %% 3 == 0
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4)), effect("therapist", "1", 0.5), effect("clinic", "1", 0.6),
      effect("region", "1", 0.7)), sprintf("y ~ x + time + (%s | patient) + (1 | therapist) + (1 | clinic) + (1 | region)", if (slope) "1 + x" else "1"),
      sprintf("list(region = ~ 1, clinic = ~ 1, therapist = ~ 1, patient = ~ %s)", if (slope) "1 + x" else "1"))
  },
  nested_and_crossed = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    frame$item <- factor(sample(max(5, round(n^0.45)), nrow(frame), replace = TRUE))
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.3), 0.3), effect("therapist", "1", 0.5), effect("item", "1", 0.6)),
      paste("y ~ x + time +", variant(rep, "(1 | therapist/patient) + (1 | item)", "(1 + x | patient) + (1 | therapist) + (1 | item)",
        "(1 | patient) + (1 | therapist) + (1 + x || item)")))
  },
  crossed_diagonal = function(n, rep) {
    finish(crossed_frame(n), list(effect("patient", c("1", "x"), c(0.8, 0.3)), effect("item", c("1", "x"), c(0.6, 0.2))),
      "y ~ x + time + (1 + x || patient) + (1 + x || item)")
  },
  crossed_sparse = function(n, rep) {
    patient <- factor(sample(max(12, round(n / 5)), n, replace = TRUE))
    frame <- data.frame(patient = factor(as.integer(patient)), time = sample(0:9, n, replace = TRUE) / 3)
    rater <- sample(max(8, round(n / 12)), n, replace = TRUE)
    frame$rater <- factor(rater)
    frame$ward <- factor(rater %% max(4, round(n / 60)))
    frame <- add_predictors(frame)
    finish(frame, list(effect("patient", "1", 0.7), effect("rater", "1", 0.5), effect("ward", "1", 0.4)),
      paste("y ~ x + time +", variant(rep, "(1 | patient) + (1 | rater)", "(1 | patient) + (1 | rater) + (1 | ward)",
        "(1 | patient) + (1 | rater) + (1 | patient:ward)")))
  },
  crossed_unbalanced = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    items <- max(6, round(n^0.5))
    frame$item <- factor(sample(items, nrow(frame), replace = TRUE, prob = 1 / seq_len(items)))
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.4), effect("item", c("1", "x"), c(0.7, 0.3), -0.3)),
      paste("y ~ x + time +", variant(rep, "(1 + x | patient) + (1 | item)", "(1 | patient) + (1 + x | item)", "(1 | patient) + (1 | item)")))
  },
  several_terms_per_group = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 100), per = 10))
    frame$time <- frame$time / 4
    v <- variant(rep, c("(1 | patient) + (0 + x | patient) + (0 + time | patient) + (0 + w | patient)", "pdDiag(~ 1 + x + time + w)"),
      c("(1 + x | patient) + (0 + time + w | patient)", "pdBlocked(list(pdSymm(~ 1 + x), pdSymm(~ time + w - 1)))"),
      c("(1 | patient) + (0 + x + w | patient)", "pdBlocked(list(pdSymm(~ 1), pdSymm(~ x + w - 1)))"))
    finish(frame, list(effect("patient", c("1", "x"), c(1, 0.6), 0.4), effect("patient", c("time", "w"), c(0.5, 0.5), -0.4)),
      paste("y ~ x + time + w +", v[1]), sprintf("list(patient = %s)", v[2]), beta = c(x = 0.5, time = -0.3, w = 0.2))
  },
  four_effects = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 160), per = 10))
    frame$time <- frame$time / 4
    finish(frame, list(effect("patient", c("1", "x", "time", "w"), c(1, 0.6, 0.6, 0.5), variant(rep, 0, 0.3, 0.7))),
      "y ~ x + time + w + (1 + x + time + w | patient)", "list(patient = ~ 1 + x + time + w)", beta = c(x = 0.5, time = -0.3, w = 0.2))
  },
  no_intercept = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    frame$arm <- factor(c("control", "active")[frame$treated + 1])
    v <- variant(rep, c("0 + x + time + (0 + x | patient)", "~ x - 1"), c("x + time + (0 + x + time | patient)", "~ x + time - 1"),
      c("0 + arm + x + (1 | patient)", "~ 1"), c("0 + arm + arm:x + (1 + x | patient)", "~ 1 + x"))
    finish(frame, list(effect("patient", c("1", "x", "time"), c(0.7, 0.5, 0.2))), paste("y ~", v[1]), sprintf("list(patient = %s)", v[2]))
  },
  factor_slopes = function(n, rep) {
    frame <- phase_frame(max(n, 100))
    v <- variant(rep, c("(0 + phase | patient)", "list(patient = ~ phase - 1)"), c("(1 + phase | patient)", "list(patient = ~ 1 + phase)"),
      c("(1 | patient) + (1 | patient:phase)", NA), c("(1 | patient/phase)", NA))
    finish(frame, list(effect("patient", c("1", "phaseb", "phasec"), c(0.8, 0.6, 0.6), 0.2)), paste("y ~ x + phase +", v[1]), v[2],
      beta = c(x = 0.5, phaseb = 0.4, phasec = -0.2))
  },
  factor_diagonal = function(n, rep) {
    frame <- phase_frame(max(n, 100))
    v <- variant(rep, c("(1 + phase || patient)", "(1 | patient) + (0 + phaseb | patient) + (0 + phasec | patient)", "pdDiag(~ 1 + phaseb + phasec)"),
      c("(0 + phase || patient)", "(0 + phasea | patient) + (0 + phaseb | patient) + (0 + phasec | patient)", "pdDiag(~ phasea + phaseb + phasec - 1)"),
      c("(1 + x + phase || patient)", "(1 | patient) + (0 + x | patient) + (0 + phaseb | patient) + (0 + phasec | patient)",
        "pdDiag(~ 1 + x + phaseb + phasec)"))
    finish(frame, list(effect("patient", c("1", "x", "phaseb", "phasec"), c(0.8, 0.4, 0.6, 0.6))), paste("y ~ x + phase +", v[2]),
      sprintf("list(patient = %s)", v[3]), beta = c(x = 0.5, phaseb = 0.4, phasec = -0.2), hlm_formula = paste("y ~ x + phase +", v[1]))
  },
  interactions = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 100)), "therapist")
    frame$arm <- factor(sample(c("cbt", "pdt", "wait"), nlevels(frame$patient), replace = TRUE)[frame$patient], c("wait", "cbt", "pdt"))
    if (rep %% 4 == 1) stats::contrasts(frame$arm) <- stats::contr.sum(3)
    if (rep %% 4 == 2) frame$arm <- factor(frame$arm, ordered = TRUE)
    v <- variant(rep, "x * time * arm", "(x + time + arm)^2", "x + arm %in% x + time:arm", "time * arm - time + x")
    finish(frame, list(effect("patient", c("1", "time"), c(0.8, 0.2), -0.2), effect("therapist", "1", 0.4)),
      paste("y ~", v, "+ (1 + time | patient) + (1 | therapist)"), "list(therapist = ~ 1, patient = ~ 1 + time)")
  },
  polynomials = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 70), per = 7))
    frame$dose <- exp(frame$x / 2)
    v <- variant(rep, "poly(time, 3) + x", "splines::ns(time, 3) + x", "I(x^2) + x + time + I(time^2)", "log(dose) + scale(w) + factor(time)")
    finish(frame, list(effect("patient", c("1", "time"), c(0.8, 0.2), -0.2)), paste("y ~", v, "+ (1 + time | patient)"), "list(patient = ~ 1 + time)")
  },
  wb_contextual = function(n, rep) {
    frame <- nested_frame(uneven_sizes(n))
    frame <- hand_split(hand_split(frame, "x"), "w")
    v <- variant(rep, c("time + wb(x) + (1 | patient)", "time + xw + xb + (1 | patient)", "~ 1"),
      c("time + cx(x) + (1 + x | patient)", "time + x + xb + (1 + x | patient)", "~ 1 + x"),
      c("wb(x) + wb(w) + (1 + within(w) | patient)", "xw + xb + ww + wb + (1 + ww | patient)", "~ 1 + ww"),
      c("within(x) * time + between(x) * time + (1 + time | patient)", "xw * time + xb * time + (1 + time | patient)", "~ 1 + time"))
    finish(frame, list(effect("patient", c("1", "xw"), c(0.9, 0.4), 0.2)), paste("y ~", v[2]), sprintf("list(patient = %s)", v[3]),
      beta = c(xw = 0.6, xb = -0.3, time = -0.2), hlm_formula = paste("y ~", v[1]))
  },
  wb_three_levels = function(n, rep) {
    frame <- hand_split(nested_frame(uneven_sizes(n), "therapist"), "x")
    # The therapist's mean is the mean of the persons' means, and every person counts once in the grand mean.
    first <- !duplicated(frame$patient)
    person <- group_mean(frame$x, frame$patient)
    therapist <- tapply(person[first], frame$therapist[first], mean)
    frame$xt <- as.numeric(therapist[as.character(frame$therapist)]) - mean(person[first])
    frame$xp <- person - as.numeric(therapist[as.character(frame$therapist)])
    slope <- rep %% 3 == 0
    finish(frame, list(effect("patient", c("1", "xw"), c(0.9, 0.4), 0.2), effect("therapist", "1", 0.5)),
      sprintf("y ~ time + xw + xp + xt + (1 + xw | patient) + (%s | therapist)", if (slope) "1 + xw" else "1"),
      sprintf("list(therapist = ~ %s, patient = ~ 1 + xw)", if (slope) "1 + xw" else "1"), beta = c(xw = 0.6, xp = -0.3, xt = 0.5, time = -0.2),
      hlm_formula = sprintf("y ~ time + within(x) + between(x, level = \"therapist\") + (1 + within(x) | patient) + (%s | therapist)",
        if (slope) "1 + within(x)" else "1"))
  },
  lagged_within = function(n, rep) {
    frame <- nested_frame(pmax(uneven_sizes(max(n, 90)), 5))
    # Some sessions are missing, and rows come in any order.
    frame <- frame[runif(nrow(frame)) > 0.1, ]
    frame$y <- draw_outcome(frame, list(effect("patient", "1", 0.8)), c(x = 0.5, time = -0.1))
    frame <- frame[sample(nrow(frame)), ]
    back <- if (rep %% 5 == 0) 2 else 1
    frame$before <- earlier_value(frame, "x", back)
    frame$y_before <- earlier_value(frame, "y", back)
    v <- variant(rep, c("wb(lagged(x%s)) + (1 | patient)", "lw + lb + (1 | patient)", "~ 1", "before"),
      c("wb(lagged(x%s)) + (1 + within(lagged(x%1$s)) | patient)", "lw + lb + (1 + lw | patient)", "~ 1 + lw", "before"),
      c("lagged(y%s) + x + (1 | patient)", "y_before + x + (1 | patient)", "~ 1", "y_before"),
      c("within(lagged(y%s)) + (1 | patient)", "lw + (1 | patient)", "~ 1", "y_before"))
    data <- frame[!is.na(frame[[v[4]]]), ]
    data$lw <- data[[v[4]]] - group_mean(data[[v[4]]], data$patient)
    data$lb <- hand_between(data[[v[4]]], data$patient)
    data$patient <- droplevels(data$patient)
    lag <- if (back == 2) ", n = 2" else ""
    list(data = data, formula = paste("y ~ time +", v[2]), nlme = sprintf("list(patient = %s)", v[3]),
      hlm_formula = sprintf(paste("y ~ time +", v[1]), lag), hlm_data = frame[c("patient", "time", "x", "y")], hlm_args = list(time = quote(time)))
  },
  detrended = function(n, rep) {
    frame <- nested_frame(pmax(uneven_sizes(max(n, 80)), 5))
    frame$x <- frame$x + rnorm(nlevels(frame$patient), 0, 0.3)[frame$patient] * frame$time
    at <- variant(rep, 0, 2)
    degree <- if (rep %% 5 == 0) 2 else 1
    rows <- split(seq_len(nrow(frame)), frame$patient)
    frame$dw <- 0
    level <- numeric(length(rows))
    for (j in seq_along(rows)) {
      own <- frame[rows[[j]], ]
      trend <- stats::lm(x ~ poly(time, degree, raw = TRUE), own)
      frame$dw[rows[[j]]] <- stats::residuals(trend)
      level[j] <- stats::predict(trend, data.frame(time = at))
    }
    frame$db <- (level - mean(level))[frame$patient]
    slope <- rep %% 3 == 0
    term <- if (degree == 2) "detrend = 2" else "detrend = TRUE"
    finish(frame, list(effect("patient", c("1", "dw"), c(0.9, 0.4), 0.2)), sprintf("y ~ time + dw + db + (%s | patient)", if (slope) "1 + dw" else "1"),
      sprintf("list(patient = ~ %s)", if (slope) "1 + dw" else "1"), beta = c(dw = 0.6, db = 0.3, time = -0.2), hlm_args = list(time = quote(time)),
      hlm_formula = sprintf("y ~ time + within(x, %s) + between(x, %s, at = %d) + (%s | patient)", term, term, at,
        if (slope) sprintf("1 + within(x, %s)", term) else "1"))
  },
  cross_level = function(n, rep) {
    frame <- hand_split(hand_split(nested_frame(uneven_sizes(max(n, 70)), "therapist"), "x"), "w")
    v <- variant(rep, c("wb(x) * treated", "(xw + xb) * treated"), c("within(x) * between(w) + between(x)", "xw * wb + xb"),
      c("within(x) * time * treated + between(x)", "xw * time * treated + xb"))
    finish(frame, list(effect("patient", c("1", "xw"), c(0.9, 0.4), 0.2), effect("therapist", c("1", "xw"), c(0.4, 0.2))),
      paste("y ~ time +", v[2], "+ (1 + xw | patient) + (1 | therapist)"), "list(therapist = ~ 1, patient = ~ 1 + xw)",
      beta = c(xw = 0.6, xb = -0.3, time = -0.2), hlm_formula = paste("y ~ time +", v[1], "+ (1 + within(x) | patient) + (1 | therapist)"))
  },
  double_demeaned = function(n, rep) {
    frame <- hand_split(hand_split(nested_frame(uneven_sizes(max(n, 70))), "x"), "w")
    product <- frame$xw * frame$ww
    frame$xww <- product - group_mean(product, frame$patient)
    slope <- rep %% 3 == 0
    finish(frame, list(effect("patient", c("1", "xw"), c(0.9, 0.4), 0.2)),
      sprintf("y ~ xw + ww + xb + wb + xww + (%s | patient)", if (slope) "1 + xw" else "1"), sprintf("list(patient = ~ %s)", if (slope) "1 + xw" else "1"),
      beta = c(xw = 0.6, ww = -0.3, xww = 0.3),
      hlm_formula = sprintf("y ~ within(x) + within(w) + between(x) + between(w) + within(x):within(w) + (%s | patient)",
        if (slope) "1 + within(x)" else "1"))
  },
  weights_three_levels = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    frame$wt <- variant(rep, runif(nrow(frame), 0.5, 2), 10^runif(nrow(frame), -3, 3), sample(1:20, nrow(frame), replace = TRUE) * 1e4)
    frame$inverse <- 1 / frame$wt
    frame$y <- draw_outcome(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.3), effect("therapist", "1", 0.5)), sigma = 0)
    frame$y <- frame$y + rnorm(nrow(frame), sd = sqrt(stats::median(frame$wt) / frame$wt))
    list(data = frame, formula = "y ~ x + time + (1 + x | patient) + (1 | therapist)", nlme = "list(therapist = ~ 1, patient = ~ 1 + x)",
      nlme_weights = "varFixed(~ inverse)", weights = "wt")
  },
  weights_crossed = function(n, rep) {
    frame <- crossed_frame(n)
    frame$wt <- stats::rgamma(nrow(frame), 0.5) + 1e-3
    frame$off <- 10 * frame$w
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4)), effect("item", "1", 0.5)),
      paste("y ~ x + time +", variant(rep, "(1 | patient) + (1 | item)", "(1 + x || patient) + (1 | item)", "(1 + x | patient) + (1 | item)")),
      weights = "wt", offset = if (rep %% 3 == 0) "off")
  },
  boundary_many = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 80)), "therapist")
    frame$time <- frame$time / 3
    v <- variant(rep, c("(1 + x | patient) + (1 + time | therapist)", "list(therapist = ~ 1 + time, patient = ~ 1 + x)"),
      c("(1 + x + time | patient)", "list(patient = ~ 1 + x + time)"), c("(1 + x + time || patient) + (1 | therapist)", NA),
      c("(1 + x || patient) + (1 + x || therapist)", "list(therapist = pdDiag(~ 1 + x), patient = pdDiag(~ 1 + x))"))
    sd <- variant(rep + 1, c(0, 0), c(0.6, 0), c(0, 0.3))
    finish(frame, list(effect("patient", c("1", "x"), sd)), paste("y ~ x + time +", v[1]), v[2])
  },
  rank_one = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 90), per = 9))
    frame$time <- frame$time / 4
    direction <- variant(rep, cbind(c(1, 0.6, -0.5)), cbind(c(1, 0.6, -0.5), c(0.3, -0.4, 0.4)), cbind(c(0, 0.6, 0.4)))
    term <- effect("patient", c("1", "x", "time"), c(1, 1, 1))
    term$cov <- direction %*% t(direction)
    finish(frame, list(term), "y ~ x + time + (1 + x + time | patient)", "list(patient = ~ 1 + x + time)")
  },
  correlation_near_one = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    cor <- variant(rep, 0.99, -0.99, 0.999, -0.9999)
    finish(frame, list(effect("patient", c("1", "x"), c(2, 1), cor), effect("therapist", c("1", "x"), c(1, 0.6), -cor)),
      if (rep %% 3 == 0) "y ~ x + time + (1 + x | patient) + (1 + x | therapist)" else "y ~ x + time + (1 + x | patient)",
      if (rep %% 3 == 0) "list(therapist = ~ 1 + x, patient = ~ 1 + x)" else "list(patient = ~ 1 + x)", sigma = 0.3)
  },
  high_icc = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    sd <- 10^variant(rep, 1, 2, 3)
    v <- if (rep %% 3 == 0) c("(1 + time | patient)", "list(patient = ~ 1 + time)")
      else c("(1 | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1)")
    finish(frame, list(effect("patient", c("1", "time"), c(sd, if (rep %% 3 == 0) sd / 10 else 0)), effect("therapist", "1", sd)),
      paste("y ~ x + time +", v[1]), v[2], sigma = if (rep %% 2 == 0) 1 else 1e-3)
  },
  column_scales = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 80)), "therapist")
    frame$y <- 10^variant(rep, -3, 0, 4) * draw_outcome(frame, list(effect("patient", c("1", "x", "w"), c(0.8, 0.4, 0.4), 0.3),
      effect("therapist", "1", 0.4)), c(x = 0.5, w = 0.2, time = -0.3))
    frame$x <- frame$x * 1e-4
    frame$w <- frame$w * 1e5
    v <- c("(1 + x | patient) + (1 | therapist)", "(1 + x + w | patient)", "(1 + x || patient) + (0 + w | therapist)")
    list(data = frame, formula = paste("y ~ x + w + time +", v[rep %% 3 + 1]), nlme = NA_character_)
  },
  large_means = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    slope <- rep %% 3 == 0
    frame$y <- draw_outcome(frame, list(effect("patient", c("1", "x"), c(0.8, if (slope) 0.4 else 0), 0.2))) + variant(rep, 1e3, 1e6)
    frame$x <- frame$x + if (slope) variant(rep, 100, 1000, 1e4) else variant(rep, 1e3, 1e6)
    list(data = frame, formula = if (slope) "y ~ x + time + (1 + x | patient)" else "y ~ x + time + (1 | patient)", nlme = NA_character_)
  },
  rank_deficient = function(n, rep) {
    frame <- nested_frame(even_sizes(max(n, 60)), "therapist")
    frame$total <- frame$x + frame$w
    frame$again <- 2 * frame$x
    frame$arm <- factor(frame$treated, labels = c("no", "yes")[sort(unique(frame$treated)) + 1])
    frame$phase <- factor(ifelse(frame$time > 2, "late", "early"))
    frame$cell <- factor(ifelse(frame$phase == "late", "c", ifelse(frame$x > 0, "a", "b")))
    v <- variant(rep, "x + w + total + time", "x + again + time", "time + phase * cell + x", "therapist + treated + x + time",
      "x + w + time + I(x - 3 * w) + total")
    finish(frame, list(effect("patient", c("1", "x"), c(0.8, 0.3), 0.3)), paste("y ~", v, if (rep %% 3 == 0) "+ (1 + x | patient)" else "+ (1 | patient)"))
  },
  collinear_time = function(n, rep) {
    frame <- nested_frame(even_sizes(n))
    start <- round(rnorm(nlevels(frame$patient), 40, 10), 2)
    frame$age <- start[frame$patient] + frame$time / 52
    frame$near <- frame$x + 10^variant(rep, -2, -3, -4) * rnorm(nrow(frame))
    frame$year <- 2000 + frame$time + round(rnorm(nrow(frame), 0, 0.01), 4)
    v <- c("time + age + I(age^2) + x", "x + near + time", "time + year + x")[rep %% 3 + 1]
    finish(frame, list(effect("patient", c("1", "time"), c(0.8, 0.2), 0.2)), paste("y ~", v, "+ (1 + time | patient)"))
  },
  many_predictors = function(n, rep) {
    count <- min(40, 8 + 2 * rep)
    frame <- nested_frame(even_sizes(max(n, 4 * count)), "therapist")
    z <- paste0("z", seq_len(count))
    frame[z] <- matrix(rnorm(nrow(frame) * count), ncol = count) + 0.4 * frame$x
    finish(frame, list(effect("patient", c("1", "z1"), c(0.8, 0.3), 0.2), effect("therapist", "1", 0.4)),
      paste("y ~ time +", paste(z, collapse = " + "), "+ (1 + z1 | patient) + (1 | therapist)"), "list(therapist = ~ 1, patient = ~ 1 + z1)",
      beta = c(z1 = 0.4, z2 = -0.3, time = -0.1))
  },
  outliers = function(n, rep) {
    frame <- nested_frame(even_sizes(n), "therapist")
    y <- draw_outcome(frame, list(effect("patient", c("1", "x"), c(0.8, 0.4), 0.3), effect("therapist", "1", 0.5)))
    frame$y <- variant(rep, y + stats::rt(nrow(frame), 2), pmin(pmax(round(y), 0), 4), exp(y), ifelse(runif(nrow(frame)) < 0.02, y + 100, y))
    list(data = frame, formula = "y ~ x + time + (1 + x | patient) + (1 | therapist)", nlme = "list(therapist = ~ 1, patient = ~ 1 + x)")
  },
  ids_of_all_kinds = function(n, rep) {
    frame <- nested_frame(uneven_sizes(max(n, 60)), "therapist")
    made <- finish(frame, list(effect("patient", c("1", "x"), c(0.9, 0.4), 0.2), effect("therapist", "1", 0.5)),
      "y ~ x + time + (1 + x | patient) + (1 | therapist)", "list(therapist = ~ 1, patient = ~ 1 + x)")
    raw <- made$data
    code <- as.integer(raw$patient)
    kinds <- list(text = sprintf("P%03d ", code), decimal = code / 7, date = as.Date("2020-01-01") + code, big = 9e9 + code,
      accents = paste0("p\u00e4tient n\u00b0 ", code), spare = factor(code, levels = 0:(max(code) + 5)), negative = -code,
      reused = stats::ave(code, raw$therapist, FUN = function(k) match(k, unique(k))))
    kind <- names(kinds)[rep %% length(kinds) + 1]
    raw$patient <- kinds[[kind]]
    raw$therapist <- if (rep %% 2 == 0) paste("Dr", raw$therapist) else as.numeric(raw$therapist)
    # Rows without outcome, predictor or patient, which the peers never see.
    holes <- raw[sample(nrow(raw), 6), ]
    holes$y[1:2] <- NA
    holes$x[3:4] <- NA
    is.na(holes$patient) <- 5:6
    made$hlm_data <- rbind(raw, holes)[sample(nrow(raw) + 6), ]
    if (kind == "reused") made$hlm_formula <- "y ~ x + time + (1 + x | therapist:patient) + (1 | therapist)"
    made
  }
)
