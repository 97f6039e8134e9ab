test_that("different rows are counted and the fit is named", {
  d <- therapy_data()
  d$mood <- replace(d$session, 5:9, NA)
  base <- hlm(distress ~ 1 + (1 | patient), d)
  gaps <- hlm(distress ~ mood + (1 | patient), d)
  expect_error(compare(base, gaps), "238 in \"base\", 233 in\\s+\"gaps\"", class = "hlm_error_data")
  expect_error(anova(base, gaps), "5 rows only in 'base': 5, 6, 7, 8, 9", class = "hlm_error_data")
  expect_silent(check_comparable(list(base, base), c("a", "b")))
})

test_that("as many rows, but others, are found: of one table and of two subsets", {
  d <- therapy_data()
  d$first <- replace(d$session, 10, NA)
  d$second <- replace(d$session, 20, NA)
  expect_error(
    anova(hlm(distress ~ first + (1 | patient), d), hlm(distress ~ second + (1 | patient), d)), "1 row only in", class = "hlm_error_data"
  )
  one <- hlm(distress ~ 1 + (1 | patient), d, subset = 1:200)
  two <- hlm(distress ~ 1 + (1 | patient), d, subset = 3:202)
  expect_error(compare(one, two), "only in 'two'", class = "hlm_error_data")
})

test_that("other outcomes and weights are refused", {
  d <- therapy_data()
  base <- hlm(distress ~ 1 + (1 | patient), d)
  d$changed <- replace(d$distress, 1:2, 0)
  expect_error(compare(base, hlm(changed ~ 1 + (1 | patient), d)), "differs in 2 of 238", class = "hlm_error_data")
  d$w <- rep(1:2, 120)
  expect_error(compare(base, hlm(distress ~ 1 + (1 | patient), d, weights = w)), "different weights", class = "hlm_error_data")
  expect_error(compare(base, stats::lm(distress ~ 1, d)), class = "hlm_error_data")
})

test_that("row names that were lost do not matter while the outcome is the same", {
  d <- therapy_data()
  complete <- d[!is.na(d$distress), ]
  row.names(complete) <- NULL
  expect_s3_class(compare(hlm(distress ~ 1 + (1 | patient), d), hlm(distress ~ session + (1 | patient), complete)), "hlm_compare")
})
