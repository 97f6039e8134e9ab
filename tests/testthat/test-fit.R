find_environments <- function(x) {
  if (is.environment(x)) {
    return(list(x))
  }
  inner <- if (is.recursive(x) && !is.function(x)) lapply(as.list(x), find_environments) else list()
  outer <- lapply(attributes(x), function(a) if (is.environment(a)) list(a) else list())
  unlist(c(inner, outer), recursive = FALSE)
}

test_that("a fit holds no environment but the global or a package's", {
  d <- synthetic_sessions()
  make <- function() {
    secret <- rnorm(10)
    front(y ~ poly(session, 2) + wb(x) * treatment + (1 + within(x) | therapist / patient), d)
  }
  found <- find_environments(make())
  allowed <- vapply(found, function(env) {
    identical(env, globalenv()) || isNamespace(env)
  }, NA)
  expect_true(all(allowed))
})

test_that("data are kept after subset and before na.action", {
  d <- synthetic_sessions()
  d$y[2] <- NA
  fit <- front(y ~ wb(x) + (1 | patient), d, inputs = list(subset = d$session < 6))
  expect_equal(nrow(fit$data), sum(d$session < 6))
  expect_setequal(names(fit$data), c("y", "x", "patient"))
  expect_equal(fit$data$y[fit$rows], fit$design$y)
  expect_equal(rownames(fit$data), as.character(which(d$session < 6)))
})
