# Everything that is done with this project. Bare `make` lists it.

PYTHON := .venv/bin/python
CODE := services shared ops deploy clients docs tests bench
LOCK := $(PYTHON) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --no-header $(if $(upgrade),--upgrade)

.DEFAULT_GOAL := help
.PHONY: help setup up test lint smoke chaos chaos-mutants elastic peak soak bench agencies-test features contracts \
	deploy-check lock compose-test kube-test image clean

help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: .venv/dev.stamp ## make .venv with everything for working on this project

up: .venv/local.stamp ## run the whole market on this machine until Ctrl-C
	@$(PYTHON) -m deploy.local.up

test: setup lint ## run every test against real servers
	@$(PYTHON) -m pytest -p tests.skips

lint: setup ## check style, types and the borders between services
	@$(PYTHON) -m ruff check
	@$(PYTHON) -m ruff format --check
	@$(PYTHON) -m mypy $(wildcard $(CODE))
	@.venv/bin/lint-imports

smoke: .venv/local.stamp ## one gig from post to placement on a stack of its own
	@$(PYTHON) -m tests.e2e.smoke

chaos: .venv/local.stamp ## the same while services are killed: nothing lost, nothing doubled
	@$(PYTHON) -m tests.chaos

chaos-mutants: .venv/local.stamp ## protections switched off in copies of the code: the suite must notice each
	@$(PYTHON) -m tests.chaos.mutants

elastic: .venv/local.stamp ## replicas come and go and all restart under load: nothing lost, nothing doubled
	@$(PYTHON) -m tests.chaos.elastic

peak: .venv/local.stamp ## a morning: twenty times the load from one moment to the next, and a crowd that looks
	@$(PYTHON) -m tests.chaos.peak

soak: .venv/local.stamp ## a large market for long, until its log holds EVENTS (a million), with faults all the time
	@$(PYTHON) -m tests.chaos.soak

bench: setup .venv/ortools.stamp ## measure; QUICK=1: in five minutes, against bench/results.json
	@$(PYTHON) -m bench $(if $(QUICK),quick)

agencies-test: setup ## four subscribers in four languages come to the services' own state
	@$(PYTHON) -m tests.agencies

features: setup ## which rows of the feature list are shown by which tests
	@$(PYTHON) -m tests.features

contracts: setup ## record the events' schemas, write docs/, pack build/kuaizhao-contracts (release=1.1 makes a release)
	@$(PYTHON) -m shared.contracts.record $(if $(release),--release $(release))
	@$(PYTHON) -m docs.build
	@$(PYTHON) -m docs.bundle
	@$(PYTHON) -m deploy.k8s.generate
	@$(PYTHON) -m deploy.otel.dashboards

lock: setup ## resolve requirements/*.in anew (upgrade=1 takes newer versions)
	@$(LOCK) requirements/base.in --output-file requirements/base.txt
	@$(LOCK) requirements/local.in --constraints requirements/base.txt --output-file requirements/local.txt
	@$(LOCK) requirements/dev.in --constraints requirements/base.txt --constraints requirements/local.txt \
		--output-file requirements/dev.txt
	@$(LOCK) requirements/ortools.in --output-file requirements/ortools.txt

deploy-check: setup ## check manifests, alerts and dashboards without a cluster (needs Go, once)
	@$(PYTHON) -m deploy.check

compose-test: setup ## run docker-compose.yml for real, with podman
	@$(PYTHON) -m deploy.compose_test

kube-test: setup ## run a service from its manifest for real, with podman
	@$(PYTHON) -m deploy.k8s.play_test

image: ## build the services' image
	@docker build --file deploy/Dockerfile --tag kuaizhao .

clean: ## remove what was made here, also the market's kept state
	rm -rf .venv .state .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build

.venv/local.stamp: requirements/base.txt requirements/local.txt
	@deploy/local/python.sh requirements/base.txt
	@deploy/local/python.sh requirements/local.txt
	@touch $@

.venv/dev.stamp: requirements/dev.txt
	@deploy/local/python.sh requirements/dev.txt
	@touch $@ .venv/local.stamp

# OR-Tools asks for another protobuf than ours, so it has a place of its own.
.venv/ortools.stamp: requirements/ortools.txt .venv/dev.stamp
	@VENV=.venv/ortools deploy/local/python.sh requirements/ortools.txt
	@touch $@
