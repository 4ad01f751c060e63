# Everything that this project does, each target from an empty clone. `make` alone does what CI does.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check
# Python keeps what it has compiled, the tests too, whatever the environment says: the second run begins sooner.
unexport PYTHONDONTWRITEBYTECODE
WORKERS ?= 4
PYTEST = $(BIN)/python -m pytest --durations=10
# Many tests wait for servers most of the time, so four run at a time on two cores. Those of `check` wait for nothing,
# and EVERY=1 has many that start servers and workers: there one runs on each core.
# A worker that has nothing left to do takes tests over from the others.
SPREAD = --numprocesses=$(WORKERS) --dist=worksteal
ON_EACH_CORE = --numprocesses=auto --dist=worksteal
# Thousands of tests that wait for servers run beside each other: a machine that stands still for a moment fails one of
# them. So in CI what failed runs once more, by itself; both results are printed, and the second one counts.
ONCE_MORE = { echo "Once more, by itself: what failed"; $(PYTEST) --last-failed --last-failed-no-failures=none; }
# What needs no server, and of the rest what other Pythons and older packages may break.
EVERYWHERE = not ci and (not server or contract or portable)
# Shows all that a command says where it fails, and nothing where it does not.
logged = { $(1) >$(VENV)/pip.log 2>&1 || { cat $(VENV)/pip.log; exit 1; }; }

.DEFAULT_GOAL := all
.PHONY: all rest help demo check test python pythons soak fuzz migrations floors lint format types docs instructions count bench dist clean FORCE

all: rest  ## What CI does, in about half an hour: lint, types, docs, every test, on every Python here, and a soak
	@$(MAKE) --no-print-directory test EVERY=1

rest:
	@$(MAKE) --no-print-directory $(VENV)/.test $(VENV)/.migrations $(VENV)/.lint $(VENV)/.docs $(VENV)/.fuzz
	@$(MAKE) --no-print-directory $(BESIDE) lint types docs floors pythons
	@$(MAKE) --no-print-directory instructions
	@$(MAKE) --no-print-directory soak SOAK_SECONDS=60

# Two targets at a time, and what each says in one piece, where this make can do that.
BESIDE := --jobs=2 $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

help:  ## This list
	@awk -F':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

PORT ?= 8000
demo: $(VENV)/.example  ## Run the example application at PORT, on an embedded Valkey or on JWTSESSION_REDIS_URL
	@$(BIN)/python -m example_app --port $(PORT)

check: $(VENV)/.test $(VENV)/.lint  ## Check format and lint, and run the tests that need no server: in less than a minute
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/ruff check --quiet .
	@EXAMPLES=0.3 $(PYTEST) --quiet $(ON_EACH_CORE) -m "not server and not slow and not ci" tests/unit tests/contract tests/security \
		tests/docs/test_claims.py $(wildcard tests/test_*.py)

test: $(VENV)/.test $(if $(EVERY),$(VENV)/.migrations)  ## Run the tests, in about 5 minutes with the installation; every test, with coverage, by EVERY=1; another Python by PYTHON=python3.12
ifdef EVERY
	@failed=; \
	$(PYTEST) $(ON_EACH_CORE) -m "not alone" --cov --cov-report= --cov-fail-under=0 || failed=1; \
	$(PYTEST) -m alone --cov --cov-append --cov-report=term --cov-fail-under=0 tests/engines || failed=1; \
	$(BIN)/coverage report --format=total >/dev/null || { echo "Less is covered than pyproject.toml demands"; exit 1; }; \
	[ -z "$$failed" ] || $(ONCE_MORE)
else
	@RACES=0.3 EXAMPLES=0.3 $(PYTEST) $(SPREAD) -m "not ci"
endif

python: PYTEST += -o cache_dir=$(VENV)/.pytest_cache
python: $(VENV)/.test
	@$(PYTEST) --quiet $(SPREAD) -m "$(EVERYWHERE)" tests/unit tests/contract tests/security tests/integration || $(ONCE_MORE)

pythons:  ## Run the tests that a Python may break on every other one that is here
	@$(PYTHON) .ci/pythons.py

SOAK_SECONDS ?= 300
soak: $(VENV)/.test  ## Load from several processes while servers and workers are killed, for SOAK_SECONDS
	@$(BIN)/python -m soak --seconds $(SOAK_SECONDS)

FUZZ_SECONDS ?= 300
fuzz: $(VENV)/.test $(VENV)/.fuzz  ## Fuzz the decoder, the parser of stored values, cookies and proofs, FUZZ_SECONDS each (Python 3.11)
	@$(BIN)/python -m fuzz decoder -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1
	@$(BIN)/python -m fuzz stored -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1
	@$(BIN)/python -m fuzz cookies -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1
	@$(BIN)/python -m fuzz proofs -max_total_time=$(FUZZ_SECONDS) -print_final_stats=1

migrations: $(VENV)/.test $(VENV)/.migrations  ## Run the applications of the migration guides, before and after
	@$(PYTEST) --quiet tests/migrations

floors:  ## Run the tests on the oldest packages that pyproject.toml accepts
	@$(MAKE) --no-print-directory python VENV=.venv-floors CONSTRAINTS=floors.txt \
		PYTEST_ADDOPTS="-W ignore::DeprecationWarning"

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
	@$(call logged,NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict)
	@echo "site/index.html"

COUNTS ?= --check
# A count holds for one build of Python. Many machines have this one: Debian 12's. `pythons` makes its environment too.
DEBIANS = $(shell /usr/bin/python3 -c 'import platform; print(platform.python_version())' 2>&1)
instructions:  ## Compare the instructions of requests with the expected ones; COUNTS=--update writes them down
	@$(MAKE) --no-print-directory count $(if $(filter 3.11.2,$(DEBIANS)),PYTHON=/usr/bin/python3 VENV=.venv-$(DEBIANS))

count: $(VENV)/.test
	@$(BIN)/python -m benchmarks.instructions $(COUNTS)

bench: $(VENV)/.test  ## Measure side by side with what one would use instead, in about 25 minutes; BENCH=--quick takes about two
	@$(BIN)/python -m benchmarks $(BENCH)

dist: $(VENV)/.test  ## Build what is published, into dist/
	@rm -rf dist
	@$(BIN)/python -m build --no-isolation --outdir dist

clean:  ## Remove what the targets made
	rm -rf .venv .venv-* tests/interop/node_modules tests/generated_client/node_modules tests/browser/node_modules site dist node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.*

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
