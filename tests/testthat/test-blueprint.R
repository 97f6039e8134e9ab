test_that("the blueprint is plain data", {
  d <- synthetic_sessions()
  fit <- front(y ~ poly(session, 2) + treatment + wb(x) + (within(x) | patient), d)
  blueprint <- fit$blueprint
  expect_equal(blueprint$xlevels, list(treatment = c("CBT", "control")))
  expect_equal(blueprint$contrasts$treatment$given, "contr.treatment")
  expect_match(deparse1(blueprint$predvars[[2]]), "coefs")
  expect_length(blueprint$constants, 0)
  expect_equal(blueprint$random, list(list(bar = 1L, columns = 1:2)))
})
