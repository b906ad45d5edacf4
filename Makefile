# Every target sets up what it needs, caches it in $(CACHE), and is safe to run twice. `make help` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

export CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/finetune-operator
export PYTHONPATH := $(subst $() ,:,$(addprefix $(CURDIR)/,crds operator trainer-image cli cluster images demo))
PYTHON = $(shell scripts/venv)
BIN := $(CACHE)/bin/current
PYTEST_ARGS ?=
BENCH_ARGS ?=
ARGS ?=

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z0-9-]+:.*## / {printf "  %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

##@ The two commands
.PHONY: demo test prepare
demo: prepare ## a cluster, the chart, the images; pre-train and tune a small model, show what it learned
	scripts/with-cluster $(PYTHON) -m finetune_demo

test: prepare ## the tests that CI runs, from the fastest to the slowest
	@scripts/beside "$(MAKE) test-unit" "$(MAKE) test-integration"
	@$(MAKE) --no-print-directory test-trainer test-e2e

prepare: ## what both need the first time; they run it themselves
	@scripts/prepare

##@ Tests
.PHONY: test-unit test-trainer test-combinations test-gpu test-integration test-cert-manager test-cluster test-e2e
test-unit: ## pure logic, and the parts of the trainer; no cluster
	@scripts/test-unit $(PYTEST_ARGS)

test-trainer: ## whole runs of the trainer on tiny models: killed, resumed, on several ranks, as real processes
	@scripts/test-trainer $(PYTEST_ARGS)

test-combinations: ## train every combination that validation allows; continues where it stopped; not part of `make test`
	@scripts/test-combinations $(PYTEST_ARGS)

test-gpu: ## what holds on this machine's GPUs, on one page; not part of `make test`
	@scripts/test-gpu $(ARGS)

test-integration: binaries ## the operator against a real control plane
	$(PYTHON) -m pytest tests/integration $(PYTEST_ARGS)

test-cert-manager: binaries ## the chart with a real cert-manager, which takes minutes to build; not part of `make test`
	$(PYTHON) -m onenode build cert-manager
	$(PYTHON) -m pytest tests/integration/operator/test_cert_manager.py $(PYTEST_ARGS)

test-cluster: binaries ## the cluster comes up, goes down, and leaves nothing behind
	$(PYTHON) -m pytest tests/e2e/test_cluster_lifecycle.py $(PYTEST_ARGS)

test-e2e: test-cluster ## real images in real pods on the node
	scripts/with-cluster scripts/test-e2e $(PYTEST_ARGS)

.PHONY: bench-cli bench-trainer
bench-cli: ## how fast the command line starts, as a multiple of `python -c pass`
	$(PYTHON) tests/performance/bench_cli.py

bench-trainer: ## the trainer against TRL and the bare libraries: about 15 minutes on a quiet machine
	$(PYTHON) tests/performance/bench_trainer.py $(BENCH_ARGS)
	$(PYTHON) tests/performance/bench_tokenising.py
	$(PYTHON) tests/performance/bench_drawing.py

##@ Code
.PHONY: setup lint format generate lock
setup: ## the Python environment that the other targets use
	@scripts/venv

lint: ## ruff, mypy, import rules, generated files, helm lint, shellcheck
	PYTHON=$(PYTHON) scripts/lint

format: ## rewrite the code as lint wants it
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

generate: ## write the CRDs, the chart's copies and the reference from the models and the parser
	$(PYTHON) -m finetune_api.generate
	$(PYTHON) -m finetune_cli.reference

lock: ## resolve pyproject.toml into requirements/*.txt
	scripts/lock

##@ Cluster and images
.PHONY: binaries cluster-up cluster-env cluster-status cluster-down images
binaries: ## Kubernetes, helm and friends, built from pinned Go modules
	$(PYTHON) -m onenode build

cluster-up: ## a one-node cluster: kind where Docker answers, else our own
	$(PYTHON) -m onenode up

cluster-env: ## shell lines that point kubectl and helm at it: eval "$(make -s cluster-env)"
	@$(PYTHON) -m onenode env

cluster-status: ## what runs, and how to reach it
	$(PYTHON) -m onenode status

cluster-down: ## stop it and leave nothing behind but caches
	$(PYTHON) -m onenode down

images: ## build the operator and trainer images and load them into the node
	$(PYTHON) -m finetune_images build --load

##@ Housekeeping
.PHONY: clean
clean: ## remove everything that was cached, a running cluster included
	-$(PYTHON) -m onenode down
	rm -rf "$(CACHE)"
