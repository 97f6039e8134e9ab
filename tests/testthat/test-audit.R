test_that("there is nothing to raise about the clean data, nor about its model", {
  clean <- audit_call(audit_clean())
  expect_length(clean$findings, 0L)
  expect_output(print(clean), "Nothing to raise")
  fitted <- audit(audit_fit(), level = therapist)
  expect_length(fitted$findings, 0L)
})

test_that("every check has a case, and every case a check", {
  expect_setequal(c(names(audit_data_cases()), names(audit_fit_cases())), names(audit_checks()))
})

test_that("each change of the clean data is raised, and nothing else", {
  cases <- audit_data_cases()
  for (id in names(cases)) {
    case <- cases[[id]]
    arguments <- c(list(changed(case$change)), case$call)
    # `level = NULL` in a case leaves the argument out
    found <- suppressWarnings(suppressMessages(do.call(audit_call, arguments)))
    expect_setequal(names(found$findings), c(id, case$also))
    finding <- found$findings[[id]]
    if (is.null(finding)) next
    for (field in c("title", "evidence", "what_to_do", "reference")) expect_match(finding[[field]], "[a-z]", info = paste(id, field))
    expect_match(finding$reference, "[12][0-9]{3}", info = id)
    expect_true(finding$severity %in% audit_severities(), info = id)
    expect_output(print(found), substr(finding$title, 1L, 20L), fixed = TRUE)
  }
})

test_that("each change that a model shows is raised in the audit of the model", {
  cases <- audit_fit_cases()
  for (id in names(cases)) {
    case <- cases[[id]]
    found <- suppressWarnings(suppressMessages(audit(audit_fit(changed(case$change), case$formula))))
    expect_true(id %in% names(found$findings), info = paste(id, ":", toString(names(found$findings))))
  }
})

test_that("findings come in the order of their weight", {
  found <- suppressWarnings(audit_call(changed(function(d) {
    d$x[sample(720, 72)] <- NA
    d$session <- d$session + 1975
    rbind(d, d[5, ])
  })))
  severity <- as.data.frame(found)$severity
  expect_false(is.unsorted(as.integer(severity)))
  expect_gte(nrow(as.data.frame(found)), 3L)
})

test_that("the audit of a real trial reads well", {
  expect_snapshot(audit(implement, y = bai, x = wai, id = id, time = session, level = therapist))
})

test_that("a fit is audited from what it keeps", {
  fit <- hlm(bai ~ session + wb(lagged(wai)) + (1 + session | id), implement, time = session)
  saved <- unserialize(serialize(fit, NULL))
  expect_identical(as.data.frame(audit(saved)), as.data.frame(audit(fit)))
  expect_s3_class(tidy(audit(fit)), "data.frame")
})

test_that("bad input is named", {
  expect_error(audit(1), "data frame or a model", class = "hlm_error_data")
  expect_error(audit(implement, y = bai), "id", class = "hlm_error_data")
  expect_error(audit(implement, y = nope, id = id), "nope", class = "hlm_error_data")
  expect_error(audit(implement, y = bai, x = wai, id = id, time = session, scale = c(5, 1)), class = "hlm_error_data")
  expect_error(audit(implement, y = bai, x = wai, id = id, time = session, scale = list(nope = c(1, 2))), "nope", class = "hlm_error_data")
  expect_error(audit(implement[0, ], y = bai, id = id), "no rows", class = "hlm_error_data")
  expect_error(audit(transform(implement, bai = NA_real_), y = bai, id = id), "missing in every row", class = "hlm_error_data")
})
