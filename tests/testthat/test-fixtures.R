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
