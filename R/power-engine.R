# The replicates of one cell of a power analysis, with the contrasts of its coefficients and the sizes analysed. A study is drawn and analysed in the core; a
# pilot fit's outcomes are drawn and fitted there, its sizes are those of the design. See design/0012-power.md.

engine_cell <- function(cell, options) {
  draws <- if (cell$kind == "study") {
    engine_study(cell$study, cell$analysis, options)
  } else {
    known <- list(theta = cell$theta, beta = cell$beta, sigma = cell$sigma)
    fits <- engine_refit_many(cell$design, cell$reml, known, NULL, c(options, list(reduced = if (length(cell$reduced)) cell$reduced)))
    c(fits, lapply(cell$counts, rep, options$nsim))
  }
  draws$free <- NULL
  if (!is.null(cell$contrasts)) draws$beta <- cbind(draws$beta, tcrossprod(draws$beta, unname(cell$contrasts)))
  draws
}
