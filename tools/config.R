# Run by configure: finds cargo, compares its version with the minimum in DESCRIPTION, and fills src/Makevars(.win).in.
#
# Environment variables a developer may set:
#   NOT_CRAN=true             keep src/rust/target between builds, let cargo use every core
#   WBHLM_PROFILE             release (default), release-dev (quick link) or dev
#   WBHLM_CARGO_TARGET_DIR    build in this directory instead of src/rust/target

windows <- .Platform$OS.type == "windows"

stop_configure <- function(...) {
  message("\n", paste(strwrap(paste0(...), 78, prefix = "  "), collapse = "\n"), "\n")
  quit("no", status = 1, runLast = FALSE)
}

install_hint <- paste0(
  "Install Rust from your system (Debian/Ubuntu: apt-get install cargo, when recent enough; macOS: brew install rust) ",
  "or with rustup from the Rust project's site, then install wbhlm again."
)

minimum_rust <- function() {
  requirements <- read.dcf("DESCRIPTION", "SystemRequirements")[[1]]
  version <- regmatches(requirements, regexpr("rustc[^0-9]*[0-9.]+", requirements))
  package_version(gsub("[^0-9.]", "", version))
}

tool_version <- function(tool) {
  line <- tryCatch(
    suppressWarnings(system2(tool, "--version", stdout = TRUE, stderr = FALSE)),
    error = function(e) character()
  )
  if (!length(line) || !grepl("[0-9]+\\.[0-9]+", line[1])) {
    stop_configure("wbhlm needs Rust, and `", tool, "` was not found. ", install_hint)
  }
  message(line[1])
  package_version(regmatches(line[1], regexpr("[0-9]+\\.[0-9]+\\.[0-9]+", line[1])))
}

check_rust <- function() {
  # rustup installs here without changing the PATH of a running R
  home <- Sys.getenv(if (windows) "USERPROFILE" else "HOME")
  Sys.setenv(PATH = paste(Sys.getenv("PATH"), file.path(home, ".cargo", "bin"), sep = .Platform$path.sep))
  tool_version("cargo")
  found <- tool_version("rustc")
  minimum <- minimum_rust()
  if (found < minimum) {
    stop_configure(
      "wbhlm needs rustc ", as.character(minimum), " or newer, and this machine has ", as.character(found), ". ", install_hint
    )
  }
}

rust_target <- function() {
  if (grepl("emscripten|wasm", R.version$platform)) {
    return("wasm32-unknown-emscripten")
  }
  if (!windows) {
    return("")
  }
  if (grepl("aarch64|arm64", R.version$arch)) "aarch64-pc-windows-gnullvm" else "x86_64-pc-windows-gnu"
}

values <- function() {
  not_cran <- tolower(Sys.getenv("NOT_CRAN")) %in% c("true", "1")
  vendored <- file.exists("src/rust/vendor.tar.xz")
  profile <- Sys.getenv("WBHLM_PROFILE", "release")
  target <- rust_target()
  folder <- if (profile == "dev") "debug" else profile
  target_dir <- Sys.getenv("WBHLM_CARGO_TARGET_DIR")
  keep <- not_cran || nzchar(target_dir)
  c(
    LIBDIR = if (nzchar(target)) file.path(target, folder) else folder,
    TARGET_DIR = if (nzchar(target_dir)) target_dir else "$(CURDIR)/rust/target",
    PROFILE = if (profile == "dev") "" else paste("--profile", profile),
    TARGET = if (nzchar(target)) paste0("--target=", target) else "",
    CARGO_FLAGS = paste(c(if (!not_cran) "-j 2", if (vendored) "--offline", "--locked"), collapse = " "),
    CARGO_HOME_SET = if (vendored) "export CARGO_HOME=\"$(CARGOTMP)\" && " else "",
    CARGO_LINKER_SET = if (windows && target == "x86_64-pc-windows-gnu" && getRversion() >= "4.2") {
      "export CARGO_TARGET_X86_64_PC_WINDOWS_GNU_LINKER=\"x86_64-w64-mingw32.static.posix-gcc.exe\" && "
    } else {
      ""
    },
    EXTRA_LIBS = paste(c(
      # macOS' linker takes the same two letters: strip debugging symbols and local symbols
      if (profile == "release") c("-Wl,-S", "-Wl,-x"),
      if (windows) c("-lws2_32", "-ladvapi32", "-luserenv", "-lbcrypt", "-lntdll")
    ), collapse = " "),
    # R >= 4.5 warns about `abort` and `exit` in a static archive left behind
    CLEAN_TARGET = if (keep) "" else "\"$(TARGET_DIR)\""
  )
}

fill <- function(template, output, values) {
  text <- readLines(template)
  for (name in names(values)) {
    text <- gsub(paste0("@", name, "@"), values[[name]], text, fixed = TRUE)
  }
  if (!file.exists(output) || !identical(readLines(output), text)) {
    writeLines(text, output)
  }
}

check_rust()
if (windows) {
  fill("src/Makevars.win.in", "src/Makevars.win", values())
} else {
  fill("src/Makevars.in", "src/Makevars", values())
}
