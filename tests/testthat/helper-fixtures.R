# Reference fixtures (fixtures/model-*.json, written by data-raw/fixtures/make.R): reading them, fitting our model on the same data,
# and the comparisons.
#
# Tolerances. Criterion: never above the reference by more than max(1e-6, 1e-9 |criterion|). Fixed effects: 1e-5, relative to the
# estimate or to its standard error, whichever is larger (an estimate that is zero but for noise has no digits of its own). Standard errors 1e-4, df 1e-3,
# variance components 1e-4, all relative. Components near zero: the fixture holds for each row of VarCorr the `scale` that one
# residual variance has in that row's units; differences below 1e-6 of it are below what any outcome could show.

fixture_files <- function(pattern = "^model-.*[.]json$") list.files(test_path("fixtures"), pattern, full.names = TRUE)

read_fixture <- function(path) jsonlite::fromJSON(path, simplifyVector = TRUE, simplifyMatrix = TRUE)

# The data of a fixture, or NULL when they are not on this machine.
fixture_data <- function(fixture) {
  source <- fixture$data
  if (!is.null(source$shared)) {
    path <- test_path("..", "..", "..", "shared", "data", source$shared)
    if (!file.exists(path)) return(NULL)
    d <- utils::read.csv(path, stringsAsFactors = FALSE)
  } else {
    if (!requireNamespace(source$package, quietly = TRUE)) return(NULL)
    found <- new.env()
    if (source$package == "nlme") {
      found[[source$object]] <- getExportedValue("nlme", source$object)
    } else {
      utils::data(list = source$object, package = source$package, envir = found)
    }
    d <- as.data.frame(found[[source$object]])
  }
  eval(parse(text = fixture$preprocess))
  d
}

fixture_fit <- function(fixture, d = fixture_data(fixture)) {
  arguments <- list(formula = stats::as.formula(fixture$formula, env = globalenv()), data = quote(d), REML = fixture$REML)
  if (!is.null(fixture$weights)) arguments$weights <- as.name(fixture$weights)
  if (!is.null(fixture$offset)) arguments$offset <- as.name(fixture$offset)
  # Some of these data are crossed by design, of which hlm() warns when ids are numbers.
  suppressWarnings(suppressMessages(eval(as.call(c(list(quote(hlm)), arguments)))), classes = "hlm_warning")
}

our_criterion <- function(fit) -2 * as.numeric(stats::logLik(fit))

# Our numbers in the shape of a fixture's `reference`.
our_numbers <- function(fit) {
  table <- summary(fit)$coefficients
  varcorr <- as.data.frame(VarCorr(fit))
  list(
    criterion = our_criterion(fit), fixef = as.list(fixef(fit)), se = as.list(table[, "Std. Error"]), df = as.list(table[, "df"]),
    vcov = unname(as.matrix(stats::vcov(fit))), sigma = stats::sigma(fit), varcorr = as.list(varcorr)
  )
}

criterion_allowance <- function(criterion) max(1e-6, 1e-9 * abs(criterion))

# What our estimates are held against: the reference, or, where our criterion is lower by more than 1e-6, our own recorded numbers
# (the reference then stopped short of the optimum, and its estimates are not the target).
fixture_target <- function(fixture, criterion) {
  if (fixture$reference$criterion - criterion <= 1e-6) return(fixture$reference)
  fixture$ours
}

expect_within <- function(actual, expected, allowed, label) {
  difference <- abs(as.numeric(actual) - as.numeric(expected))
  worst <- which.max(difference / allowed)
  ok <- length(difference) == length(expected) && !anyNA(difference) && all(difference <= allowed)
  expect(ok, sprintf("%s: %s here, %s in the reference (allowed difference %.2g) at position %s.", label,
    format(as.numeric(actual)[worst], digits = 12), format(as.numeric(expected)[worst], digits = 12), rep_len(allowed, length(difference))[worst],
    worst))
}

expect_fixed_effects <- function(ours, target) {
  expect_identical(names(ours$fixef), names(target$fixef))
  beta <- unlist(target$fixef)
  se <- unlist(target$se)
  expect_within(unlist(ours$fixef), beta, 1e-5 * pmax(abs(beta), se), "fixed effects")
  expect_within(unlist(ours$se), se, 1e-4 * se, "standard errors")
  expect_within(ours$vcov, target$vcov, 1e-4 * outer(se, se), "vcov")
}

expect_df <- function(ours, target) {
  df <- unlist(target$df)
  expect_within(unlist(ours$df), df, 1e-3 * df, "Satterthwaite df")
}

varcorr_key <- function(rows) paste(rows$grp, rows$var1, rows$var2)

expect_variances <- function(ours, target, scale) {
  expect_identical(varcorr_key(ours$varcorr), varcorr_key(target$varcorr))
  variance <- as.numeric(target$varcorr$vcov)
  expect_within(ours$varcorr$vcov, variance, 1e-4 * abs(variance) + 1e-6 * scale, "variances and covariances")
  expect_within(ours$sigma, target$sigma, 1e-4 * target$sigma, "residual SD")
}

expect_likelihood <- function(fit, reference) {
  likelihood <- stats::logLik(fit)
  expect_identical(as.integer(attr(likelihood, "df")), as.integer(reference$loglik_df))
  expect_identical(as.integer(stats::nobs(fit)), as.integer(reference$nobs))
  allowed <- criterion_allowance(reference$criterion)
  shift <- our_criterion(fit) - reference$criterion
  expect_within(stats::AIC(fit) - shift, reference$aic, allowed, "AIC")
  expect_within(stats::BIC(fit) - shift, reference$bic, allowed, "BIC")
  groups <- ngrps(fit)
  expect_setequal(names(groups), names(reference$ngrps))
  expect_equal(as.list(groups)[names(reference$ngrps)], lapply(reference$ngrps, as.integer), ignore_attr = TRUE)
}

expect_fitted_rows <- function(fit, reference) {
  rows <- seq_along(reference$fitted)
  expect_within(stats::fitted(fit)[rows], reference$fitted, 1e-4 * reference$sigma, "fitted values")
  expect_within(stats::residuals(fit)[rows], reference$residuals, 1e-4 * reference$sigma, "residuals")
  expect_within(stats::predict(fit, re.form = NA)[rows], reference$predict_fixed, 1e-4 * reference$sigma, "fixed part of predictions")
}

# Conditional modes and their SDs, matched by factor, term and group.
expect_random_effects <- function(fit, reference) {
  ours <- as.data.frame(ranef(fit))
  key <- function(rows) paste(rows$grpvar, rows$term, rows$grp)
  expect_setequal(key(ours), key(reference$ranef))
  ours <- ours[match(key(reference$ranef), key(ours)), ]
  spread <- stats::ave(pmax(abs(reference$ranef$condval), reference$ranef$condsd), paste(reference$ranef$grpvar, reference$ranef$term), FUN = max)
  # lme4 leaves 1e-8 where the variance is exactly zero: differences below 1e-6 of a residual SD in the term's units do not count.
  units <- tapply(reference$varcorr$scale, reference$varcorr$var1, max)
  floor <- 1e-6 * sqrt(as.numeric(units[reference$ranef$term]))
  expect_within(ours$condval, reference$ranef$condval, 1e-4 * spread + floor, "conditional modes")
  expect_within(ours$condsd, reference$ranef$condsd, 1e-4 * spread + floor, "conditional SDs")
}

# A core fixture's design as the contract has it (R types, not JSON's).
core_design <- function(fixture) {
  design <- fixture$design
  plain <- function(x) if (is.null(x)) NULL else as.double(unlist(x))
  design$y <- plain(design$y)
  design$offset <- plain(design$offset)
  design$weights <- plain(design$weights)
  design$columns <- lapply(design$columns, plain)
  design$x <- as.integer(unlist(design$x))
  design$x_names <- as.character(unlist(design$x_names))
  design$x_assign <- as.integer(unlist(design$x_assign))
  design$groups <- lapply(design$groups, function(g) {
    list(name = g$name, codes = as.integer(unlist(g$codes)), levels = as.character(unlist(g$levels)))
  })
  design$terms <- lapply(design$terms, function(t) {
    list(group = as.integer(t$group), columns = as.integer(unlist(t$columns)), names = as.character(unlist(t$names)),
      structure = t$structure, label = t$label)
  })
  structure(design, class = "hlm_design")
}

read_core_fixture <- function(path) {
  jsonlite::fromJSON(path, simplifyVector = TRUE, simplifyDataFrame = FALSE, simplifyMatrix = FALSE)
}
