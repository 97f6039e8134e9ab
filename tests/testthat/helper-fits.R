# Reference models, each fitted once per session by us and by lme4/lmerTest, and only when a test asks for it.

fits <- new.env()

fit_once <- function(key, make) {
  if (is.null(fits[[key]])) assign(key, make(), envir = fits)
  fits[[key]]
}

tight <- function() lme4::lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-11, maxfun = 1e5))

lmer_tight <- function(formula, data, ...) {
  suppressMessages(suppressWarnings(lmerTest::lmer(formula, data, control = tight(), ...)))
}

fit_sleep <- function() fit_once("sleep", function() hlm(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))
ref_sleep <- function() fit_once("sleep_ref", function() lmer_tight(Reaction ~ Days + (Days | Subject), lme4::sleepstudy))

fit_pastes <- function() fit_once("pastes", function() hlm(strength ~ 1 + (1 | batch / cask), lme4::Pastes))
ref_pastes <- function() fit_once("pastes_ref", function() lmer_tight(strength ~ 1 + (1 | batch / cask), lme4::Pastes))

fit_penicillin <- function() {
  fit_once("penicillin", function() hlm(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin))
}
ref_penicillin <- function() {
  fit_once("penicillin_ref", function() lmer_tight(diameter ~ 1 + (1 | plate) + (1 | sample), lme4::Penicillin))
}

# Factors, an ordered factor and their interaction.
fit_cake <- function() {
  fit_once("cake", function() hlm(angle ~ recipe * temperature + (1 | recipe:replicate), lme4::cake))
}
ref_cake <- function() {
  fit_once("cake_ref", function() lmer_tight(angle ~ recipe * temperature + (1 | recipe:replicate), lme4::cake))
}

# Uncorrelated effects, weights, an offset and missing values, padded by na.exclude.
sleep_gaps <- function() {
  data <- lme4::sleepstudy
  data$w <- rep(c(1, 2, 0.5), length.out = nrow(data))
  data$known <- rep(c(0, 5), length.out = nrow(data))
  data$Reaction[c(4, 50, 51)] <- NA
  data
}
fit_gaps <- function() {
  fit_once("gaps", function() {
    hlm(Reaction ~ Days + (Days || Subject), sleep_gaps(), weights = w, offset = known, na.action = na.exclude)
  })
}
ref_gaps <- function() {
  fit_once("gaps_ref", function() {
    data <- sleep_gaps()
    suppressMessages(lmerTest::lmer(
      Reaction ~ Days + (Days || Subject), data, weights = w, offset = known, na.action = na.exclude, control = tight()
    ))
  })
}

# Synthetic: 40 patients of 8 therapists, 6 sessions, two sessions missing.
therapy_data <- function() {
  fit_once("therapy_data", function() {
    withr::with_seed(20, {
      d <- data.frame(patient = rep(1:40, each = 6), session = rep(1:6, 40), therapist = rep(1:8, each = 30))
      d$alliance <- stats::rnorm(40)[d$patient] + stats::rnorm(240)
      d$female <- rep(rep(0:1, 20), each = 6)
      d$distress <- 20 - d$alliance - 0.5 * stats::rnorm(40)[d$patient] + stats::rnorm(8)[d$therapist] +
        stats::rnorm(40)[d$patient] * d$alliance * 0.6 + stats::rnorm(240)
      d$distress[c(3, 77)] <- NA
      d
    })
  })
}
fit_therapy <- function() {
  fit_once("therapy", function() {
    hlm(
      distress ~ session + female + wb(alliance) + within(alliance):between(alliance) + (1 + within(alliance) | patient) +
        (1 | therapist),
      therapy_data(), id = patient, time = session
    )
  })
}

every_fit <- function() {
  list(
    sleep = fit_sleep(), pastes = fit_pastes(), penicillin = fit_penicillin(), cake = fit_cake(), gaps = fit_gaps(),
    therapy = fit_therapy()
  )
}

every_pair <- function() {
  list(
    sleep = list(fit_sleep(), ref_sleep()), pastes = list(fit_pastes(), ref_pastes()),
    penicillin = list(fit_penicillin(), ref_penicillin()), cake = list(fit_cake(), ref_cake()), gaps = list(fit_gaps(), ref_gaps())
  )
}

skip_without_lme4 <- function() {
  skip_if_not_installed("lme4")
  skip_if_not_installed("lmerTest")
}
