# The findings as told in Hoffart (2014), as estimates on the synthetic data. Alliance and symptoms are lagged by a week and detrended
# (Curran & Bauer 2011): within = deviation from the person's own line, between = level of that line at the first week. In the row of week 1
# the lagged value is that of week 0, so the level at the start is that of the line of lagged values at week 1.

hoffart_models <- function() {
  within <- function(x) c(hlm = paste0("within(lagged(", x, "), detrend = TRUE)"), lme4 = paste0(x, "_lag1_within"))
  between <- function(x) c(hlm = paste0("between(lagged(", x, "), detrend = TRUE, at = 1)"), lme4 = paste0(x, "_lag1_between"))
  one <- function(outcome, split, ...) {
    formula <- paste0(outcome, " ~ ", paste0(...), " + (1 + week | patient)")
    list(hlm = formula[[1L]], lme4 = formula[[2L]], split = lapply(split, lagged_value, at = 1))
  }
  alone <- function(part) one("ptsd", part, "week + ", within(part))
  growth <- function(part) one("ptsd", part, "week * ", between(part))
  reverse <- function(part) one(part, "ptsd", "week + ", within("ptsd"))
  reverse_past <- function(part) one(part, c(part, "ptsd"), "week + ", within(part), " + ", within("ptsd"))
  list(
    task = one("ptsd", "task", "week + ", within("task"), " + ", between("task")),
    `task, without` = one("ptsd", "task", "week + ", between("task")),
    treatment = one("ptsd", "task", "week + ", within("task"), " * treatment"),
    `initial task` = one("ptsd", "task", "week + ", within("task"), " * ", between("task")),
    `growth, task` = growth("task"), `growth, bond` = growth("bond"), `growth, goal` = growth("goal"),
    goal = alone("goal"), bond = alone("bond"),
    joint = one(
      "ptsd", c("task", "goal", "bond"), "week * (", between("task"), " + ", between("goal"), " + ", between("bond"), ") + ",
      within("task"), " * (treatment + ", between("task"), ") + ", within("goal"), " + ", within("bond")
    ),
    `reverse, task` = reverse("task"), `reverse, bond` = reverse("bond"),
    `reverse, task, past` = reverse_past("task"), `reverse, bond, past` = reverse_past("bond")
  )
}

# What is expected of each term. Terms of a product stand in the order in which lme4 names them.
hoffart_expected <- function() {
  row <- function(id, analysis, term, expected, statement, published = TRUE) {
    data.frame(
      id = id, statement = statement, published = published, analysis = analysis, term = term, quantity = "coefficient",
      expected = expected
    )
  }
  task <- "Better task agreement than the own line is followed by fewer symptoms a week later"
  treatment <- "The within-person task effect is stronger in imaginal exposure than in imagery rescripting"
  initial <- "The within-person task effect is stronger in those with higher initial task agreement"
  growth <- function(x) paste("A higher initial", x, "goes with a steeper decline of symptoms")
  goal <- "Goal agreement is unrelated to symptoms"
  reverse <- function(x) paste("Symptoms do not predict", x, "a week later")
  rbind(
    row("task.within", "task", "task_lag1_within", "negative", task),
    row("task.treatment", "treatment", "task_lag1_within:treatmentIE", "negative", treatment),
    row("task.initial", "initial task", "task_lag1_within:task_lag1_between", "negative", initial),
    row("growth.task", "growth, task", "week:task_lag1_between", "negative", growth("task agreement")),
    row("growth.bond", "growth, bond", "week:bond_lag1_between", "negative", growth("bond")),
    row("growth.goal", "growth, goal", "week:goal_lag1_between", "none", goal),
    row("goal.within", "goal", "goal_lag1_within", "none", goal),
    row("bond.within", "bond", "bond_lag1_within", "none", "No within-person effect of the bond is told of", FALSE),
    row("joint.treatment", "joint", "task_lag1_within:treatmentIE", "negative", treatment),
    row("joint.initial", "joint", "task_lag1_between:task_lag1_within", "negative", initial),
    row("joint.growth.task", "joint", "week:task_lag1_between", "negative", growth("task agreement")),
    row("joint.growth.bond", "joint", "week:bond_lag1_between", "negative", growth("bond")),
    row("joint.growth.goal", "joint", "week:goal_lag1_between", "none", goal),
    row("joint.goal", "joint", "goal_lag1_within", "none", goal),
    row("joint.bond", "joint", "bond_lag1_within", "none", "No within-person effect of the bond is told of", FALSE),
    row("reverse.task", "reverse, task", "ptsd_lag1_within", "none", reverse("task agreement")),
    row("reverse.bond", "reverse, bond", "ptsd_lag1_within", "none", reverse("the bond")),
    row("reverse.task.past", "reverse, task, past", "ptsd_lag1_within", "none", reverse("task agreement")),
    row("reverse.bond.past", "reverse, bond, past", "ptsd_lag1_within", "none", reverse("the bond"))
  )
}

with_lags <- function(d) {
  for (x in c("task", "goal", "bond", "ptsd")) d[[paste0(x, "_lag1")]] <- lag_by_hand(d[[x]], d$patient, d$week)
  d
}

# Share of the residual variance that the within-person task effect takes away (Raudenbush & Bryk 2002).
explained <- function(with, without) 1 - (stats::sigma(with) / stats::sigma(without))^2

# The first seed whose data show every finding clearly: p < .02 where one is expected, p > .25 where none is, and 3.5 to 4.5 % of the
# residual variance explained. Sizes and limits were settled after trial runs. Stops at the first analysis that fails.
find_seed <- function(from, limit = 1000L) {
  models <- hoffart_models()
  expected <- hoffart_expected()
  for (seed in seq(from, length.out = limit)) {
    set.seed(seed)
    if (shows_all(with_lags(simulate_hoffart()), models, expected)) return(seed)
  }
  stop("No seed found.", call. = FALSE)
}

shows_all <- function(d, models, expected) {
  fit <- function(analysis) fit_by_hand(models[[analysis]], d, "patient", "week", optimizers = "bobyqa")
  share <- explained(fit("task"), fit("task, without"))
  if (share < 0.035 || share >= 0.045) return(FALSE)
  for (analysis in unique(expected$analysis)) {
    fitted <- fit(analysis)
    for (i in which(expected$analysis == analysis)) {
      found <- coefficient(fitted, expected$term[i])
      clear <- if (expected$expected[i] == "none") found[["p"]] > 0.25 else found[["estimate"]] < 0 && found[["p"]] < 0.02
      if (!clear) return(FALSE)
    }
  }
  TRUE
}

publish_hoffart <- function(d, seed, path) {
  models <- hoffart_models()
  expected <- hoffart_expected()
  fits <- lapply(models, fit_by_hand, d = with_lags(d), id = "patient", time = "week")
  values <- t(mapply(function(analysis, term) coefficient(fits[[analysis]], term), expected$analysis, expected$term, USE.NAMES = FALSE))
  findings <- cbind(expected, values)
  findings$met <- is_found(findings$estimate, findings$p, findings$expected)
  share <- explained(fits$task, fits[["task, without"]])
  findings <- rbind(findings, data.frame(
    id = "task.explained", statement = "The within-person task effect explains about 4 % of the variance of the outcome", published = TRUE,
    analysis = "task", term = "task_lag1_within", quantity = "share of the residual variance", expected = "positive", estimate = share,
    se = NA, df = NA, t = NA, p = NA, met = round(share, 2L) == 0.04
  ))
  about <- paste(
    "Findings of Hoffart et al. (2013) as told in Hoffart (2014, SOJ Psychol), and what the SYNTHETIC data set hoffart2013 gives, computed with lme4 and",
    "lmerTest. But for the 4 % the telling has signs and no sizes: the sizes are assumptions of the wbhlm project. Seed", paste0(seed, ","),
    "the first from 2013 whose data show every finding (p < .02, absent ones p > .25, 3.5 to 4.5 % explained). 'none' means p > .05.",
    "df and p: Satterthwaite."
  )
  write_findings(about, seed, models, findings, assumed, path)
  findings
}
