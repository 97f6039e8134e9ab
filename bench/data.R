# Synthetic, seeded data for the benchmarks: patients x sessions, patients in therapists of about twelve.

bench_data <- function(patients, sessions, seed = 1) {
  set.seed(seed, kind = "Mersenne-Twister", normal.kind = "Inversion", sample.kind = "Rejection")
  n <- patients * sessions
  patient <- rep(seq_len(patients), each = sessions)
  therapists <- max(8, round(patients / 12))
  therapist <- rep_len(seq_len(therapists), patients)[patient]
  time <- rep(seq_len(sessions) - 1, patients)
  x <- rnorm(patients)[patient] + rnorm(n)
  mean_x <- as.numeric(rowsum(x, patient)) / sessions
  xb <- (mean_x - mean(mean_x))[patient]
  xw <- x - mean_x[patient]
  intercept <- rnorm(patients, sd = 0.8)[patient] + rnorm(therapists, sd = 0.5)[therapist]
  slope_x <- rnorm(patients, sd = 0.4)[patient]
  slope_time <- rnorm(patients, sd = 0.15)[patient]
  y <- 2 + (slope_time - 0.3) * time + (0.5 + slope_x) * xw + 0.8 * xb + intercept + rnorm(n)
  data.frame(y, time, x, xw, xb, patient, therapist)
}

# Every model three ways: our formula with within()/between(), and the formula over columns made beforehand, for us and for lme4.
bench_models <- list(
  "random intercept" = list(
    grammar = y ~ time + within(x) + between(x) + (1 | patient),
    columns = y ~ time + xw + xb + (1 | patient)),
  "random slope" = list(
    grammar = y ~ time + within(x) + between(x) + (1 + within(x) | patient),
    columns = y ~ time + xw + xb + (1 + xw | patient)),
  "three levels" = list(
    grammar = y ~ time + within(x) + between(x) + (1 + time | patient) + (1 | therapist),
    columns = y ~ time + xw + xb + (1 + time | patient) + (1 | therapist))
)

# Real data: lectures rated by students (lme4::InstEval). Nothing to split, so only given columns.
crossed_model <- list(columns = y ~ service + (1 | s) + (1 | d) + (1 | dept))

# What peers without lme4's formulas are told: fixed-effect columns, and the slopes of each grouping factor, from the outside in for nested ones.
bench_terms <- list(
  "random intercept" = list(fixed = c("time", "xw", "xb"), random = list(patient = character())),
  "random slope" = list(fixed = c("time", "xw", "xb"), random = list(patient = "xw")),
  "three levels" = list(fixed = c("time", "xw", "xb"), random = list(patient = "time", therapist = character())),
  crossed = list(fixed = "service", random = list(s = character(), d = character(), dept = character()))
)

# One file per column, which R and Python read alike and without copies of anything else.
write_columns <- function(data, folder) {
  dir.create(folder, recursive = TRUE, showWarnings = FALSE)
  kinds <- lapply(names(data), function(name) {
    x <- data[[name]]
    kind <- if (is.factor(x)) "factor" else if (is.integer(x)) "integer" else "double"
    writeBin(if (is.factor(x)) as.integer(x) else as.vector(x), file.path(folder, paste0(name, ".bin")))
    list(kind = kind, levels = if (is.factor(x)) levels(x))
  })
  jsonlite::write_json(list(rows = nrow(data), columns = stats::setNames(kinds, names(data))), file.path(folder, "columns.json"), auto_unbox = TRUE)
}

read_columns <- function(folder, names) {
  meta <- jsonlite::read_json(file.path(folder, "columns.json"))
  columns <- lapply(stats::setNames(names, names), function(name) {
    how <- meta$columns[[name]]
    file <- file.path(folder, paste0(name, ".bin"))
    if (how$kind == "double") {
      return(readBin(file, "double", meta$rows))
    }
    codes <- readBin(file, "integer", meta$rows)
    if (how$kind == "factor") structure(codes, levels = as.character(unlist(how$levels)), class = "factor") else codes
  })
  # data.frame() would copy the columns
  structure(columns, class = "data.frame", row.names = .set_row_names(meta$rows))
}
