# The process that makes the data. Every week a patient rates the alliance (task, goal, bond) and the symptoms. Each of the three
# ratings is an own level at the start, an own straight line, and a deviation of the week that is partly passed on. The symptoms are an own
# line, whose slope depends on the initial task agreement and bond, and the effect of last week's task deviation, which depends on the
# treatment and on the initial task agreement. Neither goal nor the deviations of the bond do anything, nor do symptoms act on the
# alliance: these findings are "none" because the process has none.

# Every number here but patients, women and age is an assumption of the project. WAI-SR subscales: mean of four items, 1 to 7;
# symptoms: sum, 0 to 51 (17 items, 0 to 3).
assumed <- list(
  patients = 65L, women = 38L, imaginal = 33L, weeks = 10L, age = c(mean = 45.2, sd = 9.7),
  # Level at the start: mean, SD between patients; the three are correlated with `level_cor`.
  task = c(mean = 4.9, sd = 0.9), goal = c(mean = 4.8, sd = 0.9), bond = c(mean = 5.0, sd = 0.9), level_cor = 0.25,
  # Change a week: mean, SD between patients.
  alliance_slope = c(mean = 0.05, sd = 0.05),
  # Deviations: SD, correlation of the three in a week, part that is passed on to the next.
  deviation = c(sd = 0.55, cor = 0.3, carry = 0.2),
  ptsd = c(mean = 31, sd = 7), ptsd_slope = c(mean = -1.1, sd = 0.42, task = -0.36, bond = -0.36),
  # Effect of the task deviation a week later: in rescripting, what imaginal exposure adds, what a unit of the initial task level adds.
  effect = c(rescripting = -0.4, imaginal = -1.7, task = -0.9),
  noise = c(sd = 2.8, carry = 0.15),
  # Forms missing at random (a form holds task, goal and bond, or the symptoms).
  lost_alliance = 0.03, lost_ptsd = 0.03
)

simulate_hoffart <- function(a = assumed) {
  n <- a$patients
  level <- alike(n, a$level_cor)
  persons <- data.frame(
    patient = seq_len(n), imaginal = sample(rep(1:0, c(a$imaginal, n - a$imaginal))),
    task = level[, 1L], goal = level[, 2L], bond = level[, 3L]
  )
  d <- do.call(rbind, lapply(seq_len(n), function(i) draw_weeks(persons[i, ], a)))
  alliance <- c("task", "goal", "bond")
  d[stats::runif(nrow(d)) < a$lost_alliance, alliance] <- NA
  d$ptsd[stats::runif(nrow(d)) < a$lost_ptsd] <- NA
  d
}

# Three standard normal columns, each pair with correlation r.
alike <- function(n, r) sqrt(r) * stats::rnorm(n) + sqrt(1 - r) * matrix(stats::rnorm(3L * n), ncol = 3L)

# A first-order autoregression in each column of `shocks`, which have variance 1, started in its stationary distribution.
passed_on <- function(shocks, carry) {
  x <- as.matrix(shocks)
  for (t in seq_len(nrow(x))[-1L]) x[t, ] <- carry * x[t - 1L, ] + sqrt(1 - carry^2) * x[t, ]
  x
}

draw_weeks <- function(person, a) {
  week <- seq_len(a$weeks) - 1L
  deviation <- a$deviation[["sd"]] * passed_on(alike(a$weeks, a$deviation[["cor"]]), a$deviation[["carry"]])
  alliance <- vapply(1:3, function(k) {
    part <- c("task", "goal", "bond")[k]
    rise <- stats::rnorm(1L, a$alliance_slope[["mean"]], a$alliance_slope[["sd"]])
    item_mean(a[[part]][["mean"]] + a[[part]][["sd"]] * person[[part]] + rise * week + deviation[, k])
  }, numeric(a$weeks))
  own_level <- a$task[["sd"]] * person$task
  slope <- a$ptsd_slope[["mean"]] + a$ptsd_slope[["sd"]] * stats::rnorm(1L) + a$ptsd_slope[["task"]] * own_level +
    a$ptsd_slope[["bond"]] * a$bond[["sd"]] * person$bond
  effect <- a$effect[["rescripting"]] + a$effect[["imaginal"]] * person$imaginal + a$effect[["task"]] * own_level
  # Nobody knows the week before the first: its deviation is zero.
  last_week <- c(0, deviation[-a$weeks, 1L])
  noise <- a$noise[["sd"]] * passed_on(stats::rnorm(a$weeks), a$noise[["carry"]])[, 1L]
  ptsd <- stats::rnorm(1L, a$ptsd[["mean"]], a$ptsd[["sd"]]) + slope * week + effect * last_week + noise
  data.frame(
    patient = person$patient, treatment = factor(c("IR", "IE")[person$imaginal + 1L], c("IR", "IE")),
    week = week, task = alliance[, 1L], goal = alliance[, 2L], bond = alliance[, 3L],
    ptsd = as.integer(pmin(pmax(round(ptsd), 0), 51))
  )
}

item_mean <- function(x) pmin(pmax(round(4 * x) / 4, 1), 7)

# What plays no part in the process: age with the published mean and SD, and sex.
add_persons <- function(d, a = assumed) {
  age <- draw_ages(a$patients, a$age[["mean"]], a$age[["sd"]])
  female <- sample(rep(1:0, c(a$women, a$patients - a$women)))
  d$female <- female[d$patient]
  d$age <- age[d$patient]
  d
}
