# What the two fits of a reciprocal model say: the coefficients by role, and how many persons have a slope of the other sign.

# Names of the coefficients: the within part of the predictor, its between parts, the earlier outcome, the value of the same session. Read from the
# specification, never from names.
coefficient_roles <- function(fit, direction, columns) {
  find <- function(name, lag, kinds) {
    found <- Filter(function(column) column$kind %in% kinds && column$lag == lag && identical(column$expr, as.name(name)), fit$spec$columns)
    column_label(vapply(unname(found), `[[`, "", "name"))
  }
  predictor <- direction$predictor
  list(
    within = find(predictor, direction$lag, "within"), between = find(predictor, direction$lag, "between"),
    autoregression = find(columns$lagged, direction$before, c("lag", "within")),
    concurrent = if (!is.na(direction$concurrent)) find(predictor, direction$concurrent, "within") else character()
  )
}

# The role of every estimated coefficient but the intercept.
role_table <- function(made) {
  fit <- made$fit
  coefs <- fit$spec$coefs[kept_columns(fit), , drop = FALSE]
  place <- which(coefs$term != "(Intercept)")
  members <- unname(term_members(fit)[coefs$term[place]])
  products <- vapply(members, function(labels) made$roles$within %in% labels && length(labels) > 1L, NA)
  moderators <- lapply(unique(members[products]), setdiff, made$roles$within)
  role <- vapply(seq_along(members), function(i) {
    labels <- members[[i]]
    if (products[[i]]) return("moderation")
    single <- names(made$roles)[vapply(made$roles, function(names) length(labels) == 1L && labels %in% names, NA)]
    if (length(single)) return(single[[1L]])
    if (any(vapply(moderators, setequal, NA, labels))) "moderator" else "covariate"
  }, "")
  data.frame(place = place, role = role, term = coefs$name[place], stringsAsFactors = FALSE)
}

role_order <- c("within", "concurrent", "between", "autoregression", "moderation", "moderator", "covariate")

direction_effects <- function(made, inference, settings) {
  fit <- made$fit
  roles <- role_table(made)
  raw <- test_rows(fit, coefficient_contrasts(fit)[roles$place, , drop = FALSE], 0, inference, settings$conf.level)
  standard <- direction_standard(fit, roles, raw, settings$conf.level)
  table <- data.frame(
    direction = made$direction$way, outcome = made$columns$outcome, role = roles$role, term = roles$term, estimate = raw$Estimate,
    std.error = raw$`Std. Error`, df = raw$df, statistic = raw$`t value`, p.value = raw$`Pr(>|t|)`, conf.low = raw$lower, conf.high = raw$upper,
    std.estimate = standard$estimate, std.error.std = standard$std.error, std.low = standard$conf.low, std.high = standard$conf.high,
    stringsAsFactors = FALSE
  )
  table[order(match(table$role, role_order), seq_len(nrow(table))), , drop = FALSE]
}

# Within-person standardised effects with the standard errors of the inference asked for (standardize() has model-based ones).
direction_standard <- function(fit, roles, raw, level) {
  empty <- data.frame(estimate = rep(NA_real_, nrow(roles)), std.error = NA_real_, conf.low = NA_real_, conf.high = NA_real_)
  parts <- tryCatch(standardized_parts(fit, "within-person"), hlm_error = identity)
  if (inherits(parts, "error")) {
    warn_hlm("standardize", c("No standardised effects on {.var {deparse1(fit$formula[[2L]])}}: {conditionMessage(parts)}"))
    return(empty)
  }
  table <- data.frame(
    term = names(fixef.hlm(fit))[parts$place], estimate = parts$estimate, std.error = NA_real_, df = raw$df[match(parts$place, roles$place)],
    conf.low = NA_real_, conf.high = NA_real_, stringsAsFactors = FALSE
  )
  made <- given_errors(table, fit, parts, raw$`Std. Error`[match(parts$place, roles$place)], level)
  made[match(roles$place, parts$place), c("estimate", "std.error", "conf.low", "conf.high")]
}

# Slopes of the other sign --------------------------------------------------------------------------------------------------------------

# One row for a direction with a random slope of the within effect, none otherwise.
slope_signs <- function(made, inference, settings) {
  fit <- made$fit
  name <- made$roles$within
  person <- person_factor(fit)
  places <- if (length(name) == 1L && name %in% names(fixef.hlm(fit)) && !is.null(person)) slope_places(fit, name, person)
  if (!length(places)) return(NULL)
  l <- slope_contrasts(made, person)
  average <- drop(l %*% fixef.hlm(fit))
  spread <- slope_sd(fit, places, settings$conf.level)
  share <- other_sign(l, average, inference$vcov, spread, settings$conf.level)
  own <- average + person_deviation(fit, name, person)
  data.frame(
    direction = made$direction$way, term = name, estimate = mean(average), sd = spread$sd, sd.low = spread$low, sd.high = spread$high,
    share = share$value, share.low = share$low, share.high = share$high, persons = length(own), other.sign = sum(own * sign(mean(average)) < 0),
    note = spread$note, stringsAsFactors = FALSE
  )
}

# The combination of coefficients that is each person's expected slope: the within effect, and for a product with a moderator the person's value of
# it. The value is the regression of the product's column on the within column over the person's rows: the moderator itself when it is constant.
slope_contrasts <- function(made, person) {
  fit <- made$fit
  coefficients <- names(fixef.hlm(fit))
  n <- length(person$levels)
  l <- matrix(0, n, length(coefficients), dimnames = list(NULL, coefficients))
  l[, made$roles$within] <- 1
  products <- role_table(made)
  products <- products[products$role == "moderation", ]
  if (!nrow(products)) return(l)
  within <- x_column(fit, made$roles$within)
  squares <- engine_group_sums(within^2, person$codes, n)$sum
  for (i in seq_len(nrow(products))) {
    sums <- engine_group_sums(within * x_column(fit, products$term[[i]]), person$codes, n)$sum
    l[, products$place[[i]]] <- ifelse(squares > 0, sums / squares, 0)
  }
  l
}

# SD of the slopes over persons: variances of all the groups that the persons lie in added up. Its variance by the delta method, limits on the log scale.
slope_sd <- function(fit, places, level) {
  pieces <- sigma_covariance(fit)
  map <- theta_map(fit$design)
  rows <- vapply(places, function(place) which(map$term == place$term & map$row == place$column & map$col == place$column), 1L)
  variance <- sum(pieces$estimate[rows])
  sd <- sqrt(variance)
  if (any(pieces$zero[rows]) && variance <= 0) {
    return(list(sd = 0, variance = NA_real_, low = NA_real_, high = NA_real_, note = "estimated as zero: no interval at the boundary"))
  }
  error <- sum(pieces$vcov[rows, rows]) / (4 * variance)
  half <- stats::qnorm((1 + level) / 2) * sqrt(error) / sd
  list(sd = sd, variance = error, low = sd * exp(-half), high = sd * exp(half), note = pieces$problem)
}

# Mean over persons of pnorm(-s l_i'beta / sd), s the sign of the average effect; delta method, limits on the probit scale, where a single b/sd is
# nearly normal.
other_sign <- function(l, average, vcov, spread, level) {
  if (spread$sd == 0) {
    value <- mean(average * sign(mean(average)) < 0)
    return(list(value = value, low = NA_real_, high = NA_real_))
  }
  ratio <- sign(mean(average)) * average / spread$sd
  value <- mean(stats::pnorm(-ratio))
  density <- stats::dnorm(ratio)
  by_beta <- -sign(mean(average)) * colMeans(density * l) / spread$sd
  by_sd <- mean(density * ratio) / spread$sd
  variance <- sum(by_beta * (vcov %*% by_beta)) + by_sd^2 * spread$variance
  at <- stats::qnorm(value)
  half <- stats::qnorm((1 + level) / 2) * sqrt(variance) / stats::dnorm(at)
  list(value = value, low = stats::pnorm(at - half), high = stats::pnorm(at + half))
}
