# Standard errors and degrees of freedom of the fixed effects by lmerTest (Satterthwaite, numerical derivatives) and pbkrtest (Kenward-Roger, REML
# only, small models), at lme4's best optimum. Kept in the cache beside the peers' fits.
#
# lmerTest differentiates lme4's deviance function numerically, and where that function is inexact (referee.R) its df are noise: 1,800 times too
# small with collinear times. So both get the referee's orthogonal columns, and contrasts that are the user's coefficients.
#
# Satterthwaite's df are a function of the curvature of the criterion, which means something inside the parameter space only: models with a singular
# covariance at lme4's optimum are left out, as are those with residual structures, which lmerTest has not.

inference_rows <- c(satterthwaite = 400, kenward_roger = 130)

fit_inference <- function(model, peers) {
  if (is.null(peers$lme4) || peers$nobs > inference_rows[["satterthwaite"]] || is_singular(model, peers) || !is_plain_z(model)) return(NULL)
  referee <- make_referee(lme4_parts(model$formula, model$data, model$REML, model$weights, model$offset))
  parts <- referee$parts
  value <- referee$devfun(peers$lme4$theta)
  fit <- lme4_object(parts, list(devfun = referee$devfun, theta = peers$lme4$theta, value = value))
  # lmerTest differentiates by moving the deviance function, which shares memory with the fit: one of its own
  made <- fit_guarded(list(fit = lmerTest:::as_lmerModLT(fit, do.call(lme4::mkLmerDevfun, parts))))
  if (!is.null(made$error)) return(list(satterthwaite = list(error = made$error)))
  tested <- made$fit
  contrasts <- solve(referee$root)[order(referee$pivot), , drop = FALSE]
  list(satterthwaite = fit_guarded(contest_each(tested, contrasts, "Satterthwaite")),
    kenward_roger = if (model$REML && is.null(model$weights) && peers$nobs <= inference_rows[["kenward_roger"]])
      fit_guarded(contest_each(tested, contrasts, "Kenward-Roger")))
}

contest_each <- function(tested, contrasts, ddf) {
  one <- do.call(rbind, lapply(seq_len(nrow(contrasts)), function(k) lmerTest::contest1D(tested, contrasts[k, ], ddf = ddf)))
  list(se = one[["Std. Error"]], df = one$df)
}

# Of each term's relative covariance: a variance, or a determinant of the correlations, that is zero to the eye.
is_singular <- function(model, peers) {
  parts <- lme4_parts(model$formula, model$data, model$REML, model$weights, model$offset)
  at <- 0
  for (names in parts$reTrms$cnms) {
    q <- length(names)
    root <- matrix(0, q, q)
    root[lower.tri(root, diag = TRUE)] <- peers$lme4$theta[at + seq_len(q * (q + 1) / 2)]
    at <- at + q * (q + 1) / 2
    length_of <- sqrt(rowSums(root^2))
    if (any(length_of == 0) || any(abs(diag(root)) < 1e-3 * length_of)) return(TRUE)
  }
  any(peers$lme4$theta[parts$reTrms$lower == 0] < 1e-4 * max(abs(peers$lme4$theta)))
}

# lmerTest moves theta by fixed relative steps: with random slopes of a column far from 0, or of 1e-4 or 1e5 in size, its derivatives are noise.
is_plain_z <- function(model) {
  parts <- lme4_parts(model$formula, model$data, model$REML, model$weights, model$offset)
  names <- setdiff(unlist(parts$reTrms$cnms), "(Intercept)")
  all(vapply(intersect(names, colnames(parts$X)), function(name) {
    x <- parts$X[, name]
    stats::sd(x) > 0.01 && stats::sd(x) < 100 && abs(mean(x)) < 30 * stats::sd(x)
  }, NA))
}

cached_inference <- function(row, peers, cache) {
  model <- generate_model(row)
  if (!is.null(model$residual)) return(NULL)
  file <- file.path(cache, "inference", paste0(row$name, ".rds"))
  versions <- vapply(c("lme4", "lmerTest", "pbkrtest"), function(p) as.character(utils::packageVersion(p)), "")
  key <- list(name = row$name, formula = model$formula, checksum = sum(model$data$y), criterion = peers$lme4$criterion, rows = inference_rows,
    versions = versions)
  if (file.exists(file)) {
    stored <- readRDS(file)
    if (identical(stored$key, key)) return(stored$value)
  }
  value <- fit_inference(model, peers)
  dir.create(dirname(file), showWarnings = FALSE)
  saveRDS(list(key = key, value = value), file)
  value
}
