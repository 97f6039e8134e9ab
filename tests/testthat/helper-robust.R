# Reference fixtures for robust covariances (fixtures/robust-*.json, written by data-raw/fixtures/robust.R) and what several test files share.

robust_fixtures <- function() {
  fit_once("robust_fixtures", function() {
    paths <- fixture_files("^robust-.*[.]json$")
    found <- lapply(paths, read_fixture)
    stats::setNames(found, vapply(found, `[[`, "", "name"))
  })
}

# list(fit, fixture, cluster), or NULL where the data's package is missing. Cluster: the column's name, or its values when the model does not use it.
robust_case <- function(fixture) {
  fit_once(paste0("robust_", fixture$name), function() {
    d <- fixture_data(fixture)
    if (is.null(d)) return(NULL)
    # as the reference: classes such as groupedData carry contrasts of their own
    fit <- fixture_fit(fixture, d)
    cluster <- fixture$cluster
    if (!is.null(cluster) && !cluster %in% c(names(fit$data), wbhlm:::group_names(fit))) cluster <- d[[cluster]]
    list(fit = fit, fixture = fixture, cluster = cluster)
  })
}

robust_cases <- function() Filter(Negate(is.null), lapply(robust_fixtures(), robust_case))

# Synthetic: 60 patients of 10 therapists, 3 to 8 sessions, weights and an offset, rows shuffled.
clinic_data <- function() {
  fit_once("clinic_data", function() {
    withr::with_seed(7, {
      d <- data.frame(patient = rep(1:60, 3:8 + 0L * (1:60)), x = 0)
      d$therapist <- (d$patient - 1) %/% 6 + 1
      d$clinic <- (d$therapist - 1) %/% 2 + 1
      d$x <- stats::rnorm(nrow(d)) + stats::rnorm(60)[d$patient]
      d$w <- stats::runif(nrow(d), 0.5, 2)
      d$o <- stats::rnorm(nrow(d))
      d$group <- d$therapist %% 2
      d$y <- d$x + d$group + stats::rnorm(10)[d$therapist] + stats::rnorm(60)[d$patient] * (1 + 0.5 * d$x) + stats::rnorm(nrow(d)) + d$o
      d[sample(nrow(d)), ]
    })
  })
}
fit_clinic <- function() {
  fit_once("clinic", function() hlm(y ~ x * group + (x | patient) + (1 | therapist), clinic_data(), weights = w, offset = o))
}
fit_clinic_ml <- function() {
  fit_once("clinic_ml", function() hlm(y ~ x * group + (x | patient) + (1 | therapist), clinic_data(), weights = w, offset = o, REML = FALSE))
}

# The pieces of a design in dense algebra, V relative to sigma^2.
dense_parts <- function(fit) {
  setup <- dense_setup(fit$design, isTRUE(fit$REML))
  v <- dense_v(setup, fit$core$theta)
  list(x = setup$x, y = setup$y, v = v, w = solve(v))
}
