# Synthetic, seeded data for the benchmarks: patients x sessions, patients in therapists of about twelve.

bench_data <- function(patients, sessions, seed = 1) {
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  n <- patients * sessions
  patient <- rep(seq_len(patients), each = sessions)
  therapists <- max(8, round(patients / 12))
  therapist <- rep_len(seq_len(therapists), patients)[patient]
  time <- rep(seq_len(sessions) - 1, patients)
  x <- rnorm(patients)[patient] + rnorm(n)
  mean_x <- as.numeric(rowsum(x, patient)) / sessions
  xb <- (mean_x - mean(mean_x))[patient]
  xw <- x - mean_x[patient]
  intercept <- rnorm(patients, sd = 0.8)[patient] + rnorm(therapists, sd = 0.5)[therapist]
  slope_x <- rnorm(patients, sd = 0.4)[patient]
  slope_time <- rnorm(patients, sd = 0.15)[patient]
  y <- 2 + (slope_time - 0.3) * time + (0.5 + slope_x) * xw + 0.8 * xb + intercept + rnorm(n)
  data.frame(y, time, x, xw, xb, patient, therapist)
}

# Every model three ways: our formula with within()/between(), and the formula over columns made beforehand, for us and for lme4.
bench_models <- list(
  "random intercept" = list(
    grammar = y ~ time + within(x) + between(x) + (1 | patient),
    columns = y ~ time + xw + xb + (1 | patient)),
  "random slope" = list(
    grammar = y ~ time + within(x) + between(x) + (1 + within(x) | patient),
    columns = y ~ time + xw + xb + (1 + xw | patient)),
  "three levels" = list(
    grammar = y ~ time + within(x) + between(x) + (1 + time | patient) + (1 | therapist),
    columns = y ~ time + xw + xb + (1 + time | patient) + (1 | therapist))
)
