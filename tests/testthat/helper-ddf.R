# Fixtures of the degrees of freedom (fixtures/ddf-*.json, written by data-raw/fixtures/ddf.R): a list of models each, fitted here on
# the same data, each once.

ddf_models <- function(which, named = NULL) {
  path <- test_path("fixtures", paste0("ddf-", which, ".json"))
  models <- fit_once(path, function() jsonlite::fromJSON(path, simplifyVector = TRUE, simplifyDataFrame = FALSE)$models)
  names(models) <- vapply(models, `[[`, "", "name")
  if (is.null(named)) models else models[[named]]
}

# NULL when the package with the data is not on this machine.
ddf_fit <- function(model) {
  fit_once(paste("ddf", model$name, model$formula), function() {
    d <- fixture_data(model)
    if (is.null(d)) return(NULL)
    arguments <- list(formula = stats::as.formula(model$formula, env = globalenv()), data = quote(d))
    if (!is.null(model$id)) arguments$id <- model$id
    if (!is.null(model$weights_name)) arguments$weights <- as.name(model$weights_name)
    # Some of these data are crossed by design, of which hlm() warns when ids are numbers.
    suppressWarnings(suppressMessages(eval(as.call(c(list(quote(hlm)), arguments)))), classes = "hlm_warning")
  })
}

# The fit at another theta, everything else as it follows from it.
fit_at <- function(fit, theta) {
  at <- engine_at(fit$design, isTRUE(fit$REML), theta)
  fit$core[names(at)] <- at
  fit
}
