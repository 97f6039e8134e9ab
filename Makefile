# The one list of commands. `make` alone prints it. Everything is installed into .lib inside the clone; no step but `setup` needs root.

SHELL := /bin/bash
LIB := $(CURDIR)/.lib
CARGO_PATH := $(PATH):$(HOME)/.cargo/bin
export PATH := $(CARGO_PATH)
export R_LIBS := $(LIB)
export NOT_CRAN := true

# cargo needs it to find R's headers; on a machine without R, `make setup` comes first
R_FOUND := $(shell R RHOME 2>/dev/null)
ifneq ($(R_FOUND),)
export R_HOME := $(R_FOUND)
endif

RSCRIPT := Rscript --vanilla
PACKAGE_FILES := DESCRIPTION NAMESPACE configure tools/config.R \
	$(shell find R data inst man src/entrypoint.c src/Makevars.in src/rust/Cargo.toml src/rust/Cargo.lock src/rust/core src/rust/bridge \
	-type f 2>/dev/null)
INSTALLED := $(LIB)/wbhlm.installed

.PHONY: help demo test test-rust test-r bench validate docs document wrappers authors fixtures dist check lint fmt setup install clean

help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

demo: setup install ## set up, build, and show a within/between analysis of a real trial
	$(RSCRIPT) tools/demo.R

setup: ## install what the project needs from the system's packages (as root), or say what is missing
	bash tools/setup

install: $(INSTALLED) ## build and install into .lib, when something changed

$(INSTALLED): $(PACKAGE_FILES)
	mkdir -p "$(LIB)"
	R CMD INSTALL --no-multiarch --with-keep.source -l "$(LIB)" .
	touch "$@"

test: setup install test-rust test-r ## all tests of the Rust core and of the R package

test-rust: ## tests of the Rust core only (no R needed)
	cargo test --locked --manifest-path src/rust/Cargo.toml -p wbhlm-core
	cargo test --locked --manifest-path rust-dev/Cargo.toml --target-dir src/rust/target

test-r: install ## tests of the R package only; make test-r FILTER=groups for one file
	$(RSCRIPT) tools/test.R $(FILTER)

bench: install ## speed and memory against lme4 and other programs (25 minutes); make bench BENCH="rows=96x4 tools=lme4" for a part
	$(RSCRIPT) bench/bench.R $(foreach word,$(BENCH),'$(word)')

validate: install ## 1,000 models against lme4, nlme, glmmTMB, lmerTest and pbkrtest (long at first, then resumed)
	$(RSCRIPT) data-raw/validate/run.R

docs: document ## help pages, and the website when pkgdown is installed
	$(RSCRIPT) tools/docs.R

document: install ## regenerate NAMESPACE and man/ with roxygen2
	$(RSCRIPT) tools/document.R

wrappers: install ## regenerate R/000-wrappers.R from the compiled bridge
	$(RSCRIPT) tools/wrappers.R

authors: ## regenerate inst/AUTHORS from the crates in use
	$(RSCRIPT) tools/authors.R

dist: setup ## source package with all crates inside, for machines without a network: build/wbhlm_<version>.tar.gz
	bash tools/dist

check: dist ## R CMD check --as-cran on that source package, offline
	bash tools/check

lint: install ## rustfmt, clippy, lintr and the house style
	cargo fmt --manifest-path src/rust/Cargo.toml --all --check
	cargo clippy --locked --manifest-path src/rust/Cargo.toml --workspace --all-targets -- -D warnings
	$(RSCRIPT) tools/lint.R

fmt: ## format the Rust code
	cargo fmt --manifest-path src/rust/Cargo.toml --all

clean: ## remove everything built
	rm -rf .lib build docs src/rust/target src/Makevars src/Makevars.win src/.cargo src/vendor src/*.o src/*.so *.Rcheck
