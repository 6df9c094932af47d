# What one can do in this checkout; `make help` lists it. Every target first makes sure, by tools/setup,
# that the machine has what it needs. CARGO_TARGET_DIR is respected.

export PATH := $(PATH):$(HOME)/.cargo/bin
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)

PREFIX ?= /usr/local
DESTDIR ?=
DEMO_DIR ?= demo

.PHONY: help setup build demo test test-slow lint bench install dist clean
.DEFAULT_GOAL := help

help:       ## this list
	@awk -F ':[^#]*## ' '/^[a-z-]+:[^#]*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

setup:      ## Debian packages, libxgboost, toolchain check; nothing when all is there
	@tools/setup

build:      ## the binary, at target/release/fvc
	@tools/setup --quiet
	cargo build --release -p fvc

demo: build ## real clips to a trained, evaluated detector and a verdict, under 10 minutes (DEMO_DIR=demo)
	@FVC="$(TARGET_DIR)/release/fvc" tools/demo "$(DEMO_DIR)"

test:       ## every test and doc test, then which could not run here and why
	@tools/setup --quiet --also numpy --also mpi
	@tools/test

test-slow:  ## the tests that take minutes each (those named slow_*)
	@tools/setup --quiet
	@tools/test --slow

lint:       ## rustfmt, clippy, rustdoc, licences and sources of dependencies
	@tools/setup --quiet --also rust-lints --also cargo-deny
	@tools/lint

bench:      ## kernels, then whole jobs against ffmpeg's own decode; BENCH='-p fvc-features' for one crate's kernels only
	@tools/setup --quiet
	cargo bench $(or $(BENCH),--workspace) --benches
	@$(if $(BENCH),,$(MAKE) --no-print-directory build && FVC="$(TARGET_DIR)/release/fvc" tools/bench-job)

install: build ## into PREFIX (/usr/local), under DESTDIR if set; FFmpeg stays the system's
	@tools/setup --quiet --also patchelf
	@tools/install "$(TARGET_DIR)/release/fvc" "$(DESTDIR)$(PREFIX)"

dist: build ## a relocatable tarball in dist/, with every library but the C and C++ runtimes, tried from another folder
	@tools/setup --quiet --also patchelf
	@tools/dist "$(TARGET_DIR)/release/fvc"

clean:      ## what was built and the demo; keeps .deps
	cargo clean
	rm -rf dist demo
