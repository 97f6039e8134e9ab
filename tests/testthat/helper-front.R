# The R side without the engine: spec, frame and design of a call to hlm(), so that these tests do not depend on a fit.

front <- function(formula, data, id = NULL, time = NULL, inputs = list(), na.action = stats::na.omit, contrasts = NULL,
                  control = hlm_control(), extra = list()) {
  if (is.character(id)) id <- str2lang(id)
  spec <- parse_formula(formula, names(data), id, time)
  env <- environment(formula)
  frame <- build_frame(spec, data, inputs, na.action, env, control$means)
  built <- build_design(spec, frame, contrasts, control, env)
  new_hlm(quote(hlm()), spec, frame, built, list(), TRUE, control, contrasts, extra)
}

# The columns of the fixed part by name.
front_columns <- function(...) {
  fit <- front(...)
  as.data.frame(design_matrix_x(fit), optional = TRUE)
}

# Synthetic: 12 patients of 4 therapists, up to 6 sessions, unbalanced, unsorted.
synthetic_sessions <- function() {
  data <- expand.grid(session = 1:6, patient = 1:12)
  data$therapist <- (data$patient - 1) %/% 3 + 1
  i <- seq_len(nrow(data))
  data$x <- round(sin(i) + data$patient / 5 + cos(data$therapist), 3)
  data$w <- round(cos(2 * i) - data$patient / 7, 3)
  data$y <- round(data$x / 2 + sin(3 * i) + data$session / 4, 3)
  data$treatment <- factor(ifelse(data$patient %% 2 == 0, "CBT", "control"))
  data <- data[-c(3, 17, 18, 40, 71), ]
  data <- data[order((seq_len(nrow(data)) * 7) %% 67), ]
  rownames(data) <- NULL
  data
}
