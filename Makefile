# Everything that this project does, each target from an empty clone. `make` alone does what CI does.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# Most tests wait for servers most of the time. All of a file's run on one worker: it has its own servers.
WORKERS ?= 2
PYTEST = python -m pytest --numprocesses=$(WORKERS) --dist=loadscope
# These start processes of their own, or hold answers to time limits: one after the other.
TIMED := tests/engines tests/races $(addprefix tests/integration/,test_cancellation.py test_faults_basic.py \
	test_faults_idle.py test_near.py)
BESIDE := $(addprefix --ignore=,$(TIMED))
# Shows all that a command says where it fails, and nothing where it does not.
logged = { $(1) >$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }; }

.DEFAULT_GOAL := all
.PHONY: all help demo test python pythons caches soak fuzz floors lint format types docs bench dist clean FORCE

all: lint types docs test  ## What CI does: lint, types, docs, tests

help:  ## This list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

PORT ?= 8000
demo: $(VENV)/.example  ## Run the example application at PORT, on an embedded Valkey or on JWTSESSION_REDIS_URL
	@$(BIN)/python -m example_app --port $(PORT)

test: $(VENV)/.test  ## Run all tests, with branch coverage; another Python by PYTHON=python3.12
	@$(BIN)/$(PYTEST) $(BESIDE) --cov --cov-report=
	@$(BIN)/python -m pytest --cov --cov-append --cov-report=term $(TIMED)

python: $(VENV)/.test
	@$(BIN)/$(PYTEST) -q -p no:cacheprovider tests/unit tests/contract tests/integration/test_http.py \
		tests/integration/test_embedded.py

pythons:  ## Run the unit, contract, HTTP and embedded tests on every other Python that is here
	@$(PYTHON) .ci/pythons.py

caches: $(VENV)/.test  ## Run the tests that need a server again, with the near cache on, and with no cache at all
	@JWTSESSION_NEAR_CACHE_BYTES=4194304 $(BIN)/$(PYTEST) -q $(BESIDE) tests/integration tests/interop tests/security
	@JWTSESSION_NEAR_CACHE_BYTES=4194304 $(BIN)/python -m pytest -q $(TIMED)
	@JWTSESSION_TOKEN_CACHE_BYTES=0 $(BIN)/$(PYTEST) -q $(BESIDE) tests/integration tests/interop tests/security
	@JWTSESSION_TOKEN_CACHE_BYTES=0 $(BIN)/python -m pytest -q $(filter-out tests/engines,$(TIMED))

SOAK_SECONDS ?= 300
soak: $(VENV)/.test  ## Load from several processes while servers and workers are killed, for SOAK_SECONDS
	@$(BIN)/python -m soak --seconds $(SOAK_SECONDS)

FUZZ_SECONDS ?= 300
fuzz: $(VENV)/.test $(VENV)/.fuzz  ## Fuzz the decoder and the parser of stored values, FUZZ_SECONDS each (Python 3.11)
	@$(BIN)/python -m fuzz decoder -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1
	@$(BIN)/python -m fuzz stored -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1

floors:  ## Run the tests on the oldest packages that pyproject.toml accepts
	@$(PYTHON) .ci/environment.py .venv-floors
	@$(MAKE) --no-print-directory .venv-floors/.test VENV=.venv-floors CONSTRAINTS=floors.txt
	@.venv-floors/bin/$(PYTEST) -q -W ignore::DeprecationWarning -p no:cacheprovider \
		tests/unit tests/contract tests/integration/test_http.py tests/integration/test_users.py

lint: $(VENV)/.lint  ## Check format and lint, and the workflows
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/zizmor --offline --quiet --no-progress --persona=pedantic .github

format: $(VENV)/.lint  ## Format, and mend what lint can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(VENV)/.test $(VENV)/.lint  ## Check types: mypy --strict, pyright
	@$(BIN)/mypy
	@$(BIN)/pyright

docs: $(VENV)/.docs  ## Build the documentation into site/, warnings are errors
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet
	@echo "site/index.html"

bench: $(VENV)/.test  ## Measure side by side with what one would use instead; BENCH=--quick takes a minute or two
	@$(BIN)/python -m benchmarks $(BENCH)

dist: $(VENV)/.test  ## Build what is published, into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist

clean:  ## Remove what the targets made
	rm -rf .venv .venv-* tests/interop/node_modules tests/generated_client/node_modules site dist node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

# Made anew for another PYTHON; the stamp changes only then, so that what depends on it is not made again each time.
$(VENV)/.python: FORCE
	@$(PYTHON) .ci/environment.py $(VENV)
	@test -e $@ || { $(call logged,$(PIP) --upgrade --constraint constraints.txt pip) && touch $@; }

CONSTRAINTS ?= constraints.txt
# What is tested: the checkout, or the path of a wheel.
PACKAGE ?= --editable .
$(VENV)/.%: $(VENV)/.python pyproject.toml $(CONSTRAINTS)
	@echo "Installing packages ($*), pinned by $(CONSTRAINTS)"
	@$(call logged,$(PIP) --constraint $(CONSTRAINTS) $(PACKAGE) --group $*)
	@touch $@
