# Every reference model (fixtures/model-*.json): lme4, lmerTest and nlme on real data. Only the public interface is used.

check_fixture <- function(path) {
  fixture <- read_fixture(path)
  test_that(paste("reference model:", fixture$name), {
    d <- fixture_data(fixture)
    skip_if(is.null(d), "the data of this model are not on this machine")
    fit <- fixture_fit(fixture, d)
    reference <- fixture$reference
    ours <- our_numbers(fit)

    expect_lte(ours$criterion, reference$criterion + criterion_allowance(reference$criterion))
    target <- fixture_target(fixture, ours$criterion)
    expect(!is.null(target), "Our criterion is lower than the reference's: record both with data-raw/fixtures/record-ours.R.")
    skip_if(is.null(target), "nothing to hold the estimates against")

    expect_fixed_effects(ours, target)
    expect_df(ours, target)
    expect_variances(ours, target, reference$varcorr$scale)
    expect_likelihood(fit, reference)
    if (identical(target, reference)) {
      expect_fitted_rows(fit, reference)
      if (!is.null(reference$ranef)) expect_random_effects(fit, reference)
    }
    if (!is.null(fixture$nlme)) {
      expect_lte(ours$criterion, fixture$nlme$criterion + criterion_allowance(reference$criterion))
    }
  })
}

test_that("there are at least forty reference models, twelve of them for the core", {
  expect_gte(length(fixture_files()), 40)
  expect_gte(length(fixture_files("^core-.*[.]json$")), 12)
})

skip_if_not_installed("jsonlite")
for (path in fixture_files()) check_fixture(path)

# The same objective, from the design alone: at lme4's starting point and at its optimum (no optimiser of ours involved).
check_core_fixture <- function(path) {
  fixture <- read_core_fixture(path)
  test_that(paste("core fixture:", fixture$name), {
    design <- core_design(fixture)
    reference <- fixture$reference
    for (point in list(reference$at_start, list(theta = reference$theta, criterion = reference$criterion))) {
      value <- engine_evaluate(design, fixture$reml, point$theta)$criterion
      expect_within(value, point$criterion, 1e-8 * max(1, abs(point$criterion)), "criterion")
    }
    at <- engine_at(design, fixture$reml, reference$theta)
    expect_within(at$beta, reference$beta, 1e-7 * pmax(abs(reference$beta), reference$se), "fixed effects")
    expect_within(sqrt(diag(as.matrix(at$vcov))), reference$se, 1e-7 * reference$se, "standard errors")
    expect_within(at$sigma, reference$sigma, 1e-8 * reference$sigma, "residual SD")
  })
}

for (path in fixture_files("^core-.*[.]json$")) check_core_fixture(path)
