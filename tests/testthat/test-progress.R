# Progress signals of `code`, as a user's own calling handler sees them.
count_signals <- function(code) {
  loadNamespace("progressr")
  withr::local_options(progressr.enable = TRUE)
  seen <- list()
  withCallingHandlers(code, progression = function(p) seen[[length(seen) + 1L]] <<- p)
  type <- vapply(seen, `[[`, "", "type")
  steps <- vapply(seen[type == "initiate"], `[[`, 0, "steps")
  amount <- vapply(seen[type == "update"], `[[`, 0, "amount")
  list(type = type, steps = steps, amount = sum(amount), message = unlist(lapply(seen, `[[`, "message")))
}

test_that("every long loop counts its steps from none to all", {
  skip_if_not_installed("progressr")
  fit <- hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement, time = session)
  shown <- count_signals(boot <- bootstrap(fit, 500, seed = 1))
  expect_identical(shown$type[c(1L, length(shown$type))], c("initiate", "finish"))
  expect_identical(c(shown$steps, shown$amount), c(500, 500))
  one <- list(
    statistic = quote(bootstrap(fit, 12, seed = 1, statistic = function(fit) sigma(fit))), jackknife = quote(confint(boot, "session", boot.type = "bca")),
    profile = quote(confint(fit, method = "profile")), influence = quote(influence(fit, method = "exact")), cr2 = quote(vcov(fit, type = "CR2")),
    compare = quote(compare_disaggregation(fit)), r2 = quote(r2(fit, conf.int = TRUE, nsim = 6, seed = 1)),
    icc = quote(icc(fit, conf.int = TRUE, method = "boot", nsim = 6, seed = 1)),
    standardize = quote(standardize(fit, se = "bootstrap", nsim = 6, seed = 1)),
    reciprocal = quote(suppressWarnings(reciprocal(implement, wai, bai, id, session, test = "bootstrap", nsim = 4, seed = 1))),
    rlrt = quote(rlrt(hlm(bai ~ session + (1 | id), implement), nsim = 3000)), correction = quote(between_correction(hlm(bai ~ wb(wai) + (1 | id), implement)))
  )
  for (name in names(one)) {
    shown <- count_signals(suppressMessages(eval(one[[name]])))
    expect_gt(length(shown$steps), 0)
    expect_identical(shown$amount, sum(shown$steps), label = name)
    expect_identical(sum(shown$type == "initiate"), length(shown$steps))
  }
})

test_that("functions that call others show one progress, their own", {
  skip_if_not_installed("progressr")
  fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement, time = session)
  shown <- count_signals(compare_disaggregation(fit, vcov = "CR2"))
  expect_length(shown$steps, 1L)
  inner <- count_signals(bootstrap(fit, 5, seed = 1, statistic = function(fit) sqrt(diag(vcov(fit, type = "CR2")))))
  expect_identical(inner$steps, c(5, 5))
})

test_that("with_progress() and global handlers are found, without_progress() silences", {
  skip_if_not_installed("progressr")
  fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
  withr::local_options(progressr.enable = TRUE, progressr.clear = FALSE)
  bar <- utils::capture.output(
    progressr::with_progress(bootstrap(fit, 200, seed = 1), handlers = progressr::handler_txtprogressbar(file = stdout(), enable = TRUE), interval = 0)
  )
  expect_match(paste(bar, collapse = ""), "100%", fixed = TRUE)
  expect_false(progressr_listens())
  expect_silent(progressr::without_progress(invisible(bootstrap(fit, 20, seed = 1))))
  expect_true(progressr::without_progress(progressr_listens()))
})

test_that("a bar of 'cli' for those who look on, and never both", {
  skip_if_not_installed("progressr")
  channel <- function(...) withr::with_options(list(...), progress_channel())
  expect_null(channel(rlang_interactive = FALSE))
  expect_identical(channel(rlang_interactive = TRUE), cli_steps)
  expect_null(channel(rlang_interactive = TRUE, wbhlm.progress = FALSE))
  expect_identical(channel(rlang_interactive = FALSE, wbhlm.progress = TRUE), cli_steps)
  loadNamespace("progressr")
  withCallingHandlers(expect_identical(channel(rlang_interactive = TRUE), progressr_steps), progression = function(p) NULL)
  withCallingHandlers(expect_identical(channel(rlang_interactive = FALSE), progressr_steps), progression = function(p) NULL)

  fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
  drawn <- function(after) {
    withr::local_options(rlang_interactive = TRUE, cli.progress_show_after = after, cli.dynamic = FALSE)
    utils::capture.output(invisible(bootstrap(fit, 30000, seed = 1)), type = "message")
  }
  expect_match(paste(drawn(0), collapse = " "), "Bootstrap", fixed = TRUE)
  expect_identical(drawn(60), character())
  withr::local_options(rlang_interactive = FALSE, cli.progress_show_after = 0)
  expect_silent(boot <- bootstrap(fit, 300, seed = 1))
  expect_identical(suppressMessages(rlang::with_interactive(bootstrap(fit, 300, seed = 1))), boot)
})

test_that("nothing is shown for what is small", {
  skip_if_not_installed("progressr")
  expect_length(count_signals(fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement))$type, 0L)
  expect_length(count_signals(influence(fit))$type, 0L)
  many <- implement[rep(seq_len(nrow(implement)), ceiling(progress_rows / nrow(implement))), ]
  many$id <- paste(many$id, rep(seq_len(nrow(many) %/% nrow(implement)), each = nrow(implement)))
  shown <- count_signals(hlm(bai ~ session + (1 | id), many))
  expect_identical(c(shown$steps, shown$amount), c(4, 4))
})

test_that("Kenward-Roger's method and the intervals of therapists' shares show how far they are when the rows are many", {
  skip_if_not_installed("progressr")
  complete <- sum(!is.na(implement$bai))
  copies <- ceiling(progress_rows / complete)
  many <- implement[rep(seq_len(nrow(implement)), copies), ]
  many$copy <- rep(seq_len(copies), each = nrow(implement))
  many$person <- paste(many$id, many$copy)
  fit <- suppressMessages(hlm(bai ~ session + (1 | copy / person), many))
  shown <- count_signals(summary(fit, ddf = "Kenward-Roger"))
  # one step for every pair of coefficients
  expect_identical(c(shown$steps, shown$amount), c(3, 3))
  # the profile of the standard deviation is part of it
  shown <- count_signals(suppressWarnings(therapist_effects(fit, test = FALSE)))
  expect_identical(c(shown$steps, shown$amount), c(share_steps, share_steps) + 0)
  expect_gt(sum(shown$type == "update"), 1L)
})

test_that("an error, or a handler that leaves, ends it in order", {
  skip_if_not_installed("progressr")
  loadNamespace("progressr")
  withr::local_options(progressr.enable = TRUE)
  fit <- hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement)
  # the second sign comes from inside the compiled code: the jump passes it
  second <- function(act) {
    seen <- 0L
    function(p) {
      if (p$type == "update" && (seen <<- seen + 1L) == 2L) act()
    }
  }
  stopped <- tryCatch(
    withCallingHandlers(bootstrap(fit, 1e5, seed = 1), progression = second(function() stop("enough"))), error = conditionMessage
  )
  expect_identical(stopped, "enough")
  expect_false(progress_state$busy)
  left <- withRestarts(
    withCallingHandlers(bootstrap(fit, 1e5, seed = 1), progression = second(function() invokeRestart("leave", "left"))), leave = identity
  )
  expect_identical(left, "left")
  expect_false(progress_state$busy)
  expect_identical(bootstrap(fit, 20, seed = 1)$t, bootstrap(fit, 20, seed = 1, threads = 1)$t)
})

test_that("a handler may use the package while a computation waits for it", {
  skip_if_not_installed("progressr")
  loadNamespace("progressr")
  withr::local_options(progressr.enable = TRUE)
  fit <- hlm(bai ~ session + wb(wai) + (1 | id), implement)
  inner <- NULL
  withCallingHandlers(outer <- bootstrap(fit, 4000, seed = 1), progression = function(p) {
    if (is.null(inner)) inner <<- bootstrap(fit, 30, seed = 2)$t
  })
  expect_identical(inner, bootstrap(fit, 30, seed = 2)$t)
  expect_identical(outer$t, bootstrap(fit, 4000, seed = 1)$t)
})

test_that("an interrupt stops every long computation at once and leaves the session as it was", {
  skip_on_os("windows")
  skip_on_cran()
  out <- run_child(c(
    child_stopped,
    "stopped('bootstrap', bootstrap(small, 1e6, seed = 1))",
    "stopped('influence', influence(small, 'row', method = 'exact'))",
    "e <- data.frame(id = rep(1:20000, each = 10), t = 1:10)",
    "e$x <- rnorm(20000)[e$id] + rnorm(2e5)",
    "e$y <- 0.3 * e$x + rnorm(20000)[e$id] + rnorm(2e5)",
    "big <- hlm(y ~ t + wb(x) + (1 + t | id), e)",
    "stopped('profile', for (k in 1:20) confint(big, method = 'profile'))",
    "stopped('CR2', vcov(big, type = 'CR2'))",
    # crossed groups: most of the time goes into the optimiser, that is into compiled code
    "f <- data.frame(p = rep(1:1500, 20), i = sample(600, 30000, TRUE))",
    "f$y <- rnorm(1500)[f$p] + rnorm(600)[f$i] + rnorm(30000)",
    "one <- hlm(y ~ 1 + (1 | p) + (1 | i), f)",
    "stopped('hlm', for (k in 1:100) hlm(y ~ 1 + (1 | p) + (1 | i), f))"
  ))
  for (name in c("bootstrap", "influence", "profile", "CR2", "hlm")) {
    # how, when, the same answers and random numbers as before, no thread more than before
    expect_true(paste0(name, ": interrupt at once TRUE 0") %in% out, label = paste(c(name, out), collapse = "\n"))
  }
})

test_that("a single long evaluation stops in its midst, for an interrupt as for a time limit", {
  skip_on_os("windows")
  skip_on_cran()
  out <- run_child(c(
    child_within,
    # two factors that meet everywhere: the dense core of one evaluation is nearly all the work. The optimum does not matter.
    "e <- data.frame(p = sample(2200, 40000, TRUE), i = sample(2000, 40000, TRUE))",
    "e$y <- rnorm(2200)[e$p] + rnorm(2000)[e$i] + rnorm(40000)",
    "crossed <- suppressWarnings(hlm(y ~ 1 + (1 | p) + (1 | i), e, start = c(1, 1), control = hlm_control(max_iter = 1)))",
    "within('Satterthwaite', wbhlm:::engine_satterthwaite(crossed$design, TRUE, c(1, 1)))",
    # one pass over many persons for every pair of coefficients
    "f <- data.frame(id = rep(1:240000, each = 5), t = 1:5, g = factor(rep(1:3, each = 5)))",
    "f$x <- rnorm(nrow(f))",
    "f$y <- rnorm(240000)[f$id] + rnorm(nrow(f))",
    "nested <- suppressWarnings(hlm(y ~ t * x * g + (1 + t + x | id), f, start = c(1, 0, 0, 0.1, 0, 0.1), control = hlm_control(max_iter = 1)))",
    "within('Kenward-Roger', summary(nested, ddf = 'Kenward-Roger'))"
  ))
  for (name in c("Satterthwaite", "Kenward-Roger")) {
    for (how in c("interrupt", "limit")) {
      # how it ended, soon, the same answers as before
      expect_match(out, paste0("^", name, ": ", how, " TRUE TRUE"), all = FALSE, label = paste(c(name, how, out), collapse = "\n"))
    }
  }
})

test_that("an interrupt without a handler goes to the top level", {
  skip_on_os("windows")
  skip_on_cran()
  # R ends a script that is interrupted, with a status that system2() warns of
  expect_warning(out <- run_child(c(
    child_stopped, "system(sprintf('(sleep 0.4; kill -INT %d) &', Sys.getpid()))", "bootstrap(small, 1e6, seed = 1)", "cat('went on')"
  )), "status")
  expect_false(any(grepl("went on", out, fixed = TRUE)))
  expect_match(paste(out, collapse = " "), "halted")
})

test_that("R's time limit is R's own error", {
  skip_on_cran()
  fit <- hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement)
  limited <- function(code) {
    on.exit(setTimeLimit())
    setTimeLimit(elapsed = 0.3)
    tryCatch(code, error = identity)
  }
  start <- Sys.time()
  cnd <- limited(bootstrap(fit, 1e6, seed = 1))
  expect_lt(as.numeric(Sys.time() - start, units = "secs"), 3)
  expect_match(conditionMessage(cnd), gettext("reached elapsed time limit", domain = "R"), fixed = TRUE)
  expect_false(inherits(cnd, "hlm_error"))
  # the call that R shows with it is short: no data in it
  expect_lt(nchar(paste(deparse(conditionCall(cnd)), collapse = "")), 500)
  expect_identical(nrow(bootstrap(fit, 10, seed = 1)$t), 10L)
})

test_that("the callback is called on R's thread with counts that rise", {
  fit <- hlm(bai ~ session + wb(wai) + (1 + within(wai) | id), implement)
  seen <- integer()
  options <- boot_options(list(type = "parametric", nsim = 5000L, seed = 1, group = NULL, fit = fit), 1L)
  options$progress <- function(done) seen <<- c(seen, done)
  engine_bootstrap(fit$design, TRUE, fit$core, options)
  expect_gt(length(seen), 1L)
  expect_false(is.unsorted(seen))
  expect_true(all(seen >= 0 & seen <= 5000L))
  options$progress <- "no function"
  expect_error(engine_bootstrap(fit$design, TRUE, fit$core, options), "function", class = "hlm_error_design")
})
