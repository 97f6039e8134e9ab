# Checks of audit() that need a fitted model: what a methodologist asks about the model beside the data. What check_fit() looks at (residuals,
# influence, collinearity) is left to it; only its problems are passed on.

audit_checks_fit <- function() {
  list(
    audit_check("residual_autocorrelation", "residuals of neighbouring sessions are unrelated", c("fit", "regular"), check_residual_autocorrelation),
    audit_check("variance_over_time", "the residual variance stays the same over time", c("fit", "time"), check_variance_over_time),
    audit_check("random_slope", "persons share the within effect, or it may differ", "fit", check_random_slope),
    audit_check("singular_level", "variances of therapists are not at zero", c("fit", "level"), check_singular_level),
    audit_check("time_collinear", "the within effect can be told from time", c("fit", "time"), check_time_collinear),
    audit_check("contextual_differs", "within and between effects agree", "fit", check_contextual_differs),
    audit_check("concurrent", "predictors precede the outcome", "fit", check_concurrent),
    audit_check("fit_problems", "check_fit() finds no problem", "fit", check_fit_problems)
  )
}

# Conditional residuals in the order of the audit (missing where a row was not analysed), divided by the residual SD.
audit_residuals <- function(a) {
  audit_cached(a, "residuals", function() {
    fit <- a$fit
    e <- sqrt(design_weights(fit$design)) * (fit$design$y - fixed_predictor(fit) - random_predictor(fit)) / fit$core$sigma
    e[match(a$row, fit$rows)]
  })
}

# Average product of neighbouring residuals minus what it would be without autocorrelation: residuals of few sessions are correlated because the
# person's effects were estimated from them. Within a person V = Z Psi Z' + sigma^2 I, Psi with the effects of all levels that contain the person;
# e = sigma^2 V^-1 (y - X beta) has the covariance sigma^4 V^-1, the fixed effects taken as known (Pinheiro & Bates 2000, section 2.2). All in units of
# sigma: V^-1 = I - Z M Z', M = (I + Psi Z'Z)^-1 Psi.
residual_autocorrelation <- function(a) {
  fit <- a$fit
  index <- match(a$row, fit$rows)
  before <- audit_lag(a, as.double(index))
  pair <- which(!is.na(index) & !is.na(before))
  if (length(pair) < 20L) return(NULL)
  block <- person_block(fit)
  now <- index[pair]
  then <- as.integer(before[pair])
  expected <- numeric(length(pair))
  codes <- block$codes[now]
  for (j in seq_len(ncol(block$z))) for (k in seq_len(ncol(block$z))) expected <- expected - block$z[now, j] * block$m[j, k, codes] * block$z[then, k]
  r <- mean(block$residual[now] * block$residual[then] - expected)
  list(r = r, z = r * sqrt(length(pair)), pairs = length(pair))
}

# Residuals of every person's own block, and the matrices M; effects of factors crossed with the person are subtracted as estimated.
person_block <- function(fit) {
  groups <- fit$design$groups
  person <- groups[[person_group(fit)]]
  holds <- vapply(groups, function(group) identical(group$name, person$name) || is_nested(person, group), NA)
  own <- which(holds[term_group(fit)])
  crossed <- which(!holds[term_group(fit)])
  w <- sqrt(design_weights(fit$design))
  r <- w * (fit$design$y - fixed_predictor(fit) - random_predictor(fit, crossed)) / fit$core$sigma
  z <- w * do.call(cbind, c(list(matrix(0, length(r), 0L)), lapply(fit$design$terms[own], function(term) term_matrix(fit, term))))
  q <- ncol(z)
  m <- array(0, c(q, q, length(person$levels)))
  if (q == 0L) return(list(residual = r, z = z, m = m, codes = person$codes))
  psi <- as.matrix(Matrix::bdiag(lapply(own, function(t) tcrossprod(term_lambda(fit, t)))))
  products <- do.call(cbind, lapply(seq_len(q), function(k) rowsum(z * z[, k], person$codes, reorder = TRUE)))
  score <- rowsum(z * r, person$codes, reorder = TRUE)
  effect <- matrix(0, nrow(score), q)
  for (i in seq_len(nrow(score))) {
    m[, , i] <- solve(diag(q) + psi %*% matrix(products[i, ], q), psi)
    effect[i, ] <- matrix(m[, , i], q) %*% score[i, ]
  }
  list(residual = r - rowSums(z * effect[person$codes, , drop = FALSE]), z = z, m = m, codes = person$codes)
}

check_residual_autocorrelation <- function(a) {
  if (has_residual_structure(a$fit)) return(NULL)
  found <- residual_autocorrelation(a)
  if (is.null(found) || abs(found$r) < 0.1 || abs(found$z) < stats::qnorm(0.995)) return(NULL)
  audit_finding(
    if (abs(found$r) > 0.3) "high" else "medium", "Residuals of neighbouring sessions are correlated",
    c(paste0("The residuals of a session and of the one before correlate ", audit_number(found$r), " (", format(found$pairs, big.mark = ","), " pairs, ",
             audit_p(2 * stats::pnorm(-abs(found$z))), "; corrected for the persons' estimated effects)."),
      "The model takes sessions as independent given the person: standard errors of within effects are off."),
    "Fit the model with an AR(1) residual and compare, or use robust standard errors (vcov = \"CR2\").", "Goldstein et al. 1994; Bolger & Laurenceau 2013"
  )
}

# A fit with a residual structure (AR(1) and the like) says so itself.
check_variance_over_time <- function(a) {
  e <- audit_residuals(a)
  use <- !is.na(e)
  time <- a$time[use]
  if (length(unique(time)) < 3L || sum(use) < 30L) return(NULL)
  size <- abs(e[use])
  r <- stats::cor(rank(size), rank(time))
  p <- 2 * stats::pnorm(-abs(r) * sqrt(sum(use)))
  if (abs(r) < 0.15 || p > 0.01) return(NULL)
  cut <- stats::quantile(time, c(1 / 3, 2 / 3), names = FALSE)
  sds <- a$fit$core$sigma * c(sqrt(mean(size[time <= cut[[1L]]]^2)), sqrt(mean(size[time > cut[[2L]]]^2)))
  audit_finding(
    if (abs(r) > 0.3) "high" else "medium", "The residual variance changes over time",
    paste0("Residual SD ", audit_number(sds[[1L]]), " in the first third, ", audit_number(sds[[2L]]), " in the last (", audit_p(p), ")."),
    "Use robust standard errors (vcov = \"CR2\"), or a model with a variance per session (nlme::lme with weights = varIdent or varExp) as a check.",
    "Pinheiro & Bates 2000, ch. 5"
  )
}

# Each within predictor without a random slope: does one fit better? (variance at the boundary, 50:50 mixture: Self & Liang 1987)
check_random_slope <- function(a) {
  fit <- a$fit
  g <- person_group(fit)
  own <- which(term_group(fit) == g)
  if (!length(own)) return(NULL)
  known <- unlist(lapply(fit$design$terms[own], `[[`, "columns"))
  coefs <- fit$spec$coefs
  columns <- intersect(which(coefs$type == "within" & !grepl(":", coefs$name, fixed = TRUE)), kept_columns(fit))
  columns <- Filter(function(k) !fit$design$x[[k]] %in% known, columns)
  who <- do.call(rbind, lapply(columns, function(k) random_slope_test(fit, g, own, k)))
  if (is.null(who)) return(NULL)
  who$p <- stats::p.adjust(who$p, "holm")
  who <- who[who$p < 0.01, , drop = FALSE]
  if (!nrow(who)) return(NULL)
  audit_finding(
    "medium", "Persons differ in the within effect, but the model has no random slope",
    c(paste0(who$predictor, ": average ", audit_number(who$average), ", SD between persons ", audit_number(who$sd), " (", audit_p(who$p), ").", collapse = " "),
      "The standard error of the average effect is too small without it."),
    "Add the random slope, for example (1 + within(x) | person), and report how many persons have an effect of the other sign.",
    "Barr et al. 2013; Heisig & Schaeffer 2019", who
  )
}

random_slope_test <- function(fit, g, own, k) {
  name <- fit$design$x_names[[k]]
  term <- list(group = g, columns = fit$design$x[[k]], names = name, structure = "unstructured", label = paste("0 +", name, "|", group_names(fit)[[g]]))
  design <- fit$design
  design$terms <- append(design$terms, list(term), after = max(own))
  larger <- tryCatch(fit_reduced(fit, design), hlm_error = function(e) NULL)
  if (is.null(larger)) return(NULL)
  lrt <- max(0, fit$core$criterion - larger$core$criterion)
  sd <- larger$core$sigma * abs(term_lambda(larger, max(own) + 1L)[[1L]])
  data.frame(predictor = name, average = fixef.hlm(larger)[[name]], sd = sd, p = stats::pchisq(lrt, 1, lower.tail = FALSE) / 2)
}

check_singular_level <- function(a) {
  at <- Filter(function(boundary) boundary$group %in% names(a$levels), a$fit$core$boundary)
  if (!length(at)) return(NULL)
  groups <- unique(vapply(at, `[[`, "", "group"))
  audit_finding(
    "medium", paste("No variance left for", audit_list(plain_level(groups))),
    paste(vapply(at, boundary_words, "", fit = a$fit), collapse = " "),
    paste("Zero is an estimate, not a proof: give the upper limit of the variance (confint(fit, method = \"profile\")). Keep the level if it belongs to the",
          "design, drop its random slopes first, and report both."),
    "Barr et al. 2013; Baldwin & Imel 2013"
  )
}

# With time in the model a within predictor that is nearly a straight line has little left to explain.
check_time_collinear <- function(a) {
  if (!isTRUE(a$names$time_in_model)) return(NULL)
  fit <- a$fit
  coefs <- fit$spec$coefs
  columns <- intersect(which(coefs$type == "within" & !grepl(":", coefs$name, fixed = TRUE)), kept_columns(fit))
  index <- match(a$row, fit$rows)
  who <- do.call(rbind, lapply(columns, function(k) {
    x <- design_column(fit$design, fit$design$x[[k]])[index]
    r <- audit_cor(audit_centred(a, x), audit_centred(a, ifelse(is.na(x), NA, a$time)))
    if (!is.na(r) && abs(r) > 0.7) data.frame(predictor = coefs$name[[k]], r = r)
  }))
  if (is.null(who)) return(NULL)
  audit_finding(
    "medium", "The within predictor is nearly a trend",
    paste0(paste0(who$predictor, " correlates ", audit_number(who$r), " with ", a$names$time, " within persons", collapse = "; "),
           ". Beside time little of it is left, and its effect rests on small departures from the line."),
    "Report the effect with and without time; say which part of the process is a matter of theory.", "Wang & Maxwell 2015; Falkenstr\u00f6m et al. 2017", who
  )
}

check_contextual_differs <- function(a) {
  fit <- a$fit
  contrasts <- tryCatch(contextual_contrasts(fit), error = function(e) NULL)
  if (is.null(contrasts)) return(NULL)
  estimate <- drop(contrasts$l %*% fixef.hlm(fit))
  se <- sqrt(rowSums((contrasts$l %*% fit$core$vcov) * contrasts$l))
  p <- 2 * stats::pt(-abs(estimate / se), max(1, a$n_persons - 2L))
  who <- cbind(contrasts$labels, difference = estimate, p = p)[p < 0.01, , drop = FALSE]
  if (!nrow(who)) return(NULL)
  audit_finding(
    "low", "Within and between effects differ",
    paste0(paste0(who$variable, ": ", who$contrast, " = ", audit_number(who$difference), " (", audit_p(who$p), ")", collapse = "; "), "."),
    paste("Name the level in every sentence: what goes with a person's better session is not what goes with being a person who is better on average.",
          "The between",
          "effect may be due to anything in which persons differ."),
    "Curran & Bauer 2011; Hamaker & Muth\u00e9n 2020", who
  )
}

check_concurrent <- function(a) {
  same <- setdiff(a$names$concurrent, a$names$lagged_names)
  if (!length(same)) return(NULL)
  audit_finding(
    "low", "Predictor and outcome come from the same row",
    paste0(audit_list(same), ": which of the two was there first is not in the data, so the effect may run either way."),
    paste("Say when each was measured (before, during, after the session). For a temporal order use the value of the session before, wb(lagged(x)),",
          "and test the other direction, too."),
    "Falkenstr\u00f6m et al. 2017; Hamaker et al. 2015"
  )
}

check_fit_problems <- function(a) {
  table <- tryCatch(suppressMessages(suppressWarnings(check_fit(a$fit))), error = function(e) NULL)
  # items of which the audit has its own
  own <- c("Number of groups", "Random effects at the limit")
  who <- table[table$verdict == "problem" & !table$check %in% own, , drop = FALSE]
  if (is.null(who) || !nrow(who)) return(NULL)
  who <- as.data.frame(who)
  class(who) <- "data.frame"
  audit_finding(
    "high", "check_fit() finds problems",
    paste0(who$check, ifelse(nzchar(who$about), paste0(" (", who$about, ")"), ""), ": ", who$finding, collapse = " "),
    paste(unique(who$advice), collapse = " "), paste(unique(who$reference[nzchar(who$reference)]), collapse = "; "), who
  )
}
