# What `make demo` shows.

library(wbhlm)
cat("wbhlm", as.character(utils::packageVersion("wbhlm")), "on", hlm_threads(), "threads\n")
