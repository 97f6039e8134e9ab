notes_of <- function(...) paste(simple_slopes(...)$notes, collapse = " ")

test_that("the random slope of the predictor is mentioned with its SD", {
  fit <- fit_simple_moderated()
  sd <- as.data.frame(VarCorr(fit))
  sd <- sd$sdcor[which(sd$var1 == "alliance_within" & is.na(sd$var2))]
  expect_match(notes_of(fit, alliance_within, severity), paste0("between patients \\(random slope, SD ", format(sd, digits = 3)))
})

test_that("a cross-level interaction without that random slope is pointed out, others are not", {
  d <- probe_therapies()
  fit <- hlm(distress ~ within(alliance) * severity * session + (1 | patient), d)
  expect_match(notes_of(fit, alliance_within, severity), "no random slope of alliance_within between patients.*Heisig")
  expect_no_match(notes_of(fit, alliance_within, session), "Heisig")
  expect_no_match(notes_of(fit, severity, alliance_within), "Heisig")
  expect_no_match(notes_of(fit_simple_moderated(), alliance_within, severity), "Heisig")
  main <- hlm(distress ~ within(alliance) + severity + (1 | patient), d)
  expect_no_match(notes_of(main, alliance_within, severity), "Heisig")
})

test_that("what else the slope depends on, and where it is held", {
  d <- probe_therapies()
  fit <- hlm(distress ~ within(alliance) * severity + within(alliance) * group + within(alliance):mood + session + (1 | patient), d)
  said <- notes_of(fit, alliance_within, severity)
  expect_match(said, "depends on group; it is averaged over its categories")
  expect_match(said, paste0("depends on mood; it is taken at its mean, ", format(mean(d$mood), digits = 4)), fixed = TRUE)
  expect_no_match(said, "session")
  expect_no_match(notes_of(fit, alliance_within, severity, group), "depends on group")
  held <- simple_slopes(fit, alliance_within, severity, at = list(severity = 20, mood = 1, group = "PDT"))
  b <- fixef(fit)
  expect_equal(held$slopes$Estimate, unname(
    b["alliance_within"] + 20 * b["alliance_within:severity"] + b["alliance_within:groupPDT"] + b["alliance_within:mood"]
  ))
})

test_that("means that are held count each unit once", {
  d <- probe_therapies()
  d <- d[!(d$severity > 20 & d$session > 1), ]
  fit <- hlm(distress ~ mood * severity + mood * group + (1 | patient), d)
  person <- d$severity[!duplicated(d$patient)]
  b <- fixef(fit)
  found <- simple_slopes(fit, mood, group, at = "CBT")$slopes$Estimate
  expect_equal(found, unname(b["mood"] + mean(person) * b["mood:severity"]))
  expect_gt(abs(mean(person) - mean(d$severity)), 0.5)
})
