# A child R process that runs `lines` with the package loaded; what it prints. Signals and time limits would stop the tests themselves.
run_child <- function(lines) {
  script <- withr::local_tempfile(fileext = ".R", lines = c("library(wbhlm)", lines))
  libs <- paste(.libPaths(), collapse = .Platform$path.sep)
  withr::with_envvar(
    c(R_LIBS = libs), system2(file.path(R.home("bin"), "Rscript"), c("--vanilla", shQuote(script)), stdout = TRUE, stderr = TRUE)
  )
}

# For a child: within(name, code) runs `code` to its end, then again with an interrupt and with a time limit after 30% of that time. It prints the name, how
# these ended, whether they did so within another 30%, and whether the next fit is as before. A computation of a single piece would have taken another 70%.
child_within <- c(
  "next_fit <- function() hlm(y ~ x + (x | id), d)$core$theta",
  "set.seed(1)",
  "d <- data.frame(id = rep(1:300, each = 5), x = rep(1:5, 300))",
  "d$y <- rnorm(300)[d$id] + rnorm(1500)",
  "wanted <- next_fit()",
  "seconds <- function(code) { start <- proc.time()[[3]]; how <- tryCatch({ code; 'ended' }, interrupt = function(cnd) 'interrupt', error = conditionMessage)",
  "  list(how = how, took = proc.time()[[3]] - start) }",
  "within <- function(name, code) {",
  "  code <- substitute(code)",
  "  run <- function() eval(code, globalenv())",
  "  whole <- seconds(run())$took",
  "  for (signal in c('interrupt', 'limit')) {",
  "    if (signal == 'limit') setTimeLimit(elapsed = 0.3 * whole)",
  "    if (signal == 'interrupt') system(sprintf('(sleep %.2f; kill -INT %d) &', 0.3 * whole, Sys.getpid()))",
  "    found <- seconds(run())",
  "    setTimeLimit()",
  "    how <- if (grepl(gettext('reached elapsed time limit', domain = 'R'), found$how, fixed = TRUE)) 'limit' else found$how",
  "    share <- found$took / whole",
  "    cat(sprintf('%s: %s %s %s (%.2f of %.2f s)\n', name, how, share < 0.6, identical(next_fit(), wanted), found$took, whole))",
  "  }",
  "}"
)

# For a child: stopped(name, code) sends the process an interrupt 0.4 seconds after the start of `code`, and prints the name, how it ended, how many seconds
# after the signal, and whether everything is as before: the answer of the next call, the state of R's random numbers, and the threads.
child_stopped <- c(
  "next_call <- function() list(bootstrap(small, 30, seed = 1)$t, hlm(y ~ x + (x | id), d)$core$theta)",
  "threads <- function() if (dir.exists('/proc/self/task')) length(dir('/proc/self/task')) else 0L",
  "set.seed(1)",
  "d <- data.frame(id = rep(1:300, each = 5), x = rep(1:5, 300))",
  "d$y <- rnorm(300)[d$id] + rnorm(1500)",
  "small <- hlm(y ~ x + (x | id), d)",
  "wanted <- next_call()",
  "stopped <- function(name, code) {",
  "  state <- .Random.seed",
  "  before <- threads()",
  "  system(sprintf('(sleep 0.4; kill -INT %d) &', Sys.getpid()))",
  "  start <- Sys.time()",
  "  how <- tryCatch({ code; 'ended' }, interrupt = function(cnd) class(cnd)[[1L]])",
  "  late <- as.numeric(Sys.time() - start, units = 'secs') - 0.4",
  "  if (how == 'ended') tryCatch(Sys.sleep(1), interrupt = function(cnd) NULL)",
  "  same <- identical(next_call(), wanted) && identical(.Random.seed, state) && !wbhlm:::progress_state$busy",
  "  cat(sprintf('%s: %s %s %s %s\\n', name, how, if (late < 2) 'at once' else format(late), same, threads() - before))",
  "}"
)
