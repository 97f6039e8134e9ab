# One job of the benchmark in a process of its own: Rscript bench/child.R request.json. The answer is written to the file that the request names.

request <- jsonlite::read_json(commandArgs(trailingOnly = TRUE)[[1L]], simplifyVector = TRUE)
source("bench/data.R")
quietly <- function(expr) suppressWarnings(suppressMessages(expr))

# Resident memory now ("VmRSS") or its peak ("VmHWM"), in MB; missing where there is no /proc.
memory <- function(field) {
  if (!file.exists("/proc/self/status")) {
    return(NA_real_)
  }
  line <- grep(paste0("^", field, ":"), readLines("/proc/self/status"), value = TRUE)
  as.numeric(gsub("[^0-9]", "", line)) / 1024
}

# Forget the peak so far. Where the system does not allow it, the peak includes loading the data.
forget_peak <- function() {
  tryCatch({
    cat("5\n", file = "/proc/self/clear_refs")
    TRUE
  }, error = function(e) FALSE, warning = function(w) FALSE)
}

now <- function() as.numeric(Sys.time())
cpu <- function() sum(proc.time()[1:2])

# Seconds of a first call, whose memory is measured, and of warm calls: as many as fit into `seconds`; none after a slow first call.
measure <- function(run, request) {
  invisible(gc())
  before <- memory("VmRSS")
  forgotten <- forget_peak()
  started <- now()
  busy <- cpu()
  value <- run()
  first <- now() - started
  busy <- cpu() - busy
  peak <- memory("VmHWM")
  times <- first
  if (first < request$once_over) {
    invisible(gc())
    times <- numeric()
    busy <- cpu()
    until <- now() + request$seconds
    while (length(times) < request$runs && (length(times) == 0L || now() < until)) {
      started <- now()
      value <- run()
      times[length(times) + 1L] <- now() - started
    }
    busy <- (cpu() - busy) / length(times)
  }
  list(value = value, times = times, first_s = first, cpu_s = busy, before_mb = before, peak_mb = peak, peak_forgotten = forgotten)
}

# ---- how each package is called, and where its estimates are: sigma^2 and the covariance matrix of each grouping factor

tools <- list(
  `hlm, grammar` = list(
    package = "wbhlm", call = "hlm(formula, data)", fit = function(formula, data, terms) wbhlm::hlm(formula, data),
    estimates = function(fit) list(theta = fit$core$theta)
  ),
  lme4 = list(
    package = "lme4", call = "lmer(formula, data)", fit = function(formula, data, terms) lme4::lmer(formula, data),
    estimates = function(fit) list(theta = lme4::getME(fit, "theta"), own = -2 * as.numeric(stats::logLik(fit)))
  ),
  glmmTMB = list(
    package = "glmmTMB", call = "glmmTMB(formula, data, REML = TRUE)",
    fit = function(formula, data, terms) glmmTMB::glmmTMB(formula, data, REML = TRUE),
    estimates = function(fit) {
      list(sigma2 = stats::sigma(fit)^2, covariance = lapply(glmmTMB::VarCorr(fit)$cond, function(v) matrix(as.numeric(v), nrow(v))))
    }
  ),
  nlme = list(
    package = "nlme", call = "lme(fixed, data, random), nested from the outside in",
    fit = function(formula, data, terms) {
      fixed <- stats::reformulate(terms$fixed, "y")
      random <- rev(lapply(terms$random, function(slopes) stats::reformulate(c("1", as.character(unlist(slopes))))))
      nlme::lme(fixed, data, random = random)
    },
    estimates = function(fit) {
      blocks <- lapply(fit$modelStruct$reStruct, function(block) unname(as.matrix(block)) * fit$sigma^2)
      list(sigma2 = fit$sigma^2, covariance = blocks)
    }
  )
)
tools$`hlm, columns` <- tools$`hlm, grammar`

job_fit <- function(request) {
  tool <- tools[[request$tool]]
  suppressPackageStartupMessages(loadNamespace(tool$package))
  # without the class, so that nobody looks for a method
  terms <- request$terms
  formula <- stats::as.formula(request$formula, globalenv())
  empty <- memory("VmRSS")
  data <- read_columns(request$folder, all.vars(formula))
  # handlers of warnings are set up once, not in every call that is timed
  result <- quietly(measure(function() tool$fit(formula, data, terms), request))
  estimates <- tool$estimates(result$value)
  result$value <- NULL
  c(result, list(empty_mb = empty, data_mb = sum(vapply(data, function(x) as.numeric(utils::object.size(x)), 0)) / 2^20,
    version = as.character(utils::packageVersion(tool$package)), call = tool$call, method = "REML", estimates = estimates))
}

# ---- the criterion at everybody's estimates

# Lower triangle, by columns, of the Cholesky factor of a covariance matrix relative to sigma^2; also of a singular one.
relative_factor <- function(covariance, sigma2) {
  a <- as.matrix(covariance) / sigma2
  q <- nrow(a)
  l <- matrix(0, q, q)
  for (j in seq_len(q)) {
    before <- seq_len(j - 1L)
    l[j, j] <- sqrt(max(0, a[j, j] - sum(l[j, before]^2)))
    for (i in seq_len(q)[seq_len(q) > j]) {
      if (l[j, j] > 0) l[i, j] <- (a[i, j] - sum(l[i, before] * l[j, before])) / l[j, j]
    }
  }
  l[lower.tri(l, diag = TRUE)]
}

job_judge <- function(request) {
  formula <- stats::as.formula(request$formula, globalenv())
  data <- read_columns(request$folder, all.vars(formula))
  claims <- jsonlite::read_json(request$claims)
  fits <- list()
  for (method in unique(vapply(claims, function(claim) claim$method, ""))) {
    fits[[method]] <- quietly(wbhlm::hlm(formula, data, REML = method == "REML"))
  }
  values <- lapply(claims, function(claim) {
    fit <- fits[[claim$method]]
    design <- fit$design
    theta <- unlist(claim$estimates$theta)
    if (is.null(theta)) {
      theta <- unlist(lapply(design$terms, function(term) {
        rows <- claim$estimates$covariance[[design$groups[[term$group]]$name]]
        relative_factor(do.call(rbind, lapply(rows, unlist)), claim$estimates$sigma2)
      }))
    }
    own <- claim$estimates$own
    list(criterion = wbhlm:::engine_evaluate(design, claim$method == "REML", theta)$criterion, own = if (is.null(own)) NA_real_ else own)
  })
  list(criteria = values, ours = lapply(fits, function(fit) list(criterion = fit$core$criterion, status = fit$core$status)))
}

# ---- the core against one plain pass over the same memory, one thread each, in processor time

best_of <- function(run, runs = 5L, clock = now) {
  min(vapply(seq_len(runs), function(i) {
    started <- clock()
    run()
    clock() - started
  }, 0))
}

job_core <- function(request) {
  formula <- stats::as.formula(request$formula, globalenv())
  data <- read_columns(request$folder, all.vars(formula))
  fit <- quietly(wbhlm::hlm(formula, data))
  design <- fit$design
  theta <- fit$core$theta
  # the columns in one pass: every double is looked at once, every code as well; processor time, which other work disturbs least
  # (R counts it in milliseconds, so many passes at a time)
  passes <- ceiling(2e7 / length(design$y))
  plain <- best_of(clock = cpu, run = function() {
    for (pass in seq_len(passes)) {
      for (column in c(list(design$y), design$columns)) wbhlm:::engine_all_finite(column)
      for (group in design$groups) anyNA(group$codes)
    }
  }) / passes
  mb <- (sum(lengths(c(list(design$y), design$columns))) * 8 + sum(vapply(design$groups, function(group) length(group$codes), 0L)) * 4) / 2^20
  control <- wbhlm::hlm_control(threads = 1)
  whole <- best_of(clock = cpu, run = function() last <<- wbhlm:::engine_fit(design, TRUE, control))
  one <- best_of(clock = cpu, run = function() wbhlm:::core_evaluate(design, TRUE, theta, 2L, 1L))
  # a fit is a pass, its evaluations, and the estimates; core_evaluate() is a pass and one evaluation with both derivatives
  evaluation <- max(0, whole - one) / max(1, last$evaluations - 1)
  list(plain_s = plain, columns_mb = mb, core_s = whole, one_evaluation_s = one, evaluations = last$evaluations, evaluation_s = evaluation,
    pass_s = one - evaluation, ratio = (one - evaluation) / plain, ratio_whole = whole / plain)
}
last <- NULL

# ---- growth: rows at a given number of patients, patients at a given number of rows

job_growth <- function(request) {
  sizes <- rbind(
    data.frame(vary = "rows", patients = request$fixed_patients, sessions = request$sessions),
    data.frame(vary = "patients", patients = request$patients, sessions = request$fixed_rows / request$patients)
  )
  rows <- lapply(seq_len(nrow(sizes)), function(k) {
    size <- sizes[k, ]
    data <- bench_data(size$patients, size$sessions)
    do.call(rbind, lapply(names(bench_models), function(model) {
      run <- function() quietly(wbhlm::hlm(bench_models[[model]]$grammar, data))
      first <- best_of(run, 1L)
      data.frame(vary = size$vary, model = model, rows = nrow(data), patients = size$patients,
        seconds = best_of(run, if (first > 1) 2L else if (first > 0.1) 5L else 15L))
    }))
  })
  do.call(rbind, rows)
}

answer <- tryCatch(
  switch(request$job, fit = job_fit(request), judge = job_judge(request), core = job_core(request), growth = job_growth(request)),
  error = function(e) list(error = conditionMessage(e))
)
jsonlite::write_json(answer, request$answer, auto_unbox = TRUE, digits = NA, na = "null")
