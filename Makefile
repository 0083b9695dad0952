# The few verbs. Each installs what it misses where it can, and says what to install where it cannot.
SHELL := /bin/bash
TARGET := $(or $(CARGO_TARGET_DIR),target)
PROFILE ?= release
TRADES ?=
SEED ?= 1
ROUNDS ?= 20
FIXED ?=
ONLY ?=
BIN ?= $(HOME)/.local/bin
SECONDS ?= 300

.PHONY: demo test e2e check fuzz bench bench-operator chaos promises sabotage image plugin up down

# The main job on this machine, no cluster: a generated market, or the recording TRADES=path/to/SYMBOL-trades-x.csv.gz.
demo:
	@e2e/build-tools
	cargo build --workspace --bins
	@python3 e2e/demo.py --bin $(TARGET)/debug --out target/demo $(if $(TRADES),--trades $(TRADES))

# Everything: unit, property, integration (real Kafka, PostgreSQL, MariaDB, API server), the demo, and kind.
test:
	@e2e/test

# The examples that take the place of other systems, on kind and judged: all three, or ONLY=rest-mysql, ohlc-postgres, whales-scram.
e2e:
	@e2e/build-tools
	cargo build --workspace --bins
	@e2e/run-examples $(if $(ONLY),--only $(ONLY))

# What a reviewer would run before reading.
check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

# Every decoder of outside bytes against a fuzzer, SECONDS each.
fuzz:
	@e2e/build-tools
	@e2e/fuzz $(SECONDS)

# What the programs can do on this machine, each figure beside a limit measured in the same run (about twelve minutes).
bench:
	@e2e/build-tools
	cargo build --workspace --bins --release
	@e2e/run-bench bench $(TARGET)/release

# A thousand pipelines and one operator: first pass, memory, writes at rest, and how soon a change is acted on (about ten minutes).
bench-operator:
	@e2e/build-tools
	cargo build --package operator --release
	@TESTBED_CONTROLLERS='*,-deployment-controller' e2e/run-bench bench_operator $(TARGET)/release --leave

# The fault campaign: SEED=.. ROUNDS=.. draws rounds at random, FIXED=n plays the n-th round of make test.
chaos:
	@e2e/build-tools
	@e2e/chaos-programs
	@e2e/chaos-campaign $(if $(FIXED),--fixed --only $(FIXED),--seed $(SEED) --rounds $(ROUNDS))

# What is promised in words, one by one: redundancy, named holes, causes told apart, bounded buffers, growth under load.
promises:
	@e2e/build-tools
	@e2e/chaos-programs
	@e2e/promises

# Errors made on purpose, in workers and in databases: the judge must find every one (about ten minutes).
sabotage:
	@e2e/build-tools
	@e2e/chaos-programs
	@e2e/sabotage

# target/image/cryptopipeline.tar from our own binaries, without a base image: `kind load image-archive` takes it.
image:
	@e2e/build-tools
	cargo build --workspace --bins --profile $(PROFILE)
	PROFILE=$(PROFILE) images/build

# The kubectl plugin, into the folder BIN, which must be on the PATH.
plugin:
	@e2e/build-tools
	cargo build --workspace --bins --profile $(PROFILE)
	install -D $(TARGET)/$(patsubst dev,debug,$(PROFILE))/kubectl-cryptopipeline $(BIN)/kubectl-cryptopipeline

# A real Kafka, PostgreSQL, MariaDB, API server and kind on this machine: eval "$$(make -s up)".
up:
	@testbed/up all

# Removes all of it.
down:
	@testbed/down
