# The structure the calibration starts from. What the printed figures force on any data set with them (design/0002):
# mean OQ over rows (1.70) above the mean over patients (1.63) and r = -.12 over rows beside a between slope of -.23 are only
# possible when those who left early differ: most of them had few symptoms and a good alliance (early responders), some many
# symptoms and a poor alliance.

n_patients <- 96L
# Completers first; then 10 patients with one session, 11 with two and one with three: 331 rows, 22 patients who left.
n_sessions <- c(rep(4L, 74L), rep(1L, 10L), rep(2L, 11L), 3L)

start_data <- function() {
  left <- n_sessions < 4L
  # One leaver in three left with a poor alliance and many symptoms.
  unhappy <- left & seq_len(n_patients) %% 3L == 0L
  person_ans <- stats::rnorm(n_patients, ifelse(unhappy, 4.9, ifelse(left, 6.25, 5.66)), ifelse(left, 0.35, 0.55))
  person_oq <- stats::rnorm(n_patients, ifelse(unhappy, 1.75, ifelse(left, 0.85, 1.77)), ifelse(left, 0.3, 0.35))
  slope_oq <- stats::rnorm(n_patients, -0.055, 0.10)
  slope_ans <- stats::rnorm(n_patients, 0.10, 0.08)
  effect <- stats::rnorm(n_patients, -0.08, 0.12)

  patient <- rep(seq_len(n_patients), n_sessions)
  session <- sequence(n_sessions) - 1L
  time <- session - 1.5
  noise_ans <- stats::rnorm(length(patient), 0, 0.40)
  ans <- bound(person_ans[patient] + slope_ans[patient] * time + noise_ans, 1.5, 6.95)
  dev <- decompose(ans, patient)$within
  oq <- person_oq[patient] + slope_oq[patient] * time + effect[patient] * dev + stats::rnorm(length(patient), 0, 0.15)
  data.frame(patient = patient, session = session, ans = ans, oq = bound(oq, 0.05, 3.6))
}

# Reflect at the limits, so that no value piles up there.
bound <- function(x, lower, upper) {
  x <- ifelse(x > upper, 2 * upper - x, x)
  x <- ifelse(x < lower, 2 * lower - x, x)
  pmin(pmax(x, lower), upper)
}
