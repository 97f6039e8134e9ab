# What `make demo` shows: a real trial, then the tables of a published study on synthetic data. Writes no files.

options(width = 100)
suppressPackageStartupMessages(library(wbhlm))
source("vignettes/published.R")

heading <- function(...) cat("\n", strrep("=", 88), "\n", ..., "\n", strrep("=", 88), "\n\n", sep = "")
say <- function(...) cat(strwrap(paste0(...), width = 88), sep = "\n")
say_item <- function(...) cat(strwrap(paste0("- ", ...), width = 88, exdent = 2), sep = "\n")
number <- function(x, digits = 2) formatC(x, format = "f", digits = digits)

# One sentence from the numbers: direction, size, uncertainty, and what follows from it.
sentence <- function(fit, term, condition) {
  limits <- confint(fit, method = "Wald")[term, ]
  estimate <- fixef(fit)[[term]]
  verdict <- if (limits[[1]] > 0 || limits[[2]] < 0) {
    "The interval excludes zero."
  } else {
    "The interval includes zero: these data show no clear effect in either direction."
  }
  paste0(
    condition, ", anxiety before the next session was ", number(abs(estimate)), " points ", if (estimate < 0) "lower" else "higher",
    " on average (95 % confidence interval ", number(limits[[1]]), " to ", number(limits[[2]]), "). ", verdict
  )
}

show_trial <- function() {
  heading("1. REAL DATA: alliance and anxiety, session by session (IMPLEMENT trial)")
  say(
    "57 patients with generalised anxiety disorder, 13 therapists, 15 sessions of cognitive-behavioural therapy (Flueckiger et al. 2016). ",
    "Patients rated anxiety (bai) BEFORE and the alliance (wai) AFTER each session. Question: when a patient rates the alliance higher ",
    "than usual for that patient, is the patient less anxious before the next session? lagged(wai) is the alliance of the session before; ",
    "wb() splits it into a within-patient and a between-patient part."
  )
  model <- quote(hlm(bai ~ session + wb(lagged(wai)) + (1 + session | id), data = implement, time = session))
  cat("\n  fit <- ", deparse1(model), "\n  summary(fit)\n\n", sep = "")
  fit <- eval(model)
  print(summary(fit))
  say_in_words(fit)
}

say_in_words <- function(fit) {
  cat("\nIn words\n")
  say_item("Within patients: ", sentence(
    fit, "wai_lag1_within", "after a session in which a patient rated the alliance one point higher than usual for that patient"
  ))
  say_item("Between patients: ", sentence(
    fit, "wai_lag1_between", "in patients who rated the alliance one point higher than other patients did"
  ))
  slope <- fixef(fit)[["session"]]
  sessions <- range(model.frame(fit)$session)
  say_item(
    "Time: anxiety ", if (slope < 0) "fell" else "rose", " by ", number(abs(slope), 3), " points a session on average, ",
    number(diff(sessions) * abs(slope)), " points from session ", sessions[1], " to session ", sessions[2],
    "; patients differed in this (SD ", number(attr(VarCorr(fit)$id, "stddev")[["session"]], 3), ")."
  )
  shares <- icc(hlm(bai ~ 1 + (1 | therapist / id), data = implement))
  say_item(
    "Therapists: of the variance of anxiety, ", number(100 * shares$icc[1], 0), " % lies between patients, ", number(100 * shares$icc[2], 0),
    " % between therapists and ", number(100 * shares$icc[3], 0), " % between the sessions of a patient (model without predictors)."
  )
}

show_model <- function(title, analysis, formula, found, test) {
  cat("\n", title, if (nzchar(formula)) paste0("\n  hlm(", formula, ")"), "\n\n", sep = "")
  rows <- compare_figures(analysis, found)
  estimates <- if (analysis != "descriptives") estimate_table(rows)
  if (NROW(estimates)) {
    print_plain(estimates)
  }
  others <- other_table(rows)
  if (nrow(others)) {
    if (NROW(estimates)) cat("\n")
    print_plain(others)
  }
  rows
}

# Text left, numbers right.
print_plain <- function(table) {
  left <- names(table) %in% c("Term", "Source", "Figure", "Differs", "Agrees")
  columns <- Map(function(column, name, left) {
    formatC(c(name, column), width = max(nchar(c(name, column))), flag = if (left) "-" else "")
  }, table, names(table), left)
  cat(paste0("  ", trimws(do.call(paste, c(unname(columns), sep = "  ")), "right")), sep = "\n")
}

show_article <- function() {
  heading("2. SYNTHETIC DATA: the tables of Manubens et al. (2023), published and computed here")
  say(
    "Alliance negotiation (ans) and symptoms (oq) of 96 patients over four sessions. The raw data of the study are not public: the data set ",
    "manubens2023 is SYNTHETIC, built so that the article's models return its figures. It checks the method and says nothing new about therapy."
  )
  d <- manubens2023
  fit <- function(formula) hlm(formula, data = d)
  null <- fit(oq ~ 1 + (1 | patient))
  levels <- fit(oq ~ 1 + (1 | therapist / patient))
  time <- fit(oq ~ session + (session | patient))
  hybrid <- fit(oq ~ wb(ans) + (1 | patient))
  controlled <- fit(oq ~ session + wb(ans) + (1 + within(ans) | patient))
  additive <- fit(oq ~ wb(ans) + (1 + within(ans) | patient))
  product <- fit(oq ~ within(ans) * between(ans) + (1 + within(ans) | patient))
  raw <- data.frame(
    term = c("ans", "ans", "oq", "oq", "ans, oq"), quantity = c("mean", "SD", "mean", "SD", "correlation"),
    here = c(mean(d$ans), sd(d$ans), mean(d$oq), sd(d$oq), cor(d$ans, d$oq))
  )
  text <- function(model) deparse1(formula(model))
  rows <- rbind(
    show_model("Means, standard deviations, correlation", "descriptives", "", raw),
    show_model("Unconditional model", "unconditional", text(null), figures_of(null)),
    show_model("Three levels: patients within therapists", "three-level", text(levels), figures_of(levels)),
    show_model("Time", "time", text(time), figures_of(time, anova(null, time))),
    show_model("Hybrid model: within and between patients", "hybrid", text(hybrid), figures_of(hybrid, anova(null, hybrid))),
    show_model("Hybrid model, controlling for time", "detrended", text(controlled), figures_of(controlled)),
    show_model(
      "Interactive model: does the between part change the within effect?", "interactive", text(product),
      figures_of(product, anova(additive, product))
    )
  )
  cat("\n")
  say(
    sum(rows$agrees), " of ", nrow(rows), " figures agree within the declared tolerance (estimates and SEs 0.005, t 0.2, chi-square 5 %, df 1). ",
    "\"Differs\" names the others. Some printed figures contradict each other, so that no data can return them all; the vignette ",
    "\"alliance-negotiation\" goes through them one by one."
  )
}

show_next <- function() {
  heading("3. YOUR OWN DATA")
  say("One row per patient and session, in a CSV file with the names of the columns in the first line:")
  cat(
    "\n  library(wbhlm, lib.loc = \".lib\")                  # in R, started in this folder",
    "  sessions <- read.csv(\"my-sessions.csv\")",
    "  fit <- hlm(distress ~ session + wb(alliance) + (1 | patient), data = sessions, time = session)",
    "  summary(fit)",
    "  plot_within_between(fit)\n",
    sep = "\n"
  )
  say("To read on (folder vignettes/):")
  cat(
    "  get-started            your own CSV, step by step, and what the output means",
    "  real-trial             the trial above, from audit to conclusion: both directions, slopes, therapists",
    "  session-by-session     the analysis of Falkenstroem et al. (2013), on synthetic data",
    "  alliance-components    the analysis of Hoffart et al. (2013), on synthetic data",
    "  alliance-negotiation   Manubens et al. (2023) from the data to the last table, with plots",
    "  power                  how many patients, how many sessions: planning a study",
    "  which-df               which degrees of freedom and intervals to trust",
    "  for-lme4-users         what is the same, what differs and why",
    "  benchmarks             time and memory against other programs",
    "  algorithms             every formula, with its source",
    "Help in R: ?hlm\n",
    sep = "\n"
  )
}

show_trial()
show_article()
show_next()
