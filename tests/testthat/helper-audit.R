# Synthetic data about which a methodologist would have nothing to say: 60 patients of 20 therapists, 12 sessions, no trend, no gap, no
# autocorrelation, half of the variance between persons; and, for each check of audit(), one change that it must notice.

audit_clean <- function() {
  fit_once("audit_clean", function() {
    withr::with_seed(404, {
      d <- data.frame(patient = rep(101:160, each = 12), session = rep(1:12, 60))
      p <- d$patient - 100
      d$therapist <- paste0("T", (p - 1) %/% 3 + 1)
      d$arm <- ifelse(p %% 2 == 0, "CBT", "STPP")
      d$age <- round(stats::rnorm(60, 40, 10))[p]
      level <- 4 + stats::rnorm(60)[p]
      d$x <- level + stats::rnorm(720)
      # the predictor acts one session later, as much within as between persons
      before <- ifelse(d$session == 1, level + stats::rnorm(720), c(NA, d$x[-720]))
      d$y <- 20 - 0.4 * before + stats::rnorm(20, 0, 0.9)[(p - 1) %/% 3 + 1] + stats::rnorm(60)[p] + stats::rnorm(720)
      d
    })
  })
}

audit_call <- function(data, ...) {
  arguments <- list(object = data, y = "y", x = "x", id = "patient", time = "session", level = "therapist", covariates = c("arm", "age"))
  arguments[names(list(...))] <- list(...)
  do.call(audit, arguments)
}

# Seeded, so that a change does not depend on what was drawn before.
changed <- function(change) withr::with_seed(7, change(audit_clean()))

person <- function(d) d$patient - 100

# One case per check: `change`, what is done to the clean data; `call`, arguments of audit() beside the usual ones (NULL leaves one out); `also`, findings
# that follow from the same change and cannot be had without it.
audit_case <- function(change, call = list(), also = character()) list(change = change, call = call, also = also)

audit_data_cases <- function() {
  c(audit_cases_rows(), audit_cases_missing(), audit_cases_levels(), audit_cases_values(), audit_cases_time())
}

audit_cases_rows <- function() {
  list(
    missing_ids = audit_case(function(d) {
      d$patient[3] <- NA
      d
    }),
    similar_ids = audit_case(function(d) {
      d$patient <- paste0("p", d$patient)
      d$patient[7:12] <- "P101 "
      d
    }),
    # every therapist numbers the patients from 1, but the id leaves the therapist out: 3 ids for 60 persons
    reused_ids = audit_case(function(d) {
      d$patient <- (person(d) - 1) %% 3 + 1
      d
    }, also = c("few_persons", "little_between", "row_order", "covariate_changes")),
    duplicate_rows = audit_case(function(d) d[c(1:5, 5:720), ]),
    text_times = audit_case(function(d) {
      d$session <- paste("session", d$session)
      d
    }),
    date_times = audit_case(function(d) {
      d$session <- as.Date("2020-01-01") + 7 * d$session
      d
    }),
    row_order = audit_case(function(d) d[order(d$patient, -d$session), ]),
    hand_lag = audit_case(function(d) {
      d$x_before <- c(NA, d$x[-720])
      d
    })
  )
}

audit_cases_missing <- function() {
  inside <- function(d) d$session > 1 & d$session < 12
  list(
    missing_values = audit_case(function(d) {
      d$x[sample(720, 72)] <- NA
      d
    }),
    schedule = audit_case(function(d) {
      d$x[d$session %in% c(3, 6)] <- NA
      d
    }),
    gaps = audit_case(function(d) d[-sample(which(inside(d)), 60), ]),
    gap_related = audit_case(function(d) {
      # sessions are missed after a bad one
      before <- c(NA, d$y[-720])
      d[!(inside(d) & before > mean(d$y) + 1.2), ]
    }, also = "gaps"),
    dropout = audit_case(function(d) {
      end <- rep(12, 60)
      end[sample(60, 15)] <- sample(5:9, 15, TRUE)
      d[d$session <= end[person(d)], ]
    }),
    dropout_related = audit_case(function(d) {
      # whoever has had a bad session leaves
      bad <- d$session > 3 & d$y > mean(d$y) + 3
      end <- tapply(ifelse(bad, d$session, 12), d$patient, min)
      d[d$session <= end[person(d)], ]
    }, also = "dropout")
  )
}

audit_cases_levels <- function() {
  list(
    few_groups = audit_case(function(d) {
      d$therapist <- paste0("T", (person(d) - 1) %/% 10)
      d
    }),
    singletons = audit_case(function(d) {
      d$therapist[person(d) == 60] <- "T21"
      d
    }),
    same_as_person = audit_case(function(d) {
      d$therapist <- paste0("T", person(d))
      d
    }),
    moved = audit_case(function(d) {
      d$therapist[1:6] <- "T2"
      d
    }),
    placeholder = audit_case(function(d) {
      d$therapist[d$therapist == "T4"] <- "unknown"
      d
    }),
    few_persons = audit_case(function(d) d[person(d) <= 24, ], list(level = NULL)),
    covariate_changes = audit_case(function(d) {
      d$age[5] <- d$age[5] + 1
      d
    }),
    small_categories = audit_case(function(d) {
      d$arm[person(d) %in% 1:3] <- "both"
      d
    })
  )
}

audit_cases_values <- function() {
  mean_of <- function(d, x) stats::ave(x, d$patient)
  list(
    level_collapse = audit_case(function(d) {
      d$x <- mean_of(d, d$x)
      d
    }),
    little_within = audit_case(function(d) {
      d$x <- mean_of(d, d$x) + stats::rnorm(720, 0, 0.2)
      d
    }),
    little_between = audit_case(function(d) {
      d$x <- d$x - mean_of(d, d$x)
      d
    }),
    overlap = audit_case(function(d) {
      d$z <- d$x + stats::rnorm(720, 0, 0.2)
      d
    }, list(x = c("x", "z"))),
    single_sessions = audit_case(function(d) d[!(person(d) %in% 1:2 & d$session > 1), ]),
    too_few_for_trend = audit_case(function(d) d[!(person(d) %in% 1:2 & d$session > 2), ]),
    mean_reliability = audit_case(function(d) {
      d$x <- d$x + stats::rnorm(720, 0, 2.2)
      d
    }),
    infinite = audit_case(function(d) {
      d$x[5] <- Inf
      d
    }),
    missing_codes = audit_case(function(d) {
      d$x[c(5, 300)] <- 999
      d
    }),
    out_of_range = audit_case(identity, list(scale = list(x = c(-5, max(audit_clean()$x) - 1e-3)))),
    floor_ceiling = audit_case(function(d) {
      d$y <- pmax(d$y, stats::quantile(d$y, 0.25))
      d
    }),
    discrete_outcome = audit_case(function(d) {
      d$y <- as.integer(d$y > mean(d$y))
      d
    }),
    count_outcome = audit_case(function(d) {
      d$y <- stats::rpois(720, exp(stats::rnorm(60, 0.2, 0.7)[person(d)]))
      d
    }),
    # skewed between persons, so that nobody is far from their own level
    skewed = audit_case(function(d) {
      d$x <- d$x - mean_of(d, d$x) + 0.7 * stats::rexp(60)[person(d)]^1.8
      d
    }),
    outliers = audit_case(function(d) {
      d$x[100] <- d$x[100] + 9
      d
    })
  )
}

audit_cases_time <- function() {
  list(
    # an average trend that persons share leaves nothing reliable in their own slopes
    trend_predictor = audit_case(function(d) {
      d$x <- d$x + 0.15 * d$session
      d
    }, also = "trend_reliability"),
    trend_reliability = audit_case(function(d) {
      d$x <- d$x + 0.15 * d$session
      d
    }, also = "trend_predictor"),
    trend_outcome = audit_case(function(d) {
      d$y <- d$y - 0.2 * d$session
      d
    }),
    own_trends = audit_case(function(d) {
      d$x <- d$x + scale(stats::rnorm(60, 0, 0.3))[person(d)] * 0.3 * (d$session - 6.5)
      d
    }),
    common_trend = audit_case(function(d) {
      d$x <- d$x + 0.25 * d$session
      d$y <- d$y - 0.35 * d$session
      d
    }, also = c("trend_predictor", "trend_outcome", "trend_reliability")),
    unequal_spacing = audit_case(function(d) {
      d$session <- c(0, 1, 2, 3, 4, 6, 9, 13, 18, 26, 39, 52)[d$session]
      d
    }),
    time_origin = audit_case(function(d) {
      d$session <- d$session + 1975
      d
    }),
    nickell = audit_case(function(d) {
      noise <- stats::rnorm(720)
      for (i in 2:720) if (d$session[i] > 1) noise[i] <- 0.4 * noise[i - 1] + noise[i]
      d$y <- 20 + stats::rnorm(60)[person(d)] + noise
      d
      # autocorrelation looks like a trend of one's own
    }, also = "own_trends")
  )
}

# The model that audit() has nothing to say about: the predictor of the session before, split, and its effect free to differ between therapists' patients.
audit_fit <- function(data = audit_clean(), formula = y ~ wb(lagged(x)) + (1 | therapist / patient)) {
  suppressWarnings(suppressMessages(hlm(formula, data, id = patient, time = session)))
}

# Cases of the checks that need a fit: the change of the data, the formula if it is another one.
audit_fit_cases <- function() {
  case <- function(change, formula = y ~ wb(lagged(x)) + (1 | therapist / patient), also = character()) {
    list(change = change, formula = formula, also = also)
  }
  list(
    residual_autocorrelation = case(function(d) {
      noise <- stats::rnorm(720)
      for (i in 2:720) if (d$session[i] > 1) noise[i] <- 0.5 * noise[i - 1] + noise[i]
      d$y <- d$y + 1.2 * noise
      d
    }),
    variance_over_time = case(function(d) {
      d$y <- d$y + stats::rnorm(720) * (d$session - 1) / 4
      d
    }),
    random_slope = case(function(d) {
      x <- d$x - stats::ave(d$x, d$patient)
      before <- ifelse(d$session == 1, 0, c(NA, x[-720]))
      d$y <- d$y + stats::rnorm(60)[person(d)] * before
      d
    }),
    singular_level = case(function(d) {
      d$y <- d$y - stats::ave(d$y, d$therapist) + mean(d$y)
      d
    }),
    time_collinear = case(function(d) {
      d$x <- d$x + 0.8 * d$session
      d
    }, y ~ session + wb(lagged(x)) + (1 | therapist / patient)),
    contextual_differs = case(function(d) {
      d$y <- d$y + 1.5 * stats::ave(d$x, d$patient)
      d
    }),
    concurrent = case(identity, y ~ wb(x) + (1 | therapist / patient)),
    fit_problems = case(function(d) {
      d$y <- d$y^3 / 300
      d$y[7] <- max(d$y) * 2
      d
    })
  )
}
