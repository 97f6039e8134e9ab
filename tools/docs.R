# Builds the website into docs/ when pkgdown is installed; otherwise renders the vignettes there.

if (requireNamespace("pkgdown", quietly = TRUE)) {
  pkgdown::build_site(".", preview = FALSE, install = FALSE, examples = TRUE, new_process = TRUE)
} else {
  message("pkgdown is not installed: rendering the vignettes into docs/ only")
  dir.create("docs", showWarnings = FALSE)
  for (file in list.files("vignettes", "\\.Rmd$", full.names = TRUE)) {
    rmarkdown::render(file, output_dir = "docs", envir = new.env(), quiet = TRUE)
  }
}
