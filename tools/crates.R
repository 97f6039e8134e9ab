# Which crates a build on one of CRAN's platforms can reach.

cran_targets <- c(
  "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin",
  "x86_64-pc-windows-gnu", "aarch64-pc-windows-gnullvm"
)

# "name version" of every crate
reached_crates <- function(manifest = "src/rust/Cargo.toml") {
  trees <- lapply(cran_targets, function(target) {
    out <- system2("cargo", c(
      "tree", "--locked", "--manifest-path", manifest, "--workspace", "--target", target, "-e", "normal,build",
      "--prefix", "none", "--format", shQuote("{p}")
    ), stdout = TRUE)
    if (!is.null(attr(out, "status"))) {
      stop("cargo tree failed for ", target)
    }
    out
  })
  lines <- unique(unlist(trees))
  lines <- lines[nzchar(lines)]
  sort(unique(sub("^([^ ]+) v([^ ]+).*$", "\\1 \\2", lines)))
}
