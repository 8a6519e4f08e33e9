# Every target makes .venv from the locks by itself. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
LOCKS := requirements.lock requirements-dev.lock

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-unit test-integration test-e2e test-system test-postgres test-images coverage lint types format lock schema bench clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-13s %s\n", $$1, $$2}'

$(READY): $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Perennial needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@echo "Setting up $(VENV) from $(LOCKS) (once, a minute or two) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps $(LOCKS:%=-r %)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m pip check --disable-pip-version-check
	@touch $(READY)

setup: $(READY) ## make .venv from the locks

demo: $(READY) ## watch a model live, on a simulated city
	@$(BIN)/perennial demo

# Half of a test's time is waiting for servers and processes, so three work at once on two cores, too. Each has one
# thread for sums, or they would wait for each other.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder -m 'not system'
SYSTEM := $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m 'system and not postgres and not images'

test: $(READY) ## run the unit, integration and end-to-end tests
	@$(PYTEST) tests/e2e tests/integration tests/unit

test-unit: $(READY) ## run the tests of logic alone
	@$(PYTEST) tests/unit

test-integration: $(READY) ## run the tests with real stores, servers and processes
	@$(PYTEST) tests/integration

test-e2e: $(READY) ## run the tests of whole flows and commands
	@$(PYTEST) tests/e2e

test-system: $(READY) ## run `perennial up` as a whole, long runs on real data, kills and races
	@$(SYSTEM) tests/system tests/e2e tests/integration

test-postgres: $(READY) ## run the tests of a team's installation, on PostgreSQL and Redis
	@tests/system/postgres/install.sh
	@$(BIN)/python -m pytest -m postgres tests/system/postgres

test-images: $(READY) ## build the container images and run a team's installation in them
	@tests/system/postgres/install.sh
	@tests/system/docker/install.sh
	@$(BIN)/python -m pytest -m images tests/system/docker

coverage: $(READY) ## branch coverage of the tests and the system's tests together
	@rm -f .coverage .coverage.*
	@$(PYTEST) --cov --cov-report= tests/e2e tests/integration tests/unit
	@$(SYSTEM) --cov --cov-append --cov-report= tests/system tests/e2e tests/integration
	@$(BIN)/coverage report --format=total --precision=2

lint: $(READY) ## ruff, format check, import contracts, retired words
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python .ci/retired_words.py

types: $(READY) ## mypy, strict
	@$(BIN)/mypy

format: $(READY) ## format and sort imports
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

schema: $(READY) ## write configs/schema.json anew
	@$(BIN)/python -m configs.load > configs/schema.json.new && mv configs/schema.json.new configs/schema.json

bench: $(READY) ## the whole job beside a bare script, 10k and 1M rows
	@$(BIN)/python -m benchmarks.pipeline --rows 10000 1000000

# The development lock lies on top of production's, and the build's is a part of it: a package has one version in all.
COMPILE = $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --quiet

lock: $(READY) ## resolve the locks anew, with hashes
	@$(COMPILE) -o requirements.lock pyproject.toml
	@$(COMPILE) -o requirements-dev.lock --group dev -c requirements.lock
	@$(COMPILE) -o requirements-build.lock --group build -c requirements-dev.lock

clean: ## remove .venv and caches, never .perennial
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
