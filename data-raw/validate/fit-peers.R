# What the peers reach on one model: lme4 (four optimisers, best kept), nlme and glmmTMB where they can.
#
# Constants differ between tools, so every criterion is put on one scale: lme4's own deviance function, evaluated at the covariance
# parameters the peer reports (profiled over beta and sigma, hence never above the peer's own value).

fit_peers <- function(model) {
  if (!is.null(model$residual)) return(fit_residual_peers(model))
  parts <- lme4_parts(model$formula, model$data, model$REML, model$weights, model$offset)
  best <- lme4_best(parts, restarts = if (nrow(model$data) < 5000) 2L else 1L)
  lme4_fit <- lme4_estimates(parts, best)
  others <- list(nlme = NULL, glmmTMB = NULL)
  plain <- is.null(model$weights)
  if (!is.na(model$nlme %||% NA) && (plain || !is.null(model$nlme_weights))) others$nlme <- fit_guarded(fit_nlme(model, parts))
  if (plain) others$glmmTMB <- fit_guarded(fit_glmmtmb(model, parts))
  others <- lapply(others, function(one) {
    if (is.null(one) || !is.null(one$error)) return(one)
    one$criterion <- as.numeric(best$devfun(one$theta))
    one
  })
  list(name = model$name, nobs = nrow(model$data), p = ncol(parts$X), theta_length = length(best$theta),
    lme4 = c(lme4_fit, list(tries = best$tries)), nlme = others$nlme, glmmTMB = others$glmmTMB)
}

# nlme and glmmTMB give up after this many seconds (the largest models of the matrix need less).
seconds_limit <- 120

fit_guarded <- function(expr) {
  start <- proc.time()[["elapsed"]]
  setTimeLimit(elapsed = seconds_limit, transient = TRUE)
  value <- tryCatch(suppressWarnings(suppressMessages(expr)), error = function(e) list(error = conditionMessage(e)))
  setTimeLimit()
  value$seconds <- proc.time()[["elapsed"]] - start
  value
}

lme4_estimates <- function(parts, best) {
  fit <- lme4_object(parts, best)
  list(theta = best$theta, criterion = best$value, fixef = lme4::fixef(fit), vcov = as.matrix(stats::vcov(fit)),
    sigma = stats::sigma(fit), varcorr = as.data.frame(lme4::VarCorr(fit)))
}

fit_nlme <- function(model, parts) {
  # nlme has no boundary: on singular models it runs to its limit of iterations, which large models cannot afford.
  rounds <- if (nrow(model$data) < 400) 500 else 50
  control <- nlme::lmeControl(maxIter = rounds, msMaxIter = 2 * rounds, niterEM = 50, tolerance = 1e-10, msTol = 1e-12, returnObject = TRUE)
  fixed <- stats::as.formula(lme4::nobars(stats::as.formula(model$formula)))
  random <- eval(parse(text = model$nlme), envir = asNamespace("nlme"))
  data <- model$data
  if (!is.null(model$offset)) stop("offsets are not fitted with nlme")
  call <- list(fixed = fixed, data = data, random = random, method = if (model$REML) "REML" else "ML", control = control)
  for (part in c("weights", "correlation")) {
    text <- model[[paste0("nlme_", part)]]
    if (!is.null(text)) call[[part]] <- eval(parse(text = text), envir = asNamespace("nlme"))
  }
  fit <- do.call(nlme::lme, call)
  structure <- fit$modelStruct$reStruct
  unit <- nlme_unit(fit, model)
  blocks <- lapply(structure, function(block) as.matrix(block) / unit^2)
  c(list(theta = theta_from_blocks(blocks, parts), own = -2 * as.numeric(stats::logLik(fit)), fixef = nlme::fixef(fit)), nlme_structure(fit, model))
}

fit_glmmtmb <- function(model, parts) {
  control <- glmmTMB::glmmTMBControl(optCtrl = list(iter.max = 2000, eval.max = 4000, rel.tol = 1e-13, x.tol = 1e-12), parallel = 1)
  formula <- stats::as.formula(split_diagonal(model$formula), env = globalenv())
  call <- list(formula = formula, data = model$data, REML = model$REML, control = control)
  if (!is.null(model$dispersion)) call$dispformula <- stats::as.formula(model$dispersion)
  if (!is.null(model$offset)) call$offset <- model$data[[model$offset]]
  fit <- do.call(glmmTMB::glmmTMB, call)
  variances <- lme4::VarCorr(fit)$cond
  groups <- vapply(names(fit$modelInfo$reTrms$cond$cnms), identity, "")
  # With unequal variances the unit is the first stratum's.
  dispersion <- glmmTMB::fixef(fit)$disp
  sigma <- if (is.null(model$dispersion)) stats::sigma(fit) else exp(dispersion[[1]] / 2)
  blocks <- lapply(variances, function(v) matrix(as.numeric(v), nrow(v), dimnames = list(rownames(v), rownames(v))) / sigma^2)
  names(blocks) <- groups
  list(theta = theta_from_blocks(blocks, parts), own = -2 * as.numeric(stats::logLik(fit)), fixef = glmmTMB::fixef(fit)$cond,
    structure = if (!is.null(model$dispersion)) list(ratios = exp(dispersion[-1] / 2)))
}

# `(1 + x + ... || g)` written out, since glmmTMB gives `||` another meaning in some versions.
split_diagonal <- function(formula) {
  found <- gregexpr("\\(1( \\+ \\w+)+ \\|\\| \\w+\\)", formula)
  regmatches(formula, found) <- lapply(regmatches(formula, found), function(bars) vapply(bars, function(bar) {
    sides <- strsplit(gsub("[()]", "", bar), " \\|\\| ")[[1]]
    columns <- strsplit(sides[1], " \\+ ")[[1]][-1]
    paste(c(sprintf("(1 | %s)", sides[2]), sprintf("(0 + %s | %s)", columns, sides[2])), collapse = " + ")
  }, ""))
  formula
}

# Relative covariance blocks (named by group, with column names) in lme4's order, as theta.
theta_from_blocks <- function(blocks, parts) {
  cnms <- parts$reTrms$cnms
  unlist(lapply(seq_along(cnms), function(k) {
    columns <- cnms[[k]]
    fits <- which(names(blocks) == group_name(names(cnms)[k], names(blocks)) &
      vapply(blocks, function(b) all(columns %in% rownames(b)), NA))
    stopifnot("no block for this term" = length(fits) >= 1)
    root <- chol_psd(blocks[[fits[1]]][columns, columns, drop = FALSE])
    root[lower.tri(root, diag = TRUE)]
  }))
}

# lme4 names an expanded nesting "patient:therapist"; nlme names the level alone.
group_name <- function(name, known) if (name %in% known) name else sub(":.*", "", name)

# Lower-triangular root of a covariance that may be singular.
chol_psd <- function(cov) {
  q <- nrow(cov)
  root <- matrix(0, q, q)
  for (j in seq_len(q)) {
    pivot <- cov[j, j] - sum(root[j, seq_len(j - 1)]^2)
    root[j, j] <- if (pivot > 1e-14 * max(cov[j, j], 1e-300)) sqrt(pivot) else 0
    for (i in seq_len(q)[seq_len(q) > j]) {
      rest <- cov[i, j] - sum(root[i, seq_len(j - 1)] * root[j, seq_len(j - 1)])
      root[i, j] <- if (root[j, j] > 0) rest / root[j, j] else 0
    }
  }
  root
}

# One model's peers, from the cache when the same model was fitted before with the same versions.
cached_peers <- function(row, cache) {
  model <- generate_model(row)
  file <- file.path(cache, paste0(row$name, ".rds"))
  key <- list(row = as.list(row), formula = model$formula, nlme = model$nlme, versions = peer_versions(), checksum = sum(model$data$y))
  if (file.exists(file)) {
    stored <- readRDS(file)
    if (identical(stored$key, key)) return(stored$value)
  }
  value <- fit_peers(model)
  saveRDS(list(key = key, value = value), file)
  value
}

peer_versions <- function() {
  packages <- c("lme4", "nlme", "glmmTMB")
  c(R = as.character(getRversion()), vapply(packages, function(p) as.character(utils::packageVersion(p)), ""))
}
