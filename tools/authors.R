# Writes inst/AUTHORS: the authors and licences of the Rust crates compiled into the package.

source("tools/crates.R")
crates <- reached_crates()
metadata <- system2(
  "cargo",
  c("metadata", "--locked", "--format-version", "1", "--manifest-path", "src/rust/Cargo.toml"),
  stdout = TRUE
)
packages <- jsonlite::fromJSON(paste(metadata, collapse = ""), simplifyVector = FALSE)$packages

entry <- function(package) {
  # e-mail addresses are left out: they serve nobody here
  authors <- sub(" *<[^>]*>", "", unlist(package$authors))
  if (!length(authors)) {
    authors <- paste("The", package$name, "authors")
  }
  licence <- if (is.null(package$license)) paste("see", package$license_file) else package$license
  c(
    paste(package$name, package$version),
    strwrap(paste0("Authors: ", paste(authors, collapse = ", ")), 100, indent = 2, exdent = 4),
    paste0("  Licence: ", licence),
    ""
  )
}

wanted <- Filter(function(p) !is.null(p$source) && paste(p$name, p$version) %in% crates, packages)
wanted <- wanted[order(vapply(wanted, `[[`, "", "name"), vapply(wanted, `[[`, "", "version"), method = "radix")]
dir.create("inst", showWarnings = FALSE)
writeLines(
  c(
    "The compiled code of wbhlm contains the following Rust crates. Their sources travel with the source package",
    "(src/rust/vendor.tar.xz). This file is written by tools/authors.R.",
    "",
    unlist(lapply(wanted, entry))
  ),
  "inst/AUTHORS"
)
cat("inst/AUTHORS:", length(wanted), "crates\n")
