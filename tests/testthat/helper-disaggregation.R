# Reference values of compare_disaggregation() and the fits that they belong to.

disaggregation_fixture <- function() fit_once("disaggregation_fixture", function() read_fixture(test_path("fixtures", "compare-disaggregation.json")))

weighted_implement <- function() {
  d <- wbhlm::implement
  d$w <- 1 + (seq_len(nrow(d)) %% 3) / 2
  d$known <- 0.1 * sin(seq_len(nrow(d)))
  d$female <- factor(ifelse(d$id %% 3 == 0, "yes", "no"))
  d
}

wage_fit <- function(d) hlm(y ~ session + wb(x) + (1 | id), d, time = session)

# NULL where the whole data set is not on this machine.
wage_data <- function() {
  path <- Filter(file.exists, test_path(c("../../..", "../../../.."), "shared", "data", "WageData.csv.gz"))
  if (!length(path)) return(NULL)
  d <- utils::read.csv(path[[1L]])
  data.frame(id = d$id, session = d$t, x = d$wks, y = d$lwage)
}

comparison_fits <- list(
  intercept = function() hlm(bai ~ session + wb(wai) + (1 | id), wbhlm::implement, time = session),
  `slope-ml` = function() hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), wbhlm::implement, time = session, REML = FALSE),
  `three-levels` = function() hlm(bai ~ session + wb(wai, level = "therapist") + (1 | therapist / id), wbhlm::implement, time = session),
  `weights-moderator` = function() {
    hlm(bai ~ session + wb(wai) * female + (1 | id), weighted_implement(), time = session, weights = w, offset = known)
  },
  `wages-extract` = function() wage_fit(as.data.frame(disaggregation_fixture()$wages[c("id", "session", "x", "y")]))
)

# Every effect of a reference variant against ours: estimates and standard errors to 1e-6 of a standard error.
expect_variant <- function(comparison, name, reference) {
  row <- comparison$specifications[comparison$specifications$variant == name, ]
  expect_identical(row$rows, as.integer(reference$rows))
  expect_identical(row$persons, as.integer(reference$persons))
  effects <- comparison$effects[comparison$effects$variant == name, ]
  wanted <- setdiff(names(reference), c("rows", "persons"))
  expect_setequal(effects$effect, wanted)
  for (effect in wanted) {
    ours <- effects[effects$effect == effect, ]
    theirs <- reference[[effect]]
    label <- paste(name, effect)
    expect_within(ours$estimate, theirs$estimate, 1e-6 * theirs$se, label)
    expect_within(ours$std.error, theirs$se, 1e-6 * theirs$se, paste(label, "SE"))
    expect_within(ours$df, theirs$df, 1e-5 * theirs$df, paste(label, "df"))
    expect_within(c(ours$conf.low, ours$conf.high), c(theirs$lower, theirs$upper), 1e-5 * theirs$se, paste(label, "limits"))
  }
}
