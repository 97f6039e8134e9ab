# Synthetic: 24 persons with 5 sessions; x, and the same under a name that needs backticks.
spaced_data <- function() {
  withr::with_seed(42, {
    d <- data.frame(patient = rep(1:24, each = 5), session = rep(1:5, 24))
    d$x <- rnorm(24)[d$patient] + rnorm(120)
    d$y <- rnorm(120) + rnorm(24)[d$patient] + d$x
  })
  d$treat <- factor(ifelse(d$patient %% 2, "a", "b"))
  d$`my x` <- d$x
  d
}
