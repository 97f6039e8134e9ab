# Studies and analyses for the core, and the same analysis by hlm().

study_with <- function(...) {
  study <- list(
    patients = 40L, therapists = 0L, times = as.double(0:5),
    x = list(sd_within = 1, sd_between = 1, sd_therapist = 0, trend = 0, trend_sd = 0, ar = 0, error_sd = 0),
    moderator = list(kind = "none"), dropout = rep(0, 6), dropout_y = 0, missing = 0, lag = 0L,
    fixed = list(
      list(parts = character(), value = 20), list(parts = "time", value = -0.5), list(parts = "within", value = -0.7), list(parts = "between", value = 0.4)
    ),
    random = list(list(group = "patient", columns = list(character(), "within"), root = t(chol(matrix(c(2, 0.3, 0.3, 0.4), 2))))),
    residual = list(sd = 1.2, ar = 0)
  )
  with_changes(study, list(...))
}

# Lists are replaced, but x, in which single numbers are.
with_changes <- function(list, with) {
  for (name in names(with)) list[[name]] <- if (name == "x") utils::modifyList(list$x, with$x) else with[[name]]
  list
}

analysis_with <- function(...) {
  analysis <- list(
    split = "mean", lag = 0L, fixed = list(character(), "time", "within", "between"),
    random = list(list(group = "patient", columns = list(character(), "within"), structure = "unstructured")), reml = TRUE, reduced = NULL
  )
  with_changes(analysis, list(...))
}

study_options <- function(nsim, ...) {
  c(list(...), list(nsim = nsim, seed = 11, threads = 1L, max_iter = hlm_control()$max_iter, tol = hlm_control()$tol))
}

# The columns of an analysis as terms of a formula.
study_term <- function(parts, analysis) {
  uses_therapist <- "therapist" %in% unlist(c(analysis$fixed, lapply(analysis$random, `[[`, "columns")))
  x <- if (analysis$lag > 0) paste0("lagged(x, n = ", analysis$lag, ")") else "x"
  trend <- if (analysis$split == "detrend") ", detrend = TRUE" else ""
  words <- c(
    time = "time", moderator = "moderator", y_lag = "lagged(y)", within = paste0("within(", x, trend, ")"),
    between = paste0("between(", x, trend, if (uses_therapist) ", level = \"therapist\"", ")"), therapist = "THERAPIST"
  )
  if (length(parts)) paste(words[parts], collapse = ":") else "1"
}

# between(x, level = "therapist") makes both columns; the therapist's own is not written a second time.
study_formula <- function(analysis, random = analysis$random) {
  fixed <- setdiff(vapply(analysis$fixed, study_term, "", analysis = analysis), "THERAPIST")
  if (!"1" %in% fixed) fixed <- c("0", fixed)
  bars <- vapply(random, function(term) {
    columns <- vapply(term$columns, study_term, "", analysis = analysis)
    if (!"1" %in% columns) columns <- c("0", columns)
    paste0("(", paste(columns, collapse = " + "), if (term$structure == "diagonal") " || " else " | ", term$group, ")")
  }, "")
  stats::as.formula(paste("y ~", paste(c(fixed, bars), collapse = " + ")))
}

# The name that hlm() gives to the column of a product.
study_names <- function(analysis) {
  x <- if (analysis$lag > 0) paste0("x_lag", analysis$lag) else "x"
  names <- c(
    time = "time", moderator = "moderator", y_lag = "y_lag1", within = paste0(x, "_within"), between = paste0(x, "_between"),
    therapist = paste0(x, "_between_therapist")
  )
  vapply(analysis$fixed, function(parts) if (length(parts)) paste(sort(names[parts]), collapse = ":") else "(Intercept)", "")
}

sorted_names <- function(names) vapply(strsplit(names, ":"), function(parts) paste(sort(parts), collapse = ":"), "")

study_fit <- function(data, analysis, random = analysis$random) {
  suppressWarnings(suppressMessages(
    hlm(study_formula(analysis, random), data, id = "patient", time = "time", REML = analysis$reml)
  ))
}

# Largest differences between replicates of the core and hlm() on their data.
study_differences <- function(study, analysis, nsim, tests = "satterthwaite") {
  found <- engine_study(study, analysis, study_options(nsim, tests = tests))
  ddf <- c(satterthwaite = "Satterthwaite", `kenward-roger` = "Kenward-Roger")[[tests]]
  worst <- c(beta = 0, se = 0, df = 0, theta = 0, sigma = 0, criterion = 0, reduced = 0, size = 0)
  for (i in seq_len(nsim)) {
    data <- engine_study_data(study, 11, i)
    fit <- tryCatch(study_fit(data, analysis), hlm_error = identity)
    if (inherits(fit, "error") || length(fit$core$dropped)) {
      if (found$status[[i]] != "unidentified") stop("replicate ", i, ": hlm() says ", conditionMessage(fit))
      next
    }
    if (found$status[[i]] != fit$core$status) stop("replicate ", i, ": ", found$status[[i]], " but hlm() ", fit$core$status)
    place <- match(study_names(analysis), sorted_names(fit$design$x_names))
    if (anyNA(place)) stop("names: ", toString(study_names(analysis)), " / ", toString(fit$design$x_names))
    table <- coef(summary(fit, ddf = ddf))[place, , drop = FALSE]
    size <- c(nobs(fit), lengths(lapply(fit$design$groups, `[[`, "levels")))
    reduced <- vapply(seq_along(analysis$reduced), function(k) {
      smaller <- analysis$reduced[[k]]
      criterion <- if (length(smaller)) study_fit(data, analysis, smaller)$core$criterion else engine_at(fit$design, fit$REML, 0 * fit$core$theta)$criterion
      abs(found$reduced[[k]]$criterion[[i]] - criterion)
    }, 0)
    here <- c(
      max(abs(found$beta[i, ] - table[, 1L])), max(abs(found$se[i, ] - table[, 2L])),
      max(abs(found$df[i, ] - table[, "df"]) / pmax(1, table[, "df"])), max(abs(found$theta[i, ] - fit$core$theta)),
      abs(found$sigma[[i]] - sigma(fit)), abs(found$criterion[[i]] - fit$core$criterion), max(0, reduced),
      max(abs(c(found$rows[[i]], found$persons[[i]]) - size[1:2]))
    )
    worst <- pmax(worst, here)
  }
  c(worst, unidentified = sum(found$status == "unidentified"), boundary = sum(found$status == "boundary"))
}
