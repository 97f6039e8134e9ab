# The only file that calls the compiled code. Everything that crosses the boundary is described in
# design/0001-contract.md. Compiled functions never throw: they return a condition, raised here, so that no longjmp
# crosses a Rust frame.

engine_call <- function(value) {
  # results are plain lists and vectors: only a condition has a class
  if (is.object(value) && inherits(value, "condition")) raise_condition(value)
  value
}

raise_condition <- function(cnd) {
  # what wanted to jump out of the compiled code (an interrupt, a time limit, a handler of the user's) goes on, see src/entrypoint.c
  if (!is.null(cnd$jump)) .External(wbhlm_resume, cnd$jump)
  known <- c("formula", "data", "design", "covariance", "numerical", "internal")
  kind <- intersect(sub("^hlm_error_", "", class(cnd)), known)
  kind <- if (length(kind)) kind[1L] else "internal"
  text <- conditionMessage(cnd)
  abort_hlm(kind, c(
    "{text}",
    i = if (kind == "internal") "This is a fault of the package, not of your data. Please report it."
  ))
}

# Fit by optimisation, from `control$start` when given. `control$progress`: see core_fit().
engine_fit <- function(design, reml, control) {
  # without its class, as in hlm()
  design <- unclass(design)
  control <- list(
    max_iter = control$max_iter, tol = control$tol, start = control$start,
    threads = engine_threads(design, control$threads), progress = control$progress
  )
  result <- engine_call(core_fit(design, reml, control))
  fit <- c(shape_estimates(result$estimates, design, reml), result$how)
  if (!is.null(result$residual)) fit$residual <- shape_residual(result$residual, design)
  fit$message <- status_message(fit, design$y)
  fit
}

# Parameters of the residual structure, named: the core's own (free) ones and those that mean something.
shape_residual <- function(residual, design) {
  names <- unlist(lapply(design$residual$parts, residual_names))
  lapply(residual, stats::setNames, names)
}

# phi, or the levels whose SD is a multiple of the first level's.
residual_names <- function(part) if (is.null(part$levels)) "phi" else part$levels[-1L]

# Two threads pay only when the rows are many: a small fit would wait longer for its threads than for its answer.
engine_threads <- function(design, threads = NULL) {
  if (is.null(threads) && length(design$y) < 50000L) 1L else hlm_threads(threads)
}

# The core's flat vectors as the contract's matrices.
shape_estimates <- function(e, design, reml) {
  p <- length(e$beta)
  beta <- e$beta
  if (length(e$dropped) > 0L) {
    beta <- rep(NA_real_, length(design$x))
    beta[-e$dropped] <- e$beta
  }
  vcov <- e$vcov
  dim(vcov) <- c(p, p)
  list(
    beta = beta, dropped = e$dropped, vcov = vcov, sigma = e$sigma, theta = e$theta,
    criterion = e$criterion,
    parts = list(
      logdet_v = e$logdet_v, logdet_x = e$logdet_x, r2 = e$r2, n = length(design$y), p = p, nu = e$nu
    ),
    b = shape_modes(e, design), gradient = e$gradient,
    boundary = if (length(e$boundary)) lapply(e$boundary, shape_boundary, design = design) else list()
  )
}

shape_modes <- function(e, design) {
  b <- vector("list", length(design$groups))
  used <- if (length(b) == 1L) 1L else used_groups(design)
  for (k in seq_along(used)) {
    modes <- e$b[[k]]
    q <- e$q[[k]]
    dim(modes) <- c(length(modes) %/% q, q)
    b[[used[[k]]]] <- modes
  }
  b
}

# Factors without a term have no block in the core.
used_groups <- function(design) {
  used <- logical(length(design$groups))
  for (term in design$terms) used[[term$group]] <- TRUE
  which(used)
}

shape_boundary <- function(entry, design) {
  term <- design$terms[[entry$term]]
  zero <- entry$column > 0L
  list(
    term = entry$term,
    kind = if (zero) "zero variance" else if (length(term$columns) == 2L) "correlation" else "rank",
    component = if (zero) term$names[entry$column] else term$names,
    group = design$groups[[term$group]]$name,
    one_sided_gradient = entry$one_sided_gradient
  )
}

status_message <- function(fit, y) {
  if (fit$status == "converged") {
    return("converged")
  }
  switch(fit$status,
    boundary = "converged at the boundary: a variance is zero or a correlation is +1 or -1",
    failed = if (fit$sigma < 1e-5 * stats::sd(y)) {
      paste(
        "The residual variance goes to zero: predictors and groups reproduce the outcome (nearly) exactly.",
        "Was a predictor computed from the outcome?"
      )
    } else if (any(as.logical(fit$residual$at_limit))) {
      paste(
        "A parameter of the residual structure runs to the end of its range: a residual variance goes to zero in some rows, or a correlation to 1.",
        "There are too few rows for this structure."
      )
    } else {
      "No optimum was found."
    }
  )
}

# What a user should know at once and may not read off the printed fit: coefficients left out, an optimum not found.
report_fit <- function(core, design) {
  if (length(core$dropped) > 0L) {
    left_out <- design$x_names[core$dropped]
    inform_hlm("rank", c(
      "{cli::qty(length(left_out))}{?A predictor is/Predictors are} left out of the model: {.var {left_out}}.",
      i = "{cli::qty(length(left_out))}{?It is a combination/They are combinations} of other predictors in the rows analysed, so {?its effect/their
           effects} cannot be told apart from theirs."
    ))
  }
  warn_failed(core)
}

warn_failed <- function(core) {
  if (core$status == "failed") {
    warn_hlm("convergence", c("The estimation did not converge: do not interpret these results.", i = core$message))
  }
}

# Place of each element of theta: its term and its row and column in that term's Lambda.
theta_map <- function(design) {
  pieces <- lapply(seq_along(design$terms), function(t) {
    q <- length(design$terms[[t]]$columns)
    place <- if (identical(design$terms[[t]]$structure, "diagonal")) {
      cbind(seq_len(q), seq_len(q))
    } else {
      which(lower.tri(diag(q), diag = TRUE), arr.ind = TRUE)
    }
    data.frame(term = rep(t, nrow(place)), row = as.integer(place[, 1L]), col = as.integer(place[, 2L]))
  })
  do.call(rbind, pieces)
}

check_start <- function(start, design) {
  if (is.null(start)) {
    return(invisible())
  }
  wanted <- nrow(theta_map(design))
  if (length(start) != wanted) {
    abort_hlm("design", c(
      "{.arg start} must hold the {wanted} element{?s} of theta, not {length(start)}.",
      i = "{.code getME(fit, \"theta\")} shows their names and order."
    ))
  }
}

# Estimates at a given theta, without optimisation.
engine_at <- function(design, reml, theta) {
  shape_estimates(engine_call(core_at(design, reml, as.double(theta), engine_threads(design))), design, reml)
}

# Criterion (order 0), gradient (1), Hessian (2) at any theta.
engine_evaluate <- function(design, reml, theta, order = 0L) {
  result <- engine_call(core_evaluate(design, reml, as.double(theta), as.integer(order), engine_threads(design)))
  if (length(result$hessian)) {
    dim(result$hessian) <- rep(length(theta), 2L)
  }
  result
}

# Conditional variances of the random effects: per group an array q x q x J.
engine_condvar <- function(design, reml, theta) {
  result <- engine_call(core_condvar(design, reml, as.double(theta), engine_threads(design)))
  used <- used_groups(design)
  condvar <- vector("list", length(design$groups))
  for (k in seq_along(used)) {
    q <- result$q[k]
    condvar[[used[k]]] <- array(result$condvar[[k]], c(q, q, length(result$condvar[[k]]) %/% (q * q)))
  }
  condvar
}

# Covariance of (theta, sigma) and the derivatives of vcov(beta), for Satterthwaite's df.
engine_satterthwaite <- function(design, reml, theta) {
  result <- engine_call(core_satterthwaite(design, reml, as.double(theta), engine_threads(design)))
  # after theta and sigma come the parameters of a residual structure
  m <- length(result$jacobian)
  p <- as.integer(round(sqrt(length(result$jacobian[[1L]]))))
  list(
    vcov_varpar = matrix(result$vcov_varpar, m, m),
    jacobian = lapply(result$jacobian, matrix, nrow = p, ncol = p),
    hessian = matrix(result$hessian, m, m)
  )
}

# What Kenward & Roger's method needs, for a design fitted by REML: see src/rust/core/src/inference/kenward_roger.rs. P, Q and phi belong to
# the core's own basis of X: a contrast l of the user's coefficients is `l %*% map` there. `parameters` says which entry of Sigma each of
# the r variance parameters is (the last one is sigma^2); info is their expected information in the user's units.
engine_kenward_roger <- function(design, theta) {
  p <- length(design$x)
  many <- length(design$y) >= progress_rows
  result <- call_progress(p * (p + 1L) / 2L, "Kenward-Roger's method", when = many, function(progress) {
    engine_call(core_kenward_roger(design, as.double(theta), list(threads = engine_threads(design), progress = progress)))
  })
  p <- as.integer(round(sqrt(length(result$phi))))
  r <- length(result$p)
  square <- function(values) matrix(values, p, p)
  list(
    map = square(result$map), phi = square(result$phi), P = lapply(result$p, square), Q = lapply(result$q, square),
    info = matrix(result$information, r, r),
    parameters = data.frame(group = used_groups(design)[result$block], row = result$row, col = result$column)
  )
}

# Curves of the profile likelihood about the optimum at theta. `parameters`: list of list(kind = "sd" | "cor" | "sigma" | "coefficient", term,
# column, other), places counted from 1. Per parameter list(value, zeta, beta, theta (one row per point), sigma, lower, upper, shortfall).
engine_profile <- function(design, reml, theta, parameters, cutoffs, zeta_max, points, control) {
  request <- list(parameters = parameters, zeta_max = zeta_max, cutoffs = as.double(cutoffs), points = as.integer(points))
  control <- list(max_iter = control$max_iter, tol = control$tol, threads = engine_threads(design, control$threads))
  curves <- call_progress(length(parameters), "Profile likelihood", function(progress) {
    engine_call(core_profile(design, reml, as.double(theta), request, c(control, list(progress = progress))))
  })
  lapply(curves, function(curve) {
    n <- length(curve$value)
    curve$beta <- matrix(curve$beta, n, byrow = TRUE)
    curve$theta <- matrix(curve$theta, n, byrow = TRUE)
    curve
  })
}

# Values whitened by the residual structure and the weights of a design with known parameters, or coloured; `codes`: blocks of rows.
engine_whiten <- function(design, values, codes, forward) {
  engine_call(core_whiten(design, as.double(values), as.integer(codes), forward))
}

engine_group_codes <- function(x) {
  engine_call(group_codes(x))
}

engine_group_sums <- function(x, codes, n_groups) {
  engine_call(group_sums(x, codes, n_groups))
}

engine_all_finite <- function(x) {
  engine_call(all_finite(x))
}

# Replicates of a fit ("bootstrap") and fits without each block of groups in turn ("jackknife"). `options`: type, nsim, seed, group, threads, progress.
# The value: matrices of replicates by parameters, missing where a replicate has none, and how each ended.
engine_bootstrap <- function(design, reml, core, options) {
  a <- bootstrap_arguments(design, reml, core, options)
  shape_replicates(engine_call(core_bootstrap(a$design, a$reml, a$theta, a$beta, a$sigma, a$options)), core)
}

engine_jackknife <- function(design, reml, core, options, block) {
  a <- bootstrap_arguments(design, reml, core, c(options, list(type = "cases", nsim = 1L, seed = 0)))
  shape_replicates(engine_call(core_jackknife(a$design, a$reml, a$theta, a$beta, a$sigma, a$options, as.integer(block))), core)
}

# The outcomes (double), or the levels drawn (integer), of the replicates `which` of engine_bootstrap() with the same options.
engine_bootstrap_samples <- function(design, reml, core, options, which) {
  a <- bootstrap_arguments(design, reml, core, options)
  engine_call(core_bootstrap_samples(a$design, a$reml, a$theta, a$beta, a$sigma, a$options, as.integer(which)))
}

# Many outcomes for one design: the columns of `outcomes` (rows x replicates), or with NULL drawn from the model at the estimates in `core`. `options`: nsim,
# seed, first (0-based number of the first replicate), tests ("none", "satterthwaite", "kenward-roger"), reduced (list of designs with other random terms),
# threads, progress, max_iter, tol, start. The value is that of engine_bootstrap() and se, df (replicates x coefficients), reduced: list of
# list(criterion, status).
engine_refit_many <- function(design, reml, core, outcomes, options) {
  options$tests <- options$tests %||% "none"
  options$first <- as.double(options$first %||% 0)
  arguments <- bootstrap_arguments(design, reml, core, options)
  result <- engine_call(core_refit_many(
    arguments$design, reml, arguments$theta, arguments$beta, arguments$sigma, outcomes, arguments$options
  ))
  shape_tested(result, core)
}

# Whole studies drawn and analysed: `study`, `analysis` as in design/0011-simulation.md, `options` as above without reduced and start. The value: that of
# engine_refit_many(), and rows, persons, therapists analysed in every replicate.
engine_study <- function(study, analysis, options) {
  options$seed <- as.double(options$seed)
  options$first <- as.double(options$first %||% 0)
  options$tests <- options$tests %||% "none"
  result <- engine_call(core_study(study, analysis, options))
  m <- sum(vapply(analysis$random, function(term) {
    q <- length(term$columns)
    if (term$structure == "diagonal") q else q * (q + 1) / 2
  }, 0))
  core <- list(beta = numeric(length(analysis$fixed)), theta = numeric(m))
  c(shape_tested(result$fits, core), result[c("rows", "persons", "therapists")])
}

# The data of a replicate (counted from 1) of engine_study() with the same study and seed.
engine_study_data <- function(study, seed, replicate) {
  data <- as.data.frame(engine_call(core_study_data(study, as.double(seed), as.integer(replicate))))
  data$x[is.nan(data$x)] <- NA_real_
  data$y[is.nan(data$y)] <- NA_real_
  if (study$therapists == 0L) data$therapist <- NULL
  if (study$moderator$kind == "none") data$moderator <- NULL
  data
}

# Replicates with the tests of their coefficients, and of the contrasts of `options` after them.
shape_tested <- function(result, core) {
  replicates <- shape_replicates(result, core)
  n <- length(result$status)
  replicates$se <- matrix(result$se, n)
  replicates$df <- matrix(result$df, n)
  replicates$reduced <- lapply(result$reduced, function(smaller) {
    list(criterion = smaller$criterion, status = status_factor(smaller$status))
  })
  replicates
}

# Spelled out in the calls above, not by do.call(): the message of an error that R raises meanwhile (a time limit) shows the call.
bootstrap_arguments <- function(design, reml, core, options) {
  options$seed <- as.double(options$seed)
  options$group <- if (!is.null(options$group)) as.integer(options$group)
  list(
    design = design, reml = reml, theta = as.double(core$theta), beta = kept_beta(core), sigma = as.double(core$sigma), options = options
  )
}

kept_beta <- function(core) {
  beta <- as.double(core$beta)
  if (length(core$dropped)) beta[-core$dropped] else beta
}

shape_replicates <- function(result, core) {
  n <- length(result$status)
  list(
    beta = matrix(result$beta, n, length(kept_beta(core))), theta = matrix(result$theta, n, length(core$theta)), sigma = result$sigma,
    criterion = result$criterion, status = status_factor(result$status), free = matrix(result$free, n, length(core$residual$free))
  )
}

status_names <- c("converged", "boundary", "failed", "unidentified")

status_factor <- function(codes) factor(status_names[codes], levels = status_names)
