# lintr on every R file, and the limits of the house style: files of at most 400 lines, functions of at most 60.

folders <- Filter(dir.exists, c("R", "tests", "tools", "bench", "data-raw", "inst", "vignettes"))
lints <- unlist(lapply(folders, lintr::lint_dir, relative_path = FALSE), recursive = FALSE)
for (lint in lints) print(lint)

files <- list.files("R", "\\.R$", full.names = TRUE)
files <- setdiff(files, "R/000-wrappers.R")
rust <- list.files("src/rust", "\\.rs$", recursive = TRUE, full.names = TRUE)
rust <- rust[!grepl("src/rust/target/", rust)]

long_files <- Filter(function(file) length(readLines(file, warn = FALSE)) > 400, c(files, rust))

long_functions <- unlist(lapply(files, function(file) {
  tokens <- utils::getParseData(parse(file, keep.source = TRUE))
  parents <- tokens$parent[tokens$token %in% c("FUNCTION", "'\\\\'")]
  exprs <- tokens[tokens$id %in% parents, ]
  exprs <- exprs[exprs$line2 - exprs$line1 + 1 > 60, ]
  if (nrow(exprs)) paste0(file, ":", exprs$line1, " (", exprs$line2 - exprs$line1 + 1, " lines)")
}))

if (length(long_files)) cat("Over 400 lines:", long_files, sep = "\n  ")
if (length(long_functions)) cat("Functions over 60 lines:", long_functions, sep = "\n  ")
if (length(lints) || length(long_files) || length(long_functions)) {
  cat("\nlint:", length(lints), "lints\n")
  quit("no", status = 1)
}
cat("lint: clean\n")
