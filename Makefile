# The house in one place: every command that builds, checks or shows this project.
# Needs only Python 3.11 or newer, git and make; the rest goes into .venv, see scripts/venv.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.NOTPARALLEL:
# What runs here runs in the environment that is made here, whatever the shell is set up for.
unexport PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE VIRTUAL_ENV

# Where the environment is, for `make test-all` has several.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON_DIRECTORIES := app assets benchmarks config tests

# Processes that run tests side by side: one more than a small machine has cores, for many tests wait for others.
JOBS ?= 3
# More words for pytest: make test ARGS="-k invite -x"
ARGS ?=
# For `make simulate`.
SEEDS ?= 1000
FIRST ?= 0
# For `make mutants`.
SEED ?= 1
N ?= 100
ROOMS ?=
# Left out of `make test`, for who has just run them: make test WITHOUT="tests/architecture tests/unit"
WITHOUT ?=

# What `make test` and `make test-all` run.
TESTS ?= tests

FAST := tests/architecture tests/unit
# Who has nothing left to do takes from the other: the longest tests do not run alone at the end.
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal

.PHONY: help
help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv
venv: ## Make .venv with the tools that check and test, or bring it up to date with pyproject.toml
	@VENV=$(VENV) scripts/venv dev

.PHONY: runtime
runtime: ## Make .venv with what the program needs, and nothing else; does nothing where `make venv` was
	@VENV=$(VENV) scripts/venv run

.PHONY: libzt
libzt: venv ## Have libzt for the tests; does nothing when it is there, and needs no network then
	@$(BIN)/taskmessenger zerotier install >/dev/null || [[ -z "$${CI:-}" ]]

.PHONY: demo
demo: runtime ## Hash a real directory on a fleet of real processes while some of them are killed
	$(BIN)/taskmessenger demo --chaos

.PHONY: test
test: libzt ## Run all tests, but for those that only measure
	$(PYTEST) -m "not bench" $(TESTS) $(addprefix --ignore=,$(WITHOUT)) $(ARGS)

.PHONY: test-all
test-all: ## Run all tests on every Python this project is for and that is here, each in a .venv-3.x of its own
	@failed=; while read -r number python; do \
	  echo "== Python $$number"; \
	  $(MAKE) --no-print-directory test VENV=.venv-$$number PYTHON=$$python </dev/null || failed+=" $$number"; \
	done < <(scripts/interpreters); \
	[[ -z $$failed ]] || { echo "failed on:$$failed" >&2; exit 1; }

.PHONY: faults
faults: venv ## Break a fleet in every way and write what held into docs/reliability.md: make faults FULL=1
	$(BIN)/python -m tests.faults.run $(if $(FULL),--full) $(if $(ONLY),$(ONLY))

.PHONY: simulate
simulate: venv ## Whole fleets under faults in virtual time: make simulate SEEDS=100000 FIRST=0
	$(BIN)/python -m tests.simulation.simulate --first $(FIRST) --seeds $(SEEDS)

.PHONY: mutants
mutants: libzt ## Make N mistakes in the code and tell which no test notices: make mutants SEED=1 N=100 ROOMS="core net"
	$(BIN)/python -m tests.mutants.run --seed $(SEED) --number $(N) --jobs $(JOBS) $(if $(ROOMS),--rooms $(ROOMS)) $(ARGS)

.PHONY: bench
bench: libzt ## Measure throughput, latency, memory and idle load: all there is, or what ARGS say
	$(BIN)/taskmessenger bench $(or $(ARGS),--sessions 200 --deep 1000000)

.PHONY: bench-check
bench-check: libzt ## Run the tests that make test leaves out: every measure measures
	$(PYTEST) -m bench tests $(ARGS)

.PHONY: bench-peers
bench-peers: venv ## Do the same work on Dask, Ray, Celery, HyperQueue and ours; one table
	@mkdir -p benchmarks/results
	$(BIN)/python benchmarks/run.py --json benchmarks/results/peers.json --out benchmarks/results/peers.md $(ARGS)

.PHONY: bench-console
bench-console: venv ## Measure the console: keys, pages, events, memory, and what it costs a manager
	$(BIN)/python -m tests.bench.console $(ARGS)

.PHONY: pictures
pictures: venv ## Take the pictures of the screens for the README
	$(BIN)/python -m tests.console.pictures

.PHONY: check
check: static libzt ## Check format, style, types and layers, and run the fast tests
	$(PYTEST) $(FAST) $(ARGS)

.PHONY: static
static: venv ## Check format, style, types and layers only
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .
	$(BIN)/python -m mypy
	$(BIN)/lint-imports

.PHONY: format
format: venv ## Put the code into its one format, and mend what can be mended
	$(BIN)/python -m ruff format .
	$(BIN)/python -m ruff check --fix-only --quiet .

.PHONY: clean
clean: ## Remove what was built or cached
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* .mutants
	find $(PYTHON_DIRECTORIES) -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: distclean
distclean: clean ## Remove every .venv too
	rm -rf .venv .venv-3.* benchmarks/.venvs benchmarks/results
