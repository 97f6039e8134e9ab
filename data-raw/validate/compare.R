# Our fit on one model of the matrix, and the verdict against the peers.
#
# Verdicts: "agree" (criteria and estimates alike); "lower" (our criterion is below every peer's); "flat" (criteria equal, estimates
# differ, ours is the lower of the two and our formulas at the peer's theta return the peer's estimates: the data do not tell the two
# apart any better); "beyond precision" (would be a failure, but the residual SD is below 1e-3 of the outcome's: sums of squares in double
# precision hardly hold such residuals, see inst/validation/README.md); and the failures "worse", "unconfirmed" (the common scale at our
# parameters does not return our criterion), "not converged" (our own status says so), "estimates differ", "error".

failures <- c("worse", "unconfirmed", "not converged", "estimates differ", "error")

allowance <- function(criterion) max(1e-6, 1e-9 * abs(criterion))

fit_ours <- function(model) {
  arguments <- list(formula = stats::as.formula(model$hlm_formula, env = globalenv()), data = quote(data), REML = model$REML)
  arguments[names(model$hlm_args)] <- model$hlm_args
  if (!is.null(model$residual)) arguments$residual <- str2lang(model$residual)
  if (!is.null(model$weights)) arguments$weights <- as.name(model$weights)
  if (!is.null(model$offset)) arguments$offset <- as.name(model$offset)
  data <- model$hlm_data %||% model$data
  call <- as.call(c(list(quote(wbhlm::hlm)), arguments))
  start <- proc.time()[["elapsed"]]
  fit <- suppressWarnings(suppressMessages(eval(call)))
  seconds <- proc.time()[["elapsed"]] - start
  list(fit = fit, criterion = -2 * as.numeric(stats::logLik(fit)), theta = as.numeric(wbhlm::getME(fit, "theta")), seconds = seconds,
    fixef = wbhlm::fixef(fit), vcov = as.matrix(stats::vcov(fit)), sigma = stats::sigma(fit),
    varcorr = as.data.frame(wbhlm::VarCorr(fit)), status = fit$core$status, structure = our_structure(fit))
}

# The parameters of the residuals as fit-plain.R has them.
our_structure <- function(fit) {
  if (is.null(fit$core$residual)) return(NULL)
  natural <- unname(fit$core$residual$natural)
  serial <- utils::tail(vapply(fit$design$residual$parts, `[[`, "", "name"), 1) != "hetero"
  list(phi = if (serial) natural[length(natural)], ratios = if (serial) natural[-length(natural)] else natural)
}

compare_model <- function(model, peers, inference = NULL) {
  parts <- lme4_parts(model$formula, model$data, model$REML, model$weights, model$offset)
  ours <- tryCatch(fit_ours(model), error = function(e) list(error = conditionMessage(e)))
  if (!is.null(ours$error)) {
    return(cbind(peer_columns(model, peers), our_columns(NULL, "error", ours$error), inference_columns(NULL, NULL), scale_error = NA_real_))
  }
  scale <- if (is.null(model$residual)) refereed_peers(peers, parts, ours) else list(peers = peers, error = NA_real_)
  peers <- scale$peers
  row <- peer_columns(model, peers)
  best <- min(row$lme4, row$nlme, row$glmmTMB, row$plain, na.rm = TRUE)
  judged <- if (is.null(model$residual)) judge_plain_residuals(ours, peers, parts, best, scale$value) else judge_structure(model, ours, peers, parts, best)
  if (judged$verdict == "agree" && other_gap(ours, peers) > 5e-3) judged$verdict <- "estimates differ"
  if (judged$verdict %in% failures && spread_ratio(model, peers) > precision_limit) {
    judged <- list(verdict = "beyond precision", detail = paste(judged$verdict, judged$detail))
    # our own value is what is inexact
    if (is.null(model$residual)) ours$criterion <- scale$value(ours$theta)
  }
  same_point <- judged$verdict == "agree" && is.na(scale$error)
  cbind(row, our_columns(ours, judged$verdict, judged$detail, best), inference_columns(ours, if (same_point) inference), scale_error = scale$error)
}

# SD of the outcome over that of the residuals.
precision_limit <- 1e3

spread_ratio <- function(model, peers) {
  y <- model$data$y - if (is.null(model$offset)) 0 else model$data[[model$offset]]
  stats::sd(y) / (peers$lme4 %||% peers$plain)$sigma
}

judge_plain_residuals <- function(ours, peers, parts, best, value) {
  slack <- allowance(best)
  confirmed <- value(ours$theta)
  gap <- estimate_gap(ours, peers$lme4, parts)
  verdict <- judge_criterion(ours, best, slack, confirmed) %||%
    if (peers$lme4$criterion - ours$criterion > slack || gap$worst <= 1) "agree"
    else if (is_flat(ours, peers$lme4, parts, confirmed)) "flat"
    else "estimates differ"
  list(verdict = verdict, detail = verdict_detail(verdict, ours, confirmed, gap))
}

judge_criterion <- function(ours, best, slack, confirmed) {
  if (ours$criterion > best + slack) "worse"
  else if (abs(confirmed - ours$criterion) > slack) "unconfirmed"
  else if (!ours$status %in% c("converged", "boundary")) "not converged"
  else if (ours$criterion < best - slack) "lower"
}

verdict_detail <- function(verdict, ours, confirmed, gap) {
  if (verdict == "unconfirmed") sprintf("peer formula at our parameters %+.3g", confirmed - ours$criterion)
  else if (verdict %in% c("flat", "estimates differ")) gap$label
  else ""
}

# The textbook's formula in the place of lme4's deviance function.
judge_structure <- function(model, ours, peers, parts, best) {
  confirmed <- tryCatch(plain_criterion(model, parts, ours$theta, ours$structure), error = function(e) Inf)
  gap <- structure_gap(model, ours, peers$plain, parts)
  verdict <- judge_criterion(ours, best, allowance(best), confirmed) %||%
    if (peers$plain$criterion - ours$criterion > allowance(best) || gap$worst <= 1) "agree"
    else if (is_flat_structure(model, ours, peers$plain)) "flat"
    else "estimates differ"
  list(verdict = verdict, detail = verdict_detail(verdict, ours, confirmed, gap))
}

# The optimiser of fit-plain.R has numerical derivatives only: the limits are ten times those of estimate_gap().
structure_gap <- function(model, ours, theirs, parts) {
  se <- sqrt(diag(theirs$vcov))
  size <- pmax(abs(theirs$theta), 0.01 * max(abs(theirs$theta)))
  gaps <- c(
    "fixed effects" = max(abs(unname(ours$fixef) - unname(theirs$fixef)) / (1e-4 * pmax(abs(unname(theirs$fixef)), se))),
    "standard errors" = max(abs(sqrt(diag(ours$vcov)) - se) / (1e-3 * se)),
    "theta" = max(abs(ours$theta - theirs$theta) / (1e-3 * size)),
    "residual structure" = max(abs(plain_free(model, ours$structure) - plain_free(model, theirs$structure)) / 1e-3))
  if (anyNA(gaps)) gaps[is.na(gaps)] <- Inf
  list(worst = max(gaps), label = sprintf("%s %.3g times the allowed difference", names(gaps)[which.max(gaps)], max(gaps)))
}

# Ours is no higher, and our formulas at the peer's parameters give the peer's estimates.
is_flat_structure <- function(model, ours, theirs) {
  if (ours$criterion > theirs$criterion + 1e-9 + 1e-12 * abs(theirs$criterion)) return(FALSE)
  design <- ours$fit$design
  design$residual$free <- free_of(design, theirs$structure)
  at <- wbhlm:::engine_at(design, ours$fit$REML, theirs$theta)
  se <- sqrt(diag(theirs$vcov))
  all(abs(at$beta - unname(theirs$fixef)) <= 1e-5 * pmax(abs(unname(theirs$fixef)), se)) &&
    all(abs(sqrt(diag(at$vcov)) - se) <= 1e-5 * se) && abs(at$sigma - theirs$sigma) <= 1e-6 * theirs$sigma
}

# The core's order: ratios of SDs, then the serial correlation.
free_of <- function(design, structure) {
  serial <- utils::tail(vapply(design$residual$parts, `[[`, "", "name"), 1)
  c(log(structure$ratios), if (serial == "car1") log(-log(structure$phi)) else if (serial == "ar1") atanh(structure$phi))
}

peer_columns <- function(model, peers) {
  value <- function(one, what = "criterion") if (is.null(one) || is.null(one[[what]])) NA_real_ else one[[what]]
  tries <- peers$lme4$tries %||% data.frame(optimizer = character(), value = numeric(), seconds = numeric())
  first <- tries[!grepl("restart", tries$optimizer), ]
  only <- function(x) if (length(x)) x else NA
  data.frame(name = model$name, class = model$class, rows = peers$nobs, fixed = peers$p, theta = peers$theta_length, REML = model$REML,
    seed = model$seed, lme4 = value(peers$lme4), lme4_default = as.numeric(only(tries$value[tries$optimizer == "nloptwrap"])),
    lme4_optimizer = as.character(only(first$optimizer[which.min(first$value)])), nlme = value(peers$nlme), glmmTMB = value(peers$glmmTMB),
    plain = value(peers$plain), nlme_error = peers$nlme$error %||% "", glmmTMB_error = peers$glmmTMB$error %||% "",
    lme4_seconds = as.numeric(only(tries$seconds[tries$optimizer == "nloptwrap"])), nlme_seconds = value(peers$nlme, "seconds"),
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
    if (length(one$fixef) != length(ours$fixef)) return(0)
    max(abs(unname(one$fixef) - unname(ours$fixef)) / se)
  }, 0)
  max(gaps)
}

# Standard errors and degrees of freedom by method, the largest relative difference from lmerTest and pbkrtest; NA where those are not
# defined or not run (fit-inference.R), or where the two fits are not the same point.
inference_columns <- function(ours, inference) {
  gap <- function(theirs, ddf, what) {
    if (is.null(ours) || is.null(theirs$df) || ours$status != "converged" || length(theirs$df) != length(ours$fixef)) return(NA_real_)
    own <- wbhlm:::prepare_inference(ours$fit, ddf)
    units <- diag(length(ours$fixef))
    values <- if (what == "df") apply(units, 1, own$df) else sqrt(diag(own$vcov))
    max(abs(values - theirs[[what]]) / theirs[[what]])
  }
  data.frame(satterthwaite_se = gap(inference$satterthwaite, "Satterthwaite", "se"), satterthwaite_df = gap(inference$satterthwaite, "Satterthwaite", "df"),
    kr_se = gap(inference$kenward_roger, "Kenward-Roger", "se"), kr_df = gap(inference$kenward_roger, "Kenward-Roger", "df"),
    inference_error = gsub("[\r\n,]+", " ", paste(c(inference$satterthwaite$error, inference$kenward_roger$error), collapse = " ")))
}
