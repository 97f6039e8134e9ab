# The statistics of the paper, computed on one candidate data set.

decompose <- function(ans, patient) {
  mean_i <- rowsum(ans, patient)[, 1] / tabulate(patient)
  list(within = ans - mean_i[patient], between = (mean_i - mean(mean_i))[patient])
}

# `starts` keeps the covariance parameters of the last evaluation: neighbouring data sets have neighbouring optima.
paper_statistics <- function(d, starts = new_starts()) {
  g <- d$patient
  x <- decompose(d$ans, g)
  one <- rep(1, nrow(d))
  fit <- function(name, cols, z) {
    out <- fit_reml(d$oq, do.call(cbind, cols), z, g, starts[[name]])
    starts[[name]] <- pmax(out$theta, c(0.05, -Inf, 0.02)[seq_along(out$theta)])
    out
  }
  null <- fit("null", list(one), NULL)
  time <- fit("time", list(one, d$session), d$session)
  hybrid <- fit("hybrid", list(one, x$within, x$between), NULL)
  detrended <- fit("detrended", list(one, d$session, x$within, x$between), x$within)
  interactive <- fit("interactive", list(one, x$within, x$between, x$within * x$between), x$within)
  additive <- fit_moments(d$oq, cbind(one, x$within, x$between), x$within, g)

  ml <- function(f) fit_ml_deviance(f$m, f$theta)
  null_ml <- ml(null)
  pick <- function(f, i, name) {
    wald <- f$beta[i] + stats::qnorm(c(0.025, 0.975)) * f$se[i]
    stats::setNames(c(f$beta[i], f$se[i], f$t[i], f$df[i], wald), paste0(name, c(".b", ".se", ".t", ".df", ".lower", ".upper")))
  }
  tau2 <- (null$theta * null$sigma)^2
  c(
    ans.m = mean(d$ans), ans.sd = stats::sd(d$ans), oq.m = mean(d$oq), oq.sd = stats::sd(d$oq), r = stats::cor(d$ans, d$oq),
    icc = tau2 / (tau2 + null$sigma^2),
    pick(null, 1, "null.int"),
    pick(time, 1, "time.int"), pick(time, 2, "time.session"), time.lrt = null_ml - ml(time),
    pick(hybrid, 1, "hybrid.int"), pick(hybrid, 2, "hybrid.within"), pick(hybrid, 3, "hybrid.between"),
    hybrid.lrt = null_ml - ml(hybrid),
    pick(detrended, 3, "detrended.within"), pick(detrended, 4, "detrended.between"),
    pick(interactive, 1, "interactive.int"), pick(interactive, 2, "interactive.within"),
    pick(interactive, 3, "interactive.between"), pick(interactive, 4, "interactive.product"),
    interactive.lrt = fit_ml_deviance(additive, interactive$theta) - ml(interactive),
    time.cor = theta_cor(time$theta), detrended.cor = theta_cor(detrended$theta), interactive.cor = theta_cor(interactive$theta)
  )
}

theta_cor <- function(theta) theta[2] / sqrt(theta[2]^2 + theta[3]^2)

new_starts <- function() {
  e <- new.env()
  e$null <- e$hybrid <- 2
  e$time <- c(2, 0, 0.5)
  e$detrended <- e$interactive <- c(2, 0, 1)
  e
}
