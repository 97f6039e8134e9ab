test_that("Satterthwaite df equal clubSandwich's coef_test()", {
  for (case in robust_cases()) {
    for (type in names(case$fixture$robust)) {
      expected <- case$fixture$robust[[type]]
      inference <- robust_inference(case$fit, type, case$cluster)
      ours <- apply(diag(length(expected$df)), 1L, inference$df)
      expect_within(ours, expected$df, 1e-6 * expected$df, paste(case$fixture$name, type, "df"))
    }
  }
})

test_that("joint tests equal clubSandwich's Wald_test(test = \"HTZ\")", {
  tested <- 0L
  for (case in robust_cases()) {
    for (type in names(case$fixture$robust)) {
      expected <- case$fixture$robust[[type]]$wald
      if (is.null(expected)) next
      inference <- robust_inference(case$fit, type, case$cluster)
      l <- diag(nrow(inference$vcov))[-1L, , drop = FALSE]
      ours <- suppressWarnings(inference$joint(l, 0), classes = "hlm_warning_clusters")
      if (expected$den_df <= 0) {
        expect_identical(ours$den_df, NA_real_)
        next
      }
      tested <- tested + 1L
      expect_within(unlist(ours), unlist(expected), 1e-6 * unlist(expected), paste(case$fixture$name, type, "HTZ"))
    }
  }
  expect_gt(tested, 40L)
})

test_that("the df of the definition: P formed as a J x J matrix", {
  fit <- fit_clinic()
  cluster <- clinic_data()$therapist
  parts <- dense_parts(fit)
  m <- solve(t(parts$x) %*% parts$w %*% parts$x)
  l <- c(0, 1, -1, 2)
  hat <- parts$x %*% m %*% t(parts$x) %*% parts$w
  # the estimator is a sum of squares of p_j'y: P = p' V p over y - X beta = (I - hat) y
  p <- vapply(split(seq_along(cluster), cluster), function(rows) {
    x <- parts$x[rows, , drop = FALSE]
    v <- parts$v[rows, rows]
    root <- chol(v)
    s <- eigen(root %*% (v - x %*% m %*% t(x)) %*% t(root), symmetric = TRUE)
    a <- t(root) %*% s$vectors %*% (t(s$vectors) / sqrt(s$values)) %*% root
    drop(t(diag(nrow(hat)) - hat)[, rows] %*% a %*% solve(v) %*% x %*% m %*% l)
  }, double(length(cluster)))
  quadratic <- t(p) %*% parts$v %*% p
  expect_equal(robust_inference(fit, "CR2", "therapist")$df(l), sum(diag(quadratic))^2 / sum(quadratic^2), tolerance = 1e-8)
})

test_that("the joint test does not depend on how the hypothesis is written", {
  inference <- robust_inference(fit_clinic())
  l <- rbind(c(0, 1, 0, 0), c(0, 0, 1, 0))
  first <- inference$joint(l, c(0.5, 0))
  expect_equal(inference$joint(rbind(l[1, ] + l[2, ], 3 * l[2, ]), c(0.5, 0)), first)
  expect_equal(inference$joint(rbind(l, l[1, ]), c(0.5, 0, 0.5)), first)
  # one row: the t test
  one <- inference$joint(l[1, , drop = FALSE], 0)
  t_value <- fixef(fit_clinic())[["x"]] / sqrt(inference$vcov[2, 2])
  expect_equal(one, list(f = t_value^2, num_df = 1L, den_df = inference$df(l[1, ])), tolerance = 1e-8)
})

test_that("it is an inference that the package's tests take", {
  inference <- robust_inference(fit_clinic(), "CR2", therapist)
  table <- wbhlm:::coefficient_table(fit_clinic(), inference)
  expect_equal(table$`Std. Error`, sqrt(diag(inference$vcov)), ignore_attr = TRUE)
  expect_true(all(table$df < 10))
  joint <- wbhlm:::test_joint(fit_clinic(), diag(4)[2:3, ], c(0, 0), inference)
  expect_equal(joint$DenDF, inference$joint(diag(4)[2:3, ], 0)$den_df)
  expect_match(inference$label, "CR2.*therapist.*10 clusters")
})

test_that("other degrees of freedom", {
  expect_identical(robust_inference(fit_sleep(), ddf = "clusters")$df(c(0, 1)), 17)
  for (ddf in c("asymptotic", "none", "z")) expect_identical(robust_inference(fit_sleep(), ddf = ddf)$df(c(0, 1)), Inf)
  expect_null(robust_inference(fit_sleep(), ddf = "asymptotic")$joint)
  expect_error(robust_inference(fit_sleep(), ddf = "Kenward-Roger"), class = "hlm_error_data")
  expect_error(robust_inference(list()), class = "hlm_error_data")
})

test_that("too few clusters for a joint test: said, not invented", {
  fit <- hlm(y ~ x + group + (1 | patient), clinic_data())
  halves <- as.integer(clinic_data()$therapist > 5) + (clinic_data()$therapist > 3)
  expect_warning(test <- robust_inference(fit, "CR1", halves)$joint(diag(3)[, 1:3], 0), class = "hlm_warning_clusters")
  expect_identical(test$f, NA_real_)
})

test_that("10,000 persons take seconds", {
  skip_on_cran()
  n <- 10000L
  d <- data.frame(p = rep(seq_len(n), each = 10L), s = rep(1:10, n))
  i <- seq_len(nrow(d))
  d$x <- sin(i * 1.7) + cos(d$p)
  d$y <- d$x + sin(i * 12.9898) * 2 + cos(d$p * 7.3) * (1 + d$x)
  fit <- hlm(y ~ s + x + (x | p), d)
  seconds <- system.time(robust_inference(fit, "CR2")$df(c(0, 0, 1)))[["elapsed"]]
  expect_lt(seconds, 20)
})
