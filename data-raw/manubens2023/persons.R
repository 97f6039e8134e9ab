# What does not enter the calibrated models: order of the patients, therapists, age and sex.

# Eight therapists with 5 to 27 patients.
therapist_sizes <- c(27L, 17L, 12L, 10L, 9L, 8L, 8L, 5L)

# Integer ages with the printed mean and SD: rounding errors are removed by moving single persons a year.
draw_ages <- function(n, mean, sd) {
  x <- stats::rnorm(n)
  age <- round(pmin(pmax(mean + sd * (x - base::mean(x)) / stats::sd(x), 18), 69))
  target <- c(mean, sd)
  miss <- function(a) sum(abs(c(base::mean(a), stats::sd(a)) - target))
  while (any(round(c(base::mean(age), stats::sd(age)), 2) != target)) {
    # A change of one person reaches the mean, a change of two in opposite directions the SD.
    i <- sample(n, sample(2, 1))
    moved <- age
    moved[i] <- moved[i] + sample(c(-1, 1), length(i), replace = TRUE)
    if (min(moved) >= 18 && max(moved) < 70 && miss(moved) < miss(age)) age <- moved
  }
  as.integer(age)
}

# Patients are dealt to therapists until the therapist's share of the variance is small, as published (< 1 %), but not zero.
deal_therapists <- function(d) {
  for (attempt in seq_len(500L)) {
    therapist <- sample(rep(seq_along(therapist_sizes), therapist_sizes))
    d$therapist <- therapist[d$patient]
    fit <- suppressMessages(lme4::lmer(oq ~ 1 + (1 | therapist / patient), data = d))
    share <- lme4_icc(fit, "therapist")
    if (share > 0.002 && share < 0.008) return(therapist)
  }
  stop("No allocation of therapists found.", call. = FALSE)
}

complete_data <- function(d) {
  # Leavers are spread over the patient numbers.
  number <- sample(n_patients)
  d$patient <- number[d$patient]
  d <- d[order(d$patient, d$session), ]
  therapist <- deal_therapists(d)
  age <- draw_ages(n_patients, 36.44, 11.84)
  female <- sample(rep(c(1L, 0L), c(59L, 37L)))
  left <- tabulate(d$patient, n_patients) < 4L
  data.frame(
    patient = d$patient, therapist = therapist[d$patient], session = d$session, ans = d$ans, oq = d$oq,
    female = female[d$patient], age = age[d$patient], dropout = as.integer(left)[d$patient], row.names = NULL
  )
}
