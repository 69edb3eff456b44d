# `make help` lists the targets. A bare machine needs Python 3.11 to 3.13, make and access to PyPI.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(SUPPORTED)' 2>/dev/null && echo $$python && break; done)

VENV := .venv
BIN := $(VENV)/bin
HALLMARK := $(BIN)/hallmark
UV := $(BIN)/uv
PYTEST := $(BIN)/python -m pytest
SDK := $(VENV)/.made
# pytest for the environments: beside them, never in them.
TOOLS := $(VENV)/tools
# mlcroissant, likewise, for the tests of `ml`.
CROISSANT := $(VENV)/croissant

export MLFLOW_DISABLE_TELEMETRY := true

.PHONY: help setup demo test lint environments test-pipelines test-containers test-examples test-sdk test-data test-ml test-release test-sources test-expectations test-serve images compile lock clean

help: ## Show this
	@sed -n 's/^\([a-z -]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 34

setup: $(SDK) $(TOOLS)/.made ## Make .venv with the SDK and the tools

$(SDK): pyproject.toml setup.cfg requirements-dev.lock
	@[ -n "$(PYTHON)" ] || { echo "Hallmark needs Python 3.11, 3.12 or 3.13 on PATH; or name one: make PYTHON=/path/to/python" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)."
	@$(PYTHON) -m venv $(VENV) || { echo "Install what Python's venv needs (on Debian: apt install python3-venv)." >&2; exit 1; }
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement environments/builder.lock
	@$(UV) pip install --quiet --python $(BIN)/python --require-hashes --requirement requirements-dev.lock
	@$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
	@touch $@

demo: $(SDK) ## Make the environments and run governed_training on the bundled data
	@$(HALLMARK) env sync data ml release serve
	@$(HALLMARK) run governed_training --params examples/acs_employment/released.yaml

# With --jobs, what takes longest begins first.
test: environments $(TOOLS)/.made $(CROISSANT)/.made ## Run every test; CI=true requires a Docker engine, Chromium and PostgreSQL
	@$(MAKE) --no-print-directory ENVIRONMENTS= test-containers test-pipelines test-ml test-sdk test-examples test-release test-serve test-data test-sources test-expectations lint

lint: $(SDK) ## Check style, types and generated files
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(HALLMARK) compile --check
	$(HALLMARK) lint --ignore HM502 compiled/*/*.yaml

$(TOOLS)/.made: tests/requirements.lock $(SDK)
	@rm -rf $(TOOLS)
	@$(UV) pip install --quiet --python-version 3.11 --target $(TOOLS) --require-hashes --requirement tests/requirements.lock
	@touch $@

# jsonpath-rw has no wheel; it is built by the setuptools that ml's lock holds.
$(CROISSANT)/.made: tests/croissant.lock environments/ml/requirements.lock $(SDK)
	@rm -rf $(CROISSANT)
	@$(UV) pip install --quiet --python-version 3.11 --target $(CROISSANT) --no-deps --require-hashes --build-constraint environments/ml/requirements.lock --requirement tests/croissant.lock
	@touch $@

test-ml: $(CROISSANT)/.made

test-data test-ml test-release test-sources test-expectations test-serve: test-%: $(TOOLS)/.made ## Run the tests of an environment, in it; some: ARGS=tests/...
	$(HALLMARK) env run $* -- python tests/in_environment.py $(TOOLS) $(ARGS)

ENVIRONMENTS := environments

environments: $(SDK)
	@$(HALLMARK) env sync

test-containers: $(ENVIRONMENTS) ## Build the images and run what needs containers, where a Docker engine answers
	@if $(BIN)/python -c 'import docker; docker.from_env().ping()' 2>/dev/null; then $(MAKE) --no-print-directory images; fi
	$(PYTEST) -m docker

test-pipelines: $(ENVIRONMENTS) ## Run whole pipelines in local environments
	$(PYTEST) tests/pipelines -m "not docker"

test-examples: $(ENVIRONMENTS) ## Run the examples
	$(PYTEST) tests/examples -m "not docker"

test-sdk: $(ENVIRONMENTS) ## Run all other tests
	$(PYTEST) --ignore=tests/pipelines --ignore=tests/examples -m "not docker"

# A base image of this name, such as .ci/run makes, serves where no registry can be reached.
LOCAL_BASE := hallmark-base:bookworm

images: export HALLMARK_BASE_IMAGE ?= $(if $(shell docker images --quiet $(LOCAL_BASE) 2>/dev/null),$(LOCAL_BASE))
images: $(SDK) ## Build the images; HALLMARK_BASE_IMAGE names another base
	@$(HALLMARK) image build

compile: $(SDK) ## Write compiled/ and the components' pages
	@$(HALLMARK) compile

# Versions stay unless UPGRADE=1. No index, path or setting of this machine enters a lock.
LOCK := pip compile --quiet --python-version 3.11 --universal --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)
LOCK_ENVIRONMENT := $(UV) --config-file environments/uv.toml $(LOCK)

lock: $(SDK) ## Write the locks from the requirements; UPGRADE=1 takes new versions
	$(LOCK_ENVIRONMENT) environments/data/requirements.in --override environments/data/overrides.txt --output-file environments/data/requirements.lock
	$(LOCK_ENVIRONMENT) environments/ml/requirements.in --output-file environments/ml/requirements.lock
	$(LOCK_ENVIRONMENT) environments/release/requirements.in --output-file environments/release/requirements.lock
	$(LOCK_ENVIRONMENT) environments/sources/requirements.in --output-file environments/sources/requirements.lock
	$(LOCK_ENVIRONMENT) environments/expectations/requirements.in --output-file environments/expectations/requirements.lock
	$(LOCK_ENVIRONMENT) environments/serve/requirements.in --constraint environments/ml/requirements.lock --output-file environments/serve/requirements.lock
	$(LOCK_ENVIRONMENT) examples/lightgbm_ray/requirements.in --output-file examples/lightgbm_ray/requirements.lock
	$(LOCK_ENVIRONMENT) environments/builder.in --output-file environments/builder.lock
	$(LOCK_ENVIRONMENT) tests/requirements.in --output-file tests/requirements.lock
	$(LOCK_ENVIRONMENT) tests/croissant.in --constraint environments/ml/requirements.lock --no-emit-package numpy --no-emit-package pandas --no-emit-package scipy --output-file tests/croissant.lock
	$(UV) --no-config $(LOCK) pyproject.toml --group dev --output-file requirements-dev.lock

clean: ## Remove what was made in this folder; environments stay in the cache, see `hallmark env list`
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
