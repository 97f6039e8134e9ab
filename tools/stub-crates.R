# Makes the vendored crates small: those that no CRAN platform compiles become stubs, the others lose tests, benches and examples.
# Argument: the folder of vendored crates.

source("tools/crates.R")
vendor <- commandArgs(TRUE)[1]
reached <- reached_crates()

# cargo compares each file listed here; an empty list keeps the identity of the crate and checks no file
forget_files <- function(folder) {
  file <- file.path(folder, ".cargo-checksum.json")
  text <- paste(readLines(file, warn = FALSE), collapse = "")
  package <- regmatches(text, regexpr("\"package\":\"[0-9a-f]+\"", text))
  writeLines(paste0("{\"files\":{},", package, "}"), file)
}

# what a target of Cargo.toml points at must exist, so unused crates keep an empty library and nothing else
stub <- function(folder) {
  manifest <- readLines(file.path(folder, "Cargo.toml"), warn = FALSE)
  lib <- manifest[cumsum(grepl("^\\[", manifest)) == match("[lib]", grep("^\\[", manifest, value = TRUE), 0)]
  path <- sub("^path = \"(.*)\"$", "\\1", grep("^path = ", lib, value = TRUE))
  if (!length(path)) path <- "src/lib.rs"
  build <- sub("^build = \"(.*)\"$", "\\1", grep("^build = \"", manifest, value = TRUE))
  keep <- file.path(folder, c("Cargo.toml", ".cargo-checksum.json"))
  unlink(setdiff(list.files(folder, all.files = TRUE, no.. = TRUE, full.names = TRUE), keep), recursive = TRUE)
  for (file in file.path(folder, path)) {
    dir.create(dirname(file), recursive = TRUE, showWarnings = FALSE)
    file.create(file)
  }
  for (file in file.path(folder, build)) {
    dir.create(dirname(file), recursive = TRUE, showWarnings = FALSE)
    writeLines("fn main() {}", file)
  }
}

trim <- function(folder) {
  unneeded <- c("tests", "benches", "examples", "ci", ".github", "Cargo.lock", "Cargo.toml.orig", "assets")
  unlink(file.path(folder, unneeded), recursive = TRUE)
}

identity <- function(folder) {
  manifest <- readLines(file.path(folder, "Cargo.toml"), warn = FALSE)
  field <- function(name) sub(".*= \"(.*)\".*", "\\1", grep(paste0("^", name, " = "), manifest, value = TRUE)[1])
  paste(field("name"), field("version"))
}

folders <- list.dirs(vendor, recursive = FALSE)
used <- vapply(folders, identity, "") %in% reached
for (folder in folders[used]) trim(folder)
for (folder in folders[!used]) stub(folder)
for (folder in folders) forget_files(folder)
cat(sum(used), "crates,", sum(!used), "stubs\n")
