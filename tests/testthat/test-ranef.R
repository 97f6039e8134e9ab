test_that("ranef() and its data frame are lme4's", {
  skip_without_lme4()
  for (pair in every_pair()) {
    ours <- ranef(pair[[1L]])
    theirs <- lme4::ranef(pair[[2L]])
    expect_equal(names(ours), names(theirs))
    for (group in names(ours)) {
      expect_equal(ours[[group]], theirs[[group]], tolerance = 1e-4, ignore_attr = TRUE)
      expect_equal(row.names(ours[[group]]), row.names(theirs[[group]]))
      expect_equal(attr(ours[[group]], "postVar"), attr(theirs[[group]], "postVar"), tolerance = 1e-4, ignore_attr = TRUE)
      expect_equal(is.list(attr(ours[[group]], "postVar")), is.list(attr(theirs[[group]], "postVar")))
    }
    long <- as.data.frame(ours)
    reference <- as.data.frame(theirs)
    expect_equal(names(long), names(reference))
    expect_equal(as.character(long$grp), as.character(reference$grp))
    expect_equal(long[-3], reference[-3], tolerance = 1e-4, ignore_attr = TRUE)
    # The order of the levels is that of the values, ties aside: rounding decides those.
    first <- long[long$grpvar == long$grpvar[[1L]] & long$term == long$term[[1L]], ]
    expect_false(is.unsorted(first$condval[order(first$grp)]))
  }
})

test_that("ranef() returns what is asked for", {
  fit <- fit_therapy()
  expect_named(ranef(fit, whichel = "therapist"), "therapist")
  expect_null(attr(ranef(fit, condVar = FALSE)$patient, "postVar"))
  dropped <- ranef(fit, drop = TRUE)
  expect_type(dropped$therapist, "double")
  expect_named(dropped$therapist, as.character(1:8))
  expect_length(attr(dropped$therapist, "postVar"), 8)
  expect_s3_class(dropped$patient, "data.frame")
  expect_error(ranef(fit, whichel = "clinic"), class = "hlm_error_data")
  expect_output(print(ranef(fit)), "Deviations of each patient")
})

test_that("conditional variances are those of the dense reference", {
  fit <- fit_therapy()
  dense <- dense_condvar(fit$design, TRUE, fit$core$theta)
  ours <- ranef(fit)
  expect_equal(attr(ours$patient, "postVar"), dense[[1L]], tolerance = 1e-7, ignore_attr = TRUE)
  expect_equal(attr(ours$therapist, "postVar"), dense[[2L]], tolerance = 1e-7, ignore_attr = TRUE)
})
