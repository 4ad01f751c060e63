# Everything that this project does, each target from an empty clone. `make` alone does what CI does.

PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := all
.PHONY: all help demo test caches soak fuzz floors lint format types docs bench clean

all: lint types docs test  ## What CI does: lint, types, docs, tests

help:  ## This list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.example  ## Run the example application, on an embedded Valkey or on JWTSESSION_REDIS_URL
	@$(BIN)/python -m example_app

test: .venv/.dev  ## Run all tests, with branch coverage
	@$(BIN)/pytest --cov --cov-report=term

caches: .venv/.dev  ## Run the tests that need a server again, with the near cache on, and with no cache at all
	@JWTSESSION_NEAR_CACHE_BYTES=4194304 $(BIN)/pytest -q tests/races tests/engines tests/integration tests/interop tests/security
	@JWTSESSION_TOKEN_CACHE_BYTES=0 $(BIN)/pytest -q tests/races tests/integration tests/interop tests/security

SOAK_SECONDS ?= 300
soak: .venv/.dev  ## Load from several processes while servers and workers are killed, for SOAK_SECONDS
	@$(BIN)/python -m soak --seconds $(SOAK_SECONDS)

FUZZ_SECONDS ?= 300
fuzz: .venv/.dev  ## Fuzz the decoder and the parser of stored values, FUZZ_SECONDS each (Python 3.11)
	@$(BIN)/python -m fuzz decoder -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1
	@$(BIN)/python -m fuzz stored -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1

floors:  ## Run the tests on the oldest packages that pyproject.toml accepts
	@$(PYTHON) -m venv .venv-floors
	@.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	@.venv-floors/bin/python -m pip install --quiet --disable-pip-version-check --constraint floors.txt \
		--editable '.[crypto,embedded,form,hiredis]' --group test 'httpx<1'
	@.venv-floors/bin/python -m pytest -q -W ignore::DeprecationWarning -W ignore::PendingDeprecationWarning -W ignore::UserWarning \
		-p no:cacheprovider tests/unit tests/contract tests/integration/test_http.py tests/integration/test_users.py

lint: .venv/.dev  ## Check format and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: .venv/.dev  ## Format, and mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: .venv/.dev  ## Check types: mypy --strict, pyright
	@$(BIN)/mypy
	@$(BIN)/pyright

docs: .venv/.dev  ## Build the documentation into site/, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

bench: .venv/.dev  ## Measure side by side with what one would use instead; BENCH=--quick takes a minute or two
	@$(BIN)/python -m benchmarks $(BENCH)

clean:  ## Remove what the targets made
	rm -rf .venv .venv-floors .venv-peers tests/interop/node_modules site dist node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

.venv/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "jwtsession needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	@echo "Making .venv with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --constraint constraints.txt pip
	@touch $@

.venv/.example .venv/.dev: .venv/.%: .venv/.python pyproject.toml constraints.txt
	@echo "Installing packages ($*), pinned by constraints.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable . --group $*
	@touch $@
