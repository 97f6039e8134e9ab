# The simulation core for power: whole studies drawn and fitted (core_study), outcomes of one design drawn and fitted (core_refit_many).
# Both return one row per replicate; see design/0012-power.md.

engine_study <- function(study, analysis, options) {
  shape_draws(engine_call(core_study(study, analysis, core_options(options))), options$nsim)
}

# A pilot fit's design, with the sizes of every replicate, which are those of the design.
engine_refit_cell <- function(cell, options) {
  options$reduced <- if (length(cell$reduced)) cell$reduced
  draws <- engine_call(core_refit_many(cell$design, cell$reml, cell$theta, cell$beta, cell$sigma, NULL, core_options(options)))
  shape_draws(c(draws, lapply(cell$counts, rep, options$nsim)), options$nsim)
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
