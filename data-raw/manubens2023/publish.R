# The judgement on the finished data set: every figure by lme4 and lmerTest, beside the published one.

# Models by analysis, in lme4's terms and in this package's. All by REML; likelihood-ratio tests refit by ML.
paper_models <- list(
  unconditional = c(lme4 = "oq ~ 1 + (1 | patient)", hlm = "oq ~ 1 + (1 | patient)"),
  `three-level` = c(lme4 = "oq ~ 1 + (1 | therapist/patient)", hlm = "oq ~ 1 + (1 | therapist/patient)"),
  time = c(lme4 = "oq ~ session + (session | patient)", hlm = "oq ~ session + (session | patient)"),
  hybrid = c(lme4 = "oq ~ ans_within + ans_between + (1 | patient)", hlm = "oq ~ wb(ans) + (1 | patient)"),
  detrended = c(
    lme4 = "oq ~ session + ans_within + ans_between + (1 + ans_within | patient)",
    hlm = "oq ~ session + wb(ans) + (1 + within(ans) | patient)"
  ),
  interactive = c(
    lme4 = "oq ~ ans_within * ans_between + (1 + ans_within | patient)",
    hlm = "oq ~ within(ans) * between(ans) + (1 + within(ans) | patient)"
  ),
  additive = c(
    lme4 = "oq ~ ans_within + ans_between + (1 + ans_within | patient)",
    hlm = "oq ~ wb(ans) + (1 + within(ans) | patient)"
  )
)

lme4_fits <- function(d) {
  x <- decompose(d$ans, d$patient)
  d$ans_within <- x$within
  d$ans_between <- x$between
  lapply(paper_models, function(f) lmerTest::lmer(stats::as.formula(f[["lme4"]]), data = d))
}

lme4_icc <- function(fit, group) {
  v <- as.data.frame(lme4::VarCorr(fit))
  sum(v$vcov[v$grp == group]) / sum(v$vcov)
}

# One value per row of published.csv.
lme4_figures <- function(d, published) {
  fits <- lme4_fits(d)
  tables <- lapply(fits, function(f) stats::coef(summary(f)))
  lrt <- function(small, large) {
    a <- suppressMessages(stats::anova(fits[[small]], fits[[large]]))
    c(chisq = a$Chisq[2], p = a[["Pr(>Chisq)"]][2])
  }
  tests <- list(
    time = lrt("unconditional", "time"), hybrid = lrt("unconditional", "hybrid"), interactive = lrt("additive", "interactive")
  )
  described <- c(
    ans.m = mean(d$ans), ans.sd = stats::sd(d$ans), oq.m = mean(d$oq), oq.sd = stats::sd(d$oq), r = stats::cor(d$ans, d$oq),
    icc = lme4_icc(fits$unconditional, "patient"), icc.therapist = lme4_icc(fits[["three-level"]], "therapist")
  )
  value <- function(id, analysis, term, quantity) {
    if (id %in% names(described)) return(described[[id]])
    if (startsWith(term, "LRT")) return(tests[[analysis]][[if (startsWith(quantity, "chi2")) "chisq" else "p"]])
    row <- tables[[analysis]][term, ]
    switch(quantity,
      estimate = row[["Estimate"]], SE = row[["Std. Error"]], df = row[["df"]], t = row[["t value"]], p = row[["Pr(>|t|)"]],
      `CI lower` = row[["Estimate"]] - stats::qnorm(0.975) * row[["Std. Error"]],
      `CI upper` = row[["Estimate"]] + stats::qnorm(0.975) * row[["Std. Error"]]
    )
  }
  unname(mapply(value, published$id, published$analysis, published$term, published$quantity))
}

is_met <- function(value, published, tolerance, quantity) {
  below <- grepl("below", quantity)
  ifelse(below, value < published, abs(value - published) <= tolerance + 1e-12)
}

# Printed in the paper, but not figures of a model fitted here.
reported_only <- list(
  oq_totals = list(
    mean = c(73.37, 65.83, 59.33, 53.74), sd = c(24.53, 30.03, 34.72, 36.47), overall = c(mean = 63.28, sd = 35.35),
    note = paste(
      "OQ-45 totals by session as printed. They fall by 6.5 points a session; the model's slope, -0.06 item points",
      "times 45 items, is 2.7. Their growing SDs suggest that missing totals were counted as zero. Not reproduced by `oq`."
    )
  ),
  power = list(
    between = 0.05, within = 0.05, interaction = 0.05,
    note = paste(
      "Printed as '1-beta = 0.05' for all three effects, although the text calls the first two appropriate and the",
      "interaction's very low."
    )
  ),
  cross_lagged = list(
    estimate = -0.11, se = 0.02, ci = c(0.17, 0.25), t = 22, df = 499,
    note = "Endnote: alliance on the next outcome. The printed interval and t do not fit the printed estimate."
  )
)

write_published <- function(d, published, path) {
  published$synthetic <- lme4_figures(d, published)
  published$met <- is_met(published$synthetic, published$published, published$tolerance, published$quantity)
  published$note[is.na(published$note)] <- ""
  keep <- c("id", "analysis", "term", "quantity", "published", "tolerance", "synthetic", "met", "note")
  out <- list(
    about = paste(
      "Figures printed by Manubens et al. (2023, doi 10.1002/jclp.23498) and the same figures of the SYNTHETIC data set manubens2023,",
      "computed with lme4 and lmerTest. CI: Wald with the normal quantile. df: Satterthwaite."
    ),
    software = list(
      R = as.character(getRversion()), lme4 = as.character(utils::packageVersion("lme4")),
      lmerTest = as.character(utils::packageVersion("lmerTest"))
    ),
    models = lapply(paper_models, as.list),
    figures = published[keep],
    reported_only = reported_only
  )
  jsonlite::write_json(out, path, pretty = TRUE, auto_unbox = TRUE, digits = 8, dataframe = "rows")
  published
}
