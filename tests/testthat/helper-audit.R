# Synthetic data about which a methodologist would have nothing to say: 60 patients of 20 therapists, 12 sessions, no trend, no gap, no
# autocorrelation, half of the variance between persons; and, for each check of audit(), one change that it must notice.

audit_clean <- function() {
  fit_once("audit_clean", function() {
    withr::with_seed(404, {
      d <- data.frame(patient = rep(101:160, each = 12), session = rep(1:12, 60))
      p <- d$patient - 100
      d$therapist <- paste0("T", (p - 1) %/% 3 + 1)
      d$arm <- ifelse(p %% 2 == 0, "CBT", "STPP")
      d$age <- round(stats::rnorm(60, 40, 10))[p]
      level <- 4 + stats::rnorm(60)[p]
      d$x <- level + stats::rnorm(720)
      # the predictor acts one session later, as much within as between persons
      before <- ifelse(d$session == 1, level + stats::rnorm(720), c(NA, d$x[-720]))
      d$y <- 20 - 0.4 * before + stats::rnorm(20, 0, 0.9)[(p - 1) %/% 3 + 1] + stats::rnorm(60)[p] + stats::rnorm(720)
      d
    })
  })
}

audit_call <- function(data, ...) {
  arguments <- list(object = data, y = "y", x = "x", id = "patient", time = "session", level = "therapist", covariates = c("arm", "age"))
  arguments[names(list(...))] <- list(...)
  do.call(audit, arguments)
}

# Seeded, so that a change does not depend on what was drawn before.
changed <- function(change) withr::with_seed(7, change(audit_clean()))

person <- function(d) d$patient - 100
