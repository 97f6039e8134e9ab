# The simulation core for power: whole studies drawn and fitted (core_study), outcomes of one design drawn and fitted (core_refit_many).
# Both return one row per replicate; see design/0012-power.md.

engine_study <- function(study, analysis, options) {
  shape_draws(engine_call(core_study(study, analysis, core_options(options))), options$nsim)
}

# A pilot fit's design, with the sizes of every replicate, which are those of the design.
engine_refit_cell <- function(cell, options) {
  contrasts <- options$contrasts
  options$contrasts <- NULL
  known <- list(theta = cell$theta, beta = cell$beta, sigma = cell$sigma)
  draws <- engine_refit_many(cell$design, cell$reml, known, NULL, c(options, list(reduced = if (length(cell$reduced)) cell$reduced)))
  for (k in seq_len(NROW(contrasts))) {
    l <- contrasts[k, ]
    more <- if (sum(l != 0) == 1L) draws else engine_refit_many(swap_columns(cell$design, l), cell$reml, swap_beta(known, l), NULL, options)
    for (name in c("beta", "se", "df")) draws[[name]] <- cbind(draws[[name]], more[[name]][, which(l == 1)])
  }
  c(draws, lapply(cell$counts, rep, options$nsim))
}

# A difference a - b of two coefficients is the coefficient of A in the same model with the column A + B in place of B; the same streams draw the same outcomes.
swap_columns <- function(design, l) {
  a <- which(l == 1)
  b <- which(l == -1)
  design$columns <- c(design$columns, list(as.double(design_column(design, design$x[[a]])) + as.double(design_column(design, design$x[[b]]))))
  design$x[[b]] <- length(design$columns)
  design
}

swap_beta <- function(known, l) {
  known$beta[[which(l == 1)]] <- sum(l * known$beta)
  known
}

core_options <- function(options) {
  options$seed <- as.double(options$seed)
  options$first <- as.double(options$first)
  options
}

shape_draws <- function(draws, n) {
  for (name in c("beta", "se", "df", "theta")) draws[[name]] <- matrix(draws[[name]], n)
  draws
}
