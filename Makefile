# `make` lists what there is to do. Everything that is built or installed lies under target/.

MAKEFLAGS += --no-print-directory
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DEFAULT_GOAL := help
.PHONY: help demo playground drill test soak lint advisories bench release image clean

host := $(shell rustc -vV | sed -n 's/^host: //p')
dist := target/dist
deny := target/tools/bin/cargo-deny
version := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml)
# What `make image` makes, and the authorities that the issuer in it trusts for identity providers.
IMAGE ?= gatepass-issuer:$(version)
CA_BUNDLE ?= /etc/ssl/certs/ca-certificates.crt

help: ## list what there is to do
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' Makefile | expand -t 18

demo: ## log in at a real identity provider and use the certificate at a real API server, unattended
	@tests/setup & setup=$$!
	$(MAKE) release
	cargo build --locked --workspace --bin demo
	wait $$setup
	GATEPASS_BIN=$(dist) exec target/debug/demo

playground: ## the demo's parts left running for you and your browser, until Ctrl-C
	@tests/setup & setup=$$!
	$(MAKE) release
	cargo build --locked --workspace --bin playground
	wait $$setup
	GATEPASS_BIN=$(dist) exec target/debug/playground

drill: ## break the glass at a real API server while identity provider and issuer are down, unattended
	@tests/setup & setup=$$!
	$(MAKE) release
	cargo build --locked --workspace --bin drill
	wait $$setup
	GATEPASS_BIN=$(dist) exec target/debug/drill

test: ## everything, on real parts; installs and builds what it needs
	@tests/setup & setup=$$!
	cargo build --locked --workspace --all-targets
	wait $$setup
	# The store on a real Secret Service in each of its states; then everything else. Always the whole workspace, because a
	# part of it would have other features and be compiled again. End-to-end tests wait more than they compute, so more of
	# them run side by side than there are cores.
	tests/keyring/every-state.sh
	# Those that wait nearly all of their time, minutes each, run beside all else.
	cargo test --locked --workspace --no-fail-fast --test soak --test cut_off --test ordinary_traffic -- --ignored & waiting=$$!
	RUST_TEST_THREADS=4 cargo test --locked --workspace --no-fail-fast
	wait $$waiting

soak: ## ten minutes of renewals by fifty sessions while two issuers restart in turn
	@tests/setup & setup=$$!
	cargo build --locked --workspace --all-targets
	wait $$setup
	GATEPASS_SOAK_SECONDS=600 cargo test --locked --workspace --test soak -- --ignored

lint: ## formatting, clippy, documentation, licences and bans
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --document-private-items --quiet
	$(MAKE) $(deny)
	$(deny) --log-level error --locked check bans licenses sources

advisories: $(deny) ## known vulnerabilities; says when the database cannot be reached
	@if ! $(deny) --locked fetch db 2>target/advisories.log; then
	  echo "The advisory database cannot be reached from here; nothing was checked. See target/advisories.log" >&2
	  exit 1
	fi
	$(deny) --locked check --disable-fetch advisories

bench: release ## today's figures beside their anchors
	cargo bench --locked -p gatepass-issuer
	cargo bench --locked -p gatepass-break-glass --bench ceremony
	tests/setup
	cargo build --locked --quiet --workspace --bin hot-path --bin revocation-time
	GATEPASS_BIN=$(dist) target/debug/hot-path
	GATEPASS_BIN=$(dist) target/debug/revocation-time
	GATEPASS_TRAFFIC_SECONDS=600 cargo test --locked --workspace --test ordinary_traffic -- --ignored

release: ## both binaries as shipped, static, in target/dist
	export RUSTFLAGS="-C target-feature=+crt-static -C relocation-model=static"
	cargo build --locked --release --target $(host) -p gatepass-issuer
	cargo build --locked --profile plugin --target $(host) -p kubectl-gatepass
	mkdir -p $(dist)
	cp target/$(host)/release/gatepass-issuer target/$(host)/plugin/kubectl-gatepass $(dist)/

image: release ## a container image of the issuer by podman, buildah or docker: IMAGE=name:tag
	@test -s $(CA_BUNDLE) || { echo "No authorities in $(CA_BUNDLE): install ca-certificates, or name another file with CA_BUNDLE=" >&2; exit 1; }
	rm -rf target/image
	mkdir -p target/image
	install -m 0755 $(dist)/gatepass-issuer target/image/
	install -m 0644 $(CA_BUNDLE) target/image/ca-certificates.crt
	for tool in podman buildah docker; do
	  # Not only installed: a docker without its daemon builds nothing.
	  if $$tool info >/dev/null 2>&1; then
	    $$tool build --tag $(IMAGE) --file deploy/Containerfile target/image
	    echo "$(IMAGE) is in the store of $$tool; push it to where your cluster pulls from"
	    exit
	  fi
	done
	echo "None of podman, buildah and docker works here. Install one; the image is deploy/Containerfile over target/image" >&2
	exit 1

clean: ## remove target/, with the control plane that took six minutes to build
	rm -rf target

$(deny):
	cargo install --locked --version '^0.20' --root target/tools --target-dir target/tools/build cargo-deny
	rm -rf target/tools/build
