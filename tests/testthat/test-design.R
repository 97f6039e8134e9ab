# X, Z and the grouping factors against lme4::lFormula().
expect_lme4_design <- function(formula, data, ...) {
  skip_if_not_installed("lme4")
  theirs <- suppressMessages(lme4::lFormula(formula, data, ...))
  fit <- front(formula, data, ...)
  label <- deparse1(formula)
  x <- design_matrix_x(fit)
  expect_equal(x[, colnames(theirs$X), drop = FALSE], theirs$X, ignore_attr = TRUE, tolerance = 1e-14, label = label)
  expect_equal(as.matrix(design_matrix_z(fit)), as.matrix(Matrix::t(theirs$reTrms$Zt)),
    ignore_attr = TRUE, tolerance = 1e-14, label = label
  )
  expect_equal(colnames(design_matrix_z(fit)), rownames(theirs$reTrms$Zt))
  names <- lapply(fit$design$terms, `[[`, "names")
  expect_equal(names, unname(theirs$reTrms$cnms), label = label)
  groups <- vapply(fit$design$groups, `[[`, "", "name")
  expect_equal(groups, names(theirs$reTrms$flist), label = label)
  for (group in fit$design$groups) {
    factor <- theirs$reTrms$flist[[group$name]]
    expect_identical(group$levels, levels(factor))
    expect_identical(group$codes, as.vector(unclass(factor)), ignore_attr = TRUE)
  }
  expect_equal(fit$design$y, as.double(stats::model.response(theirs$fr)), ignore_attr = TRUE)
}

test_that("lme4's data sets give lme4's design", {
  skip_if_not_installed("lme4")
  expect_lme4_design(Reaction ~ Days + (Days | Subject), lme4::sleepstudy)
  expect_lme4_design(Reaction ~ Days + (1 | Subject) + (0 + Days | Subject), lme4::sleepstudy)
  expect_lme4_design(Reaction ~ Days + (Days || Subject), lme4::sleepstudy)
  expect_lme4_design(Reaction ~ poly(Days, 2) + (poly(Days, 2) | Subject), lme4::sleepstudy)
  expect_lme4_design(log(Reaction) ~ splines::ns(Days, 3) + (I(Days^2) + Days | Subject), lme4::sleepstudy)
  expect_lme4_design(Yield ~ 1 + (1 | Batch), lme4::Dyestuff)
  expect_lme4_design(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin)
  expect_lme4_design(strength ~ 1 + (1 | batch / cask), lme4::Pastes)
  expect_lme4_design(strength ~ 1 + (1 | sample) + (1 | batch), lme4::Pastes)
  expect_lme4_design(strength ~ 1 + (1 | batch) + (1 | sample), lme4::Pastes)
  expect_lme4_design(angle ~ recipe * temperature + (1 | recipe:replicate), lme4::cake)
  expect_lme4_design(angle ~ recipe + temp + (0 + recipe | replicate), lme4::cake)
  expect_lme4_design(angle ~ 0 + recipe:temperature + (1 + temp || recipe:replicate), lme4::cake)
})

test_that("crossed factors of a large set, cut", {
  skip_if_not_installed("lme4")
  small <- lme4::InstEval[seq(1, 73421, by = 25), ]
  expect_lme4_design(y ~ service * dept + (1 | s) + (1 | d), small)
  expect_lme4_design(y ~ studage + lectage + (1 | s) + (service | d), small)
})

test_that("factors, orders and splines in nlme's data", {
  expect_lme4_design(distance ~ age * Sex + (age | Subject), as.data.frame(nlme::Orthodont))
  expect_lme4_design(weight ~ Diet * splines::ns(Time, 2) + (Time | Rat), as.data.frame(nlme::BodyWeight))
  expect_lme4_design(score ~ Machine + (Machine | Worker), as.data.frame(nlme::Machines))
  expect_lme4_design(score ~ Machine + (1 | Worker / Machine), as.data.frame(nlme::Machines))
  expect_lme4_design(pixel ~ poly(day, 2) + (day | Dog) + (1 | Side:Dog), as.data.frame(nlme::Pixel))
  expect_lme4_design(Thickness ~ 1 + (1 | Lot / Wafer), as.data.frame(nlme::Oxide))
})

test_that("missing values and unused levels are handled as lme4 does", {
  d <- lme4::sleepstudy
  d$Reaction[c(3, 50)] <- NA
  d$Days[7] <- NA
  d <- d[d$Subject != "308", ]
  expect_lme4_design(Reaction ~ scale(Days) + (Days | Subject), d)
})

test_that("weights and offset are passed on", {
  d <- synthetic_sessions()
  fit <- front(y ~ x + (1 | patient), d, inputs = list(weights = d$session, offset = d$w))
  expect_equal(fit$design$weights, as.double(d$session))
  expect_equal(fit$design$offset, d$w)
  expect_equal(fit$data[["(weights)"]], as.double(d$session))
})

test_that("columns shared by X and Z exist once", {
  d <- synthetic_sessions()
  fit <- front(y ~ session + wb(x) + (1 + within(x) + session | therapist / patient), d)
  expect_length(fit$design$columns, 3)
  expect_equal(fit$design$x, 0:3)
  expect_equal(fit$design$terms[[1]]$columns, c(0L, 2L, 1L))
})

test_that("the design has the types of the contract", {
  fit <- front(y ~ session + wb(x) + (1 + within(x) | therapist / patient), synthetic_sessions())
  design <- fit$design
  expect_s3_class(design, "hlm_design")
  expect_type(design$y, "double")
  expect_type(design$x, "integer")
  expect_type(design$x_assign, "integer")
  for (column in design$columns) expect_true(is.double(column) && is.null(attributes(column)))
  for (group in design$groups) {
    expect_type(group$codes, "integer")
    expect_setequal(unique(group$codes), seq_along(group$levels))
  }
  for (term in design$terms) expect_type(term$columns, "integer")
})

test_that("(x || g) separates all columns, those of a factor too", {
  d <- synthetic_sessions()
  fit <- front(y ~ 1 + (treatment + session || therapist), d)
  expect_equal(
    vapply(fit$design$terms, `[[`, "", "label"),
    c("1 | therapist", "0 + treatmentcontrol | therapist", "0 + session | therapist")
  )
  expect_equal(lengths(lapply(fit$design$terms, `[[`, "columns")), c(1, 1, 1))
})

test_that("within and between stand in random parts of three levels", {
  d <- synthetic_sessions()
  fit <- front(y ~ wb(x) + (1 + within(x) | therapist / patient), d)
  z <- as.matrix(design_matrix_z(fit))
  within <- d$x - ave(d$x, d$patient)
  person <- factor(d$patient):factor(d$therapist)
  person <- droplevels(person)
  expect_equal(rowSums(z[, 2 * seq_len(nlevels(person))]), within, ignore_attr = TRUE)
})
