# implement, with the patients of every therapist numbered from 1
renumbered <- function() {
  d <- implement
  d$nr <- ave(d$id, d$therapist, FUN = function(x) match(x, unique(x)))
  d
}

test_that("ids used again by each therapist are noticed when written as crossed", {
  d <- renumbered()
  cnd <- expect_warning(
    front(bai ~ session + wb(wai) + (1 | therapist) + (1 | nr), d, time = "session"),
    class = "hlm_warning_data"
  )
  text <- gsub("\\s+", " ", conditionMessage(cnd))
  expect_match(text, "numbers of `nr` start again at 1 in nearly every `therapist`")
  expect_match(text, "there are 57, and the term to write is `(1 | therapist/nr)`", fixed = TRUE)
  expect_match(text, "takes `therapist` for the person")
  # the same with the roles named the other way round, with text ids, and without `time`
  expect_warning(front(bai ~ wai + (1 | nr) + (1 | therapist), d, id = "nr"), "takes `nr` for the person")
  d$nr <- paste0("P", d$nr)
  expect_warning(front(bai ~ wai + (1 | nr) + (1 | therapist), d), "start again at 1")
})

test_that("one warning per pair, and none when the formula is right", {
  d <- renumbered()
  expect_no_warning(front(bai ~ wai + (1 | therapist / nr), d, time = "session"))
  expect_no_warning(front(bai ~ wai + (1 | therapist) + (1 | id), d, time = "session"))
  expect_no_warning(front(bai ~ wai + (1 | therapist) + (1 | nr) + (1 | therapist:nr), d))
  warnings <- testthat::capture_warnings(front(bai ~ wai + (1 | therapist) + (1 | nr), d, time = "session"))
  expect_length(warnings, 1L)
})

test_that("when every therapist has equally many, a message says how the model reads it", {
  d <- synthetic_sessions()
  d$number <- (d$patient - 1) %% 3 + 1
  expect_message(
    expect_no_warning(front(y ~ 1 + (1 | therapist) + (1 | number), d)), "therapist/number",
    class = "hlm_message_data"
  )
  expect_silent(front(y ~ 1 + (1 | therapist / number), d))
  expect_silent(front(y ~ 1 + (1 | therapist) + (1 | patient), d))
})

test_that("truly crossed designs raise no warning", {
  expect_silent(front(bai ~ wai + (1 | session) + (1 | therapist), implement, time = "session"))
  expect_silent(front(bai ~ session + wai + (1 | session) + (1 | therapist), implement))
  expect_no_warning(front(bai ~ wai + (1 | session) + (1 | therapist), implement))
  skip_if_not_installed("lme4")
  expect_silent(front(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin))
  expect_silent(front(y ~ 1 + (1 | s) + (1 | d) + (1 | dept), lme4::InstEval[1:4000, ]))
  skip_if_not_installed("mlmRev")
  expect_silent(front(attain ~ sex + (1 | primary) + (1 | second), mlmRev::ScotsSec))
  # (the machines have effects of their own, so that nothing is left to estimate their variance from)
  machines <- as.data.frame(nlme::Machines)
  expect_silent(suppressWarnings(front(score ~ Machine + (1 | Worker) + (1 | Machine), machines), classes = "hlm_warning_design"))
})

test_that("the restart is found in many rows in any order, from a part of them", {
  # synthetic: 60 therapists with 5 to 14 patients each, 20 sessions
  set.seed(4)
  size <- rep(5:14, 6)
  d <- data.frame(therapist = rep(seq_along(size), size), nr = sequence(size))
  d <- d[rep(seq_len(nrow(d)), 20), ]
  d$y <- rnorm(nrow(d))
  expect_gt(nrow(d), 10000)
  right <- d[order(d$therapist, d$nr), ]
  expect_warning(front(y ~ 1 + (1 | therapist) + (1 | nr), right), "start again", class = "hlm_warning_data")
  expect_warning(front(y ~ 1 + (1 | therapist) + (1 | nr), d[sample(nrow(d)), ]), "start again", class = "hlm_warning_data")
  d$id <- interaction(d$therapist, d$nr, drop = TRUE)
  expect_silent(front(y ~ 1 + (1 | therapist) + (1 | id), d[sample(nrow(d)), ]))
})

test_that("with `time`, persons with several rows at one time are counted, with advice", {
  d <- renumbered()
  cnd <- expect_warning(front(bai ~ session + wai + (1 | nr), d, time = "session"), class = "hlm_warning_data")
  text <- gsub("\\s+", " ", conditionMessage(cnd))
  complete <- d[stats::complete.cases(d[c("bai", "wai")]), ]
  extra <- sum(duplicated(complete[c("nr", "session")]))
  expect_match(text, paste0("7 of 7 persons \\(`nr`\\) have more than one row for the same `session`, ", extra, " rows"))
  expect_match(text, "(1 | therapist/nr)", fixed = TRUE)
  expect_silent(front(bai ~ session + wai + (1 | nr), d))
  expect_silent(front(bai ~ session + wai + (1 | id), d, time = "session"))
})

test_that("one doubled row is one row too many, whatever the type of the time", {
  d <- synthetic_sessions()
  d <- rbind(d, d[5, ])
  times <- list(
    d$session, as.Date("2024-01-01") + d$session, as.POSIXct("2024-01-01", tz = "UTC") + 3600 * d$session,
    factor(d$session), as.character(d$session)
  )
  for (time in times) {
    d$when <- time
    expect_warning(front(y ~ x + (1 | patient), d, time = "when"), "1 of 12 persons \\(`patient`\\) has .* 1\\s+row\\s+too many")
    expect_silent(front(y ~ x + (1 | patient), d[-nrow(d), ], time = "when"))
  }
  d$when <- as.double(d$session)
  d$when[nrow(d)] <- NA
  expect_silent(front(y ~ x + (1 | patient), d, time = "when"))
})

test_that("labels that count are read as numbers, others are not", {
  expect_identical(label_numbers(c("P2", "P1", "P3")), c(2, 1, 3))
  expect_identical(label_numbers(c("01", "02")), c(1, 2))
  expect_null(label_numbers(c("a", "b")))
  expect_null(label_numbers(c("1034", "2077")))
  expect_null(label_numbers(c("A1", "B1")))
})
