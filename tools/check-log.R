# Reads the log of R CMD check: fails at an ERROR, a WARNING or an unfinished log; prints NOTEs with what is known about them.

log <- readLines(commandArgs(TRUE)[1], warn = FALSE)
known <- c(
  "installed package size" = paste(
    "the compiled library: 4 MB after stripping, mostly linear algebra kernels for several processor types;",
    "the help texts and ten articles with plots"
  ),
  "CRAN incoming feasibility" = "a new submission",
  "future file timestamps" = "no network to ask for the time",
  "HTML version of manual" = "`tidy` is not installed",
  "package dependencies" = "a suggested package is not installed on this machine"
)

items <- split(log, cumsum(grepl("^\\* ", log)))
notes <- Filter(function(item) any(grepl("\\.\\.\\. .*NOTE$", item)), items)
for (note in notes) {
  why <- known[vapply(names(known), grepl, TRUE, x = note[1], fixed = TRUE)]
  cat(note, sep = "\n")
  cat("  ->", if (length(why)) why[[1]] else "not explained yet", "\n")
}

bad <- Filter(function(item) any(grepl("\\.\\.\\. .*(WARNING|ERROR)$", item)), items)
status <- grep("^Status: ", log, value = TRUE)
if (length(bad) || length(status) != 1 || grepl("ERROR|WARNING", status)) {
  for (item in bad) {
    cat(item, sep = "\n")
    if (grepl("unstated dependencies", item[1])) {
      cat("  -> a package used there is missing from DESCRIPTION (R looks it up in repositories that are out of reach here)\n")
    }
  }
  cat("check: failed,", if (length(status)) status else "the log has no end", "\n")
  quit("no", status = 1)
}
cat("check:", status, "\n")
