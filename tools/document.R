# Regenerates NAMESPACE and man/ from the roxygen comments, against the installed package.

wanted <- read.dcf("DESCRIPTION", "RoxygenNote")[[1]]
if (utils::packageVersion("roxygen2") != wanted) {
  stop("roxygen2 ", wanted, " writes the help pages of this project, and ", utils::packageVersion("roxygen2"), " is installed.")
}
roxygen2::roxygenise(".", roclets = c("namespace", "rd"), load_code = roxygen2::load_installed)
