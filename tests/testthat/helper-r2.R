# References of data-raw/fixtures/r2-standardize.R and the models they belong to.

r2_reference <- function() fit_once("r2_reference", function() read_fixture(test_path("fixtures", "r2-standardize.json")))

implement_rows <- function() {
  d <- wbhlm::implement
  d[stats::complete.cases(d[c("bai", "wai")]), ]
}

fit_implement_two <- function() {
  fit_once("implement_two", function() hlm(bai ~ wb(wai) + (1 + within(wai) | id), wbhlm::implement))
}

fit_implement_ml <- function() fit_once("implement_ml", function() hlm(bai ~ wb(wai) + (1 | id), wbhlm::implement, REML = FALSE))

# Rows as weights, so that the parts by hand are those of ave().
fit_implement_three <- function() {
  fit_once("implement_three_rows", function() {
    hlm(
      bai ~ wb(wai, level = "therapist") + (1 + within(wai) | therapist / id), wbhlm::implement, id = id,
      control = hlm_control(weighting = "rows")
    )
  })
}

measure <- function(r, name, of) r$measures$estimate[r$measures$measure == name & r$measures$of == of]

expect_measures <- function(r, reference, of) {
  for (name in names(reference)) expect_within(measure(r, name, of), reference[[name]], 1e-5, paste(name, "of", of))
}

# Two sessions of therapy_data() are missing, so that session differs between persons on average.
fit_therapy_session <- function() fit_once("therapy_session", function() hlm(distress ~ session + (1 | patient), therapy_data()))
