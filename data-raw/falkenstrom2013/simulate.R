# The process that makes the data. A session has two forms: CORE-OM before it, WAI-SR after it. Each person has an own level and an own
# straight line of both; what a session adds to the line (the deviation) is passed on:
#   symptoms  c[s] = carry_core c[s-1] + effect[i] a[s-1] + noise     the alliance of the session before lowers the symptoms
#   alliance  a[s] = carry_wai a[s-1] + reverse c[s] + noise          symptoms before the session lower the alliance after it

# Every number here is an assumption of the project. CORE-OM: clinical score, 0 to 40; WAI-SR: item mean, 1 to 7.
assumed <- list(
  patients = 646L, women = 491L, therapists = 60L, personality = 0.35,
  # Sessions: 3 and a negative binomial number, at most 20; median 6.
  extra = c(size = 1.6, mu = 4.8), longest = 20L,
  # Level at the first session: mean, SD between patients, SD between therapists; patients with personality problems have more symptoms.
  core = c(mean = 17, sd = 5, therapist = 0.8, personality = 3), wai = c(mean = 5.2, sd = 0.75, therapist = 0.25, personality = -0.25),
  level_cor = -0.25,
  # Change from the first to the last session (shorter therapies change as much as longer ones: the good-enough level).
  core_change = c(mean = -5, sd = 2.5), wai_change = c(mean = 0.5, sd = 0.5), change_cor = -0.3,
  # Effect of the alliance on symptoms one session later: mean without personality problems, what these add, SD between patients.
  effect = c(mean = -1.1, personality = -1.3, sd = 1.5),
  reverse = -0.07, carry_core = 0.2, carry_wai = 0.2,
  noise_core = 2.2, noise_wai = 0.5, noise_cor = -0.15,
  # Whole sessions without a form, and single forms missing.
  lost = 0.05, lost_core = 0.05, lost_wai = 0.07
)

simulate_falkenstrom <- function(a = assumed) {
  persons <- draw_patients(a)
  rows <- lapply(seq_len(a$patients), function(i) draw_sessions(persons[i, ], a))
  d <- do.call(rbind, rows)
  d <- lose_forms(d, a)
  rownames(d) <- NULL
  d
}

draw_patients <- function(a) {
  n <- a$patients
  therapist <- deal_unequally(n, a$therapists)
  personality <- stats::rbinom(n, 1L, a$personality)
  level <- correlated(n, a$level_cor)
  change <- correlated(n, a$change_cor)
  at_therapist <- matrix(stats::rnorm(2L * a$therapists), ncol = 2L)[therapist, ]
  data.frame(
    patient = seq_len(n), therapist = therapist, female = sample(rep(1:0, c(a$women, n - a$women))), personality = personality,
    sessions = pmin(3L + stats::rnbinom(n, size = a$extra[["size"]], mu = a$extra[["mu"]]), a$longest),
    core = a$core[["mean"]] + a$core[["personality"]] * personality + a$core[["sd"]] * level[, 1L] +
      a$core[["therapist"]] * at_therapist[, 1L],
    wai = a$wai[["mean"]] + a$wai[["personality"]] * personality + a$wai[["sd"]] * level[, 2L] +
      a$wai[["therapist"]] * at_therapist[, 2L],
    core_change = a$core_change[["mean"]] + a$core_change[["sd"]] * change[, 1L],
    wai_change = a$wai_change[["mean"]] + a$wai_change[["sd"]] * change[, 2L],
    effect = a$effect[["mean"]] + a$effect[["personality"]] * personality + a$effect[["sd"]] * stats::rnorm(n)
  )
}

# Two standard normal columns with correlation r.
correlated <- function(n, r) {
  z <- matrix(stats::rnorm(2L * n), ncol = 2L)
  cbind(z[, 1L], r * z[, 1L] + sqrt(1 - r^2) * z[, 2L])
}

# Everyone has a therapist, every therapist at least two patients, some many.
deal_unequally <- function(n, therapists) {
  weight <- stats::rgamma(therapists, shape = 2)
  extra <- sample(therapists, n - 2L * therapists, replace = TRUE, prob = weight)
  sample(c(rep(seq_len(therapists), 2L), extra))
}

draw_sessions <- function(person, a, burn_in = 10L) {
  n <- person$sessions
  core <- wai <- 0
  dev <- matrix(0, n, 2L)
  # The first sessions are drawn from the process that has been running: no patient starts exactly on the own line.
  for (s in seq_len(n + burn_in)) {
    noise <- correlated(1L, a$noise_cor)
    before <- c(core, wai)
    core <- a$carry_core * before[1L] + person$effect * before[2L] + a$noise_core * noise[1L]
    wai <- a$carry_wai * before[2L] + a$reverse * before[1L] + a$noise_wai * noise[2L]
    if (s > burn_in) dev[s - burn_in, ] <- c(core, wai)
  }
  part <- (seq_len(n) - 1) / (n - 1)
  data.frame(
    patient = person$patient, therapist = person$therapist, session = seq_len(n),
    wai = on_scale(person$wai + person$wai_change * part + dev[, 2L], 12, 1, 7),
    core = on_scale(person$core + person$core_change * part + dev[, 1L], 3.4, 0, 40),
    female = person$female, personality = person$personality
  )
}

# To the steps of the instrument (`steps` a unit) and into its range.
on_scale <- function(x, steps, lower, upper) {
  round(pmin(pmax(round(x * steps) / steps, lower), upper), 2L)
}

# Forms are lost at random; a session without any form has no row. The first session is always there.
lose_forms <- function(d, a) {
  first <- d$session == 1L
  lost <- !first & stats::runif(nrow(d)) < a$lost
  d$wai[stats::runif(nrow(d)) < a$lost_wai] <- NA
  d$core[!first & stats::runif(nrow(d)) < a$lost_core] <- NA
  d[!lost & !(is.na(d$wai) & is.na(d$core)), ]
}
