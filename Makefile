# `make` alone lists the commands. Each target that people type has a `##` comment; tools/ holds what is longer than a line.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
# More than two cores have: tests on real servers wait more than they work.
TEST_THREADS ?= 4
.PHONY: help demo demo-operator demo-cluster test nodes e2e chaos fuzz check bench up down images kind-up release-login \
	release-images release-publish fmt generate setup

help:
	@echo "make ..."
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1 \2/p' $(MAKEFILE_LIST) | while read -r name text; do printf '  %-14s %s\n' "$$name" "$$text"; done

demo: ## see it work: Kafka, workers and Valkey under load, a worker killed, every report accounted for (REPORTS=file.ndjson: yours)
	@tools/demo

demo-operator: ## the same in a Kubernetes cluster: a real API server and operator, with worker processes as pods
	@tools/demo --operator

demo-cluster: ## the same on a cluster with nodes: Helm, containers, a pod killed; kind where Docker answers, else our own (root)
	@tools/demo --cluster

up: setup ## start Kafka and Valkey in the background and say what to try with them
	@cargo build -q -p plaudit -p plaudit-worker -p plaudit-tests
	@cargo run -q -p plaudit-tests -- up

down: ## stop what `make up` started
	@cargo run -q -p plaudit-tests -- down

# Kubernetes and Helm 3 take minutes to build, once, so that starts first. Their tests wait for it if need be.
test: ## run all tests, the ones against real Kafka, Valkey and Kubernetes too
	@tools/setup go tls
	@tools/fetch kubernetes helm helm3 kubeconform schemas promtool >/dev/null & failed=0; \
	{ tools/fetch kafka valkey python >/dev/null && tools/go-build examples/go >/dev/null && \
	  RUST_TEST_THREADS=$(TEST_THREADS) cargo test --workspace; } || failed=$$?; \
	wait; exit $$failed

nodes: images ## tests of the cluster with real nodes that end-to-end tests run on (root)
	@tools/setup go node
	@tools/fetch kafka valkey kubernetes node >/dev/null
	cargo test -p plaudit-tests --test nodes

e2e: setup ## promises on a real cluster: kind where Docker answers, else our own (root); ONLY=part of a test's name
	@tools/e2e $(ONLY)

chaos: setup ## random faults on real servers, each schedule checked: 15 s each (SEED=1 SCHEDULES=100 FAULTS=6 ONLY=kill,failover,...)
	@tools/fetch >/dev/null
	cargo build -q -p plaudit-tests
	cargo run -q -p plaudit-tests -- chaos

fuzz: setup ## hostile inputs for whatever reads them, each target for 30 s (SECONDS=600 ONLY=report)
	@tools/fuzz $(or $(SECONDS),30) $(ONLY)

check: setup ## formatting, lints, licences and advisories
	@tools/setup go shell
	tools/go-check
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy -p plaudit-tests --test nodes --test e2e --locked -- -D warnings
	tools/deny
	"$$(tools/fetch actionlint)/actionlint"
	shellcheck -x -P SCRIPTDIR -S warning $$(grep -l '^#!.*sh$$' tools/* .ci/run)

ci: ## what CI runs, with the time of each step (STEPS="check test": only those)
	@.ci/run $(STEPS)

bench: setup ## reports per second, CPU and memory, beside others and the synchronous design; the operator (SCENARIO=event, operator, ...)
	@tools/setup go jemalloc
	@tools/fetch kafka valkey kubernetes >/dev/null
	cargo build --release -p plaudit -p plaudit-worker -p plaudit-tests
	cargo run --release -p plaudit-tests -- bench --scenario $(or $(SCENARIO),all)

images: setup ## build the images of operator and worker without an engine, into target/images
	@tools/image operator
	@tools/image worker

kind-up: ## a kind cluster with the images in it (needs Docker and kind)
	@tools/kind-up

# What .github/workflows/release.yaml calls; tools/release says what they need.
release-login:
	@tools/release login
release-images:
	@tools/release images $(ARCH)
release-publish:
	@tools/release publish

fmt: ## format the code
	cargo fmt --all

generate: ## write the generated files again (CRD, metrics tables, parts of the chart and what it renders); tests fail when they are old
	@tools/setup go
	UPDATE_GENERATED=1 cargo test -q -p plaudit-crds --test it committed
	UPDATE_GENERATED=1 cargo test -q -p plaudit-worker -p plaudit --lib documented
	UPDATE_GENERATED=1 cargo test -q -p plaudit-tests --test packaging committed -- --test-threads=1

setup:
	@tools/setup
