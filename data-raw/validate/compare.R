# Our fit on one model of the matrix, and the verdict against the peers.
#
# Verdicts: "agree" (criteria and estimates alike); "lower" (our criterion is below every peer's); "flat" (criteria equal, estimates
# differ, ours is the lower of the two and our formulas at the peer's theta return the peer's estimates: the data do not tell the two
# apart any better); and the failures "worse", "unconfirmed" (lme4's deviance function at our theta does not return our criterion),
# "not converged" (our own status says so), "estimates differ", "error".

failures <- c("worse", "unconfirmed", "not converged", "estimates differ", "error")

allowance <- function(criterion) max(1e-6, 1e-9 * abs(criterion))

fit_ours <- function(model) {
  arguments <- list(formula = stats::as.formula(model$hlm_formula, env = globalenv()), data = quote(data), REML = model$REML)
  if (!is.null(model$weights)) arguments$weights <- as.name(model$weights)
  if (!is.null(model$offset)) arguments$offset <- as.name(model$offset)
  data <- model$data
  call <- as.call(c(list(quote(wbhlm::hlm)), arguments))
  start <- proc.time()[["elapsed"]]
  fit <- suppressWarnings(suppressMessages(eval(call)))
  seconds <- proc.time()[["elapsed"]] - start
  list(fit = fit, criterion = -2 * as.numeric(stats::logLik(fit)), theta = as.numeric(wbhlm::getME(fit, "theta")), seconds = seconds,
    fixef = wbhlm::fixef(fit), vcov = as.matrix(stats::vcov(fit)), sigma = stats::sigma(fit),
    varcorr = as.data.frame(wbhlm::VarCorr(fit)), status = fit$core$status)
}

compare_model <- function(model, peers) {
  parts <- lme4_parts(model$formula, model$data, model$REML, model$weights, model$offset)
  devfun <- do.call(lme4::mkLmerDevfun, parts)
  ours <- tryCatch(fit_ours(model), error = function(e) list(error = conditionMessage(e)))
  row <- peer_columns(model, peers)
  if (!is.null(ours$error)) return(cbind(row, our_columns(NULL, "error", ours$error)))
  best <- min(row$lme4, row$nlme, row$glmmTMB, na.rm = TRUE)
  slack <- allowance(best)
  confirmed <- as.numeric(devfun(ours$theta))
  gap <- estimate_gap(ours, peers$lme4, parts)
  detail <- ""
  verdict <- if (ours$criterion > best + slack) "worse"
    else if (abs(confirmed - ours$criterion) > slack) "unconfirmed"
    else if (!ours$status %in% c("converged", "boundary")) "not converged"
    else if (ours$criterion < best - slack) "lower"
    else if (peers$lme4$criterion - ours$criterion > slack || gap$worst <= 1) "agree"
    else if (is_flat(ours, peers$lme4, parts, confirmed)) "flat"
    else "estimates differ"
  if (verdict == "agree" && other_gap(ours, peers) > 5e-3) verdict <- "estimates differ"
  if (verdict == "unconfirmed") detail <- sprintf("lme4 at our theta %+.3g", confirmed - ours$criterion)
  if (verdict %in% c("flat", "estimates differ")) detail <- gap$label
  cbind(row, our_columns(ours, verdict, detail, best))
}

peer_columns <- function(model, peers) {
  value <- function(one, what = "criterion") if (is.null(one) || is.null(one[[what]])) NA_real_ else one[[what]]
  tries <- peers$lme4$tries
  first <- tries[!grepl("restart", tries$optimizer), ]
  data.frame(name = model$name, class = model$class, rows = peers$nobs, fixed = peers$p, theta = peers$theta_length, REML = model$REML,
    seed = model$seed, lme4 = peers$lme4$criterion, lme4_default = tries$value[tries$optimizer == "nloptwrap"],
    lme4_optimizer = first$optimizer[which.min(first$value)], nlme = value(peers$nlme), glmmTMB = value(peers$glmmTMB),
    nlme_error = peers$nlme$error %||% "", glmmTMB_error = peers$glmmTMB$error %||% "",
    lme4_seconds = tries$seconds[tries$optimizer == "nloptwrap"], nlme_seconds = value(peers$nlme, "seconds"),
    glmmTMB_seconds = value(peers$glmmTMB, "seconds"))
}

our_columns <- function(ours, verdict, detail, best = NA_real_) {
  data.frame(wbhlm = ours$criterion %||% NA_real_, shortfall = (ours$criterion %||% NA_real_) - best, wbhlm_seconds = ours$seconds %||% NA_real_,
    status = ours$status %||% "", verdict = verdict, detail = gsub("[\r\n,]+", " ", detail))
}

# The largest difference of fixed effects, SEs and variance components from lme4's, in units of the allowed difference.
estimate_gap <- function(ours, theirs, parts) {
  se <- sqrt(diag(theirs$vcov))
  beta <- unname(theirs$fixef)
  scale <- theirs$sigma^2 * varcorr_scales(parts, theirs$varcorr)
  gaps <- c(
    "fixed effects" = max(abs(unname(ours$fixef) - beta) / (1e-5 * pmax(abs(beta), se))),
    "standard errors" = max(abs(sqrt(diag(ours$vcov)) - se) / (1e-4 * se)),
    "variances" = max(abs(ours$varcorr$vcov - theirs$varcorr$vcov) / (1e-4 * abs(theirs$varcorr$vcov) + 1e-6 * scale)))
  if (anyNA(gaps)) gaps[is.na(gaps)] <- Inf
  list(worst = max(gaps), label = sprintf("%s %.3g times the allowed difference", names(gaps)[which.max(gaps)], max(gaps)))
}

# One over the product of the columns' root mean squares, row by row of VarCorr (1 for the residual).
varcorr_scales <- function(parts, rows) {
  groups <- lapply(seq_along(parts$reTrms$cnms), function(k) {
    names <- parts$reTrms$cnms[[k]]
    block <- Matrix::t(parts$reTrms$Ztlist[[k]])
    columns <- rep_len(names, ncol(block))
    vapply(names, function(name) sqrt(sum(block[, columns == name]^2) / nrow(block)), 0)
  })
  sizes <- unlist(lapply(groups, function(rms) {
    pairs <- if (length(rms) > 1) utils::combn(length(rms), 2) else matrix(0L, 2, 0)
    c(rms^2, rms[pairs[1, ]] * rms[pairs[2, ]])
  }))
  stopifnot(length(sizes) == nrow(rows) - 1)
  c(1 / unname(sizes), 1)
}

is_flat <- function(ours, theirs, parts, confirmed) {
  noise <- 1e-9 + 1e-12 * abs(confirmed)
  if (ours$criterion > theirs$criterion + noise) return(FALSE)
  at <- wbhlm:::engine_at(ours$fit$design, ours$fit$REML, theirs$theta)
  se <- sqrt(diag(theirs$vcov))
  all(abs(at$beta - unname(theirs$fixef)) <= 1e-5 * pmax(abs(unname(theirs$fixef)), se)) &&
    all(abs(sqrt(diag(at$vcov)) - se) <= 1e-5 * se) && abs(at$sigma - theirs$sigma) <= 1e-6 * theirs$sigma
}

# nlme's and glmmTMB's fixed effects, in standard errors, where they reached the same criterion.
other_gap <- function(ours, peers) {
  se <- sqrt(diag(ours$vcov))
  gaps <- vapply(peers[c("nlme", "glmmTMB")], function(one) {
    if (is.null(one) || !is.null(one$error) || abs(one$criterion - ours$criterion) > allowance(ours$criterion)) return(0)
    max(abs(unname(one$fixef) - unname(ours$fixef)) / se)
  }, 0)
  max(gaps)
}
