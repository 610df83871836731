# Everything a developer or a machine does here, by name. `make run` and `make test` need nothing
# installed but make, a Rust toolchain and, where packages are missing, the right to install them.

CARGO  ?= cargo
SHELL  := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

TARGET  := $(or $(CARGO_TARGET_DIR),target)
CONSOLE := console/dist/index.html
CONSOLE_SOURCES := $(shell find console -path console/node_modules -prune -o -path console/dist -prune -o -type f -print)

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

.PHONY: run
run: tools-run $(CONSOLE) ## Install what is missing, build, and start a node (ARGS="..." is passed on)
	$(CARGO) build --release --locked
	exec $(TARGET)/release/pegasus up $(ARGS)

.PHONY: build
build: tools-run $(CONSOLE) ## Build the release binary
	$(CARGO) build --release --locked

.PHONY: console
console: tools-run $(CONSOLE) ## Build the web console

$(CONSOLE): $(CONSOLE_SOURCES)
	cd console && npm ci --no-audit --no-fund && npm run build
	touch $@

.PHONY: test
test: tools-test $(CONSOLE) ## Run every test
	cd console && npm test
	$(CARGO) build --workspace --locked
	$(CARGO) test --workspace --locked --no-fail-fast
	python3 tests/e2e/run.py --binary $(TARGET)/debug/pegasus

.PHONY: soak
soak: tools-test $(CONSOLE) ## The long tests: kill -9s under load, suites of others at the mount, power cuts, many seeds, mutations
	$(CARGO) build --release --locked
	scripts/tools posix
	PATH="$$HOME/.cargo/bin:$$PATH" python3 tests/e2e/run.py --binary $(TARGET)/release/pegasus --long posix blocks
	python3 tests/e2e/run.py --binary $(TARGET)/release/pegasus --kills 200 kill
	python3 tests/e2e/run.py --binary $(TARGET)/release/pegasus --kills 100 durable postgres
	$(CARGO) run --release --locked -p pegasus-sim -- --seeds 10000
	$(CARGO) run --release --locked -p pegasus-sim -- exhaustive --length 3 --sample 2000
	for seed in $$(seq 1 100); do PEGASUS_SEED=$$seed $(CARGO) test --release --locked -q -p pegasus-log -p pegasus-continuous -p pegasus-files; done
	python3 tests/mutations.py

.PHONY: fuzz
fuzz: tools-run ## Every fuzz target for a minute (SECONDS_EACH=60); stable compilers are let use the sanitizers
	command -v cargo-fuzz >/dev/null || $(CARGO) install cargo-fuzz --locked
	cd fuzz && export RUSTC_BOOTSTRAP=1 && for target in $$($(CARGO) fuzz list); do \
	  $(CARGO) fuzz run $$target -- -max_total_time=$(or $(SECONDS_EACH),60); done

.PHONY: bench
bench: tools-test tools-bench $(CONSOLE) ## The benchmarks, side by side with their peers
	$(CARGO) build --release --locked
	python3 bench/run.py --binary $(TARGET)/release/pegasus

.PHONY: lint
lint: tools-run $(CONSOLE) ## Formatting, lints and documentation, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --locked

.PHONY: tools-run tools-test tools-bench
tools-run:
	@scripts/tools run
tools-test:
	@scripts/tools test
tools-bench:
	@scripts/tools bench
