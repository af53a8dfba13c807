# One task runner: what a person types, what the hooks run and what CI runs are these targets.
# `make` alone lists them. All but clean work inside .venv, which the first call makes.
.DEFAULT_GOAL := help
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PYTHON ?= python3
NOTEBOOKS ?= notebooks
JUNK := build dist htmlcov .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help demo test chain-test simulate lint format types notebooks picture lab clean distclean env

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The stamp holds pyproject's bytes and the constraints': it is compared, not dated, so that a
# fresh clone or a `git checkout` that only touches files does not reinstall 180 packages.
env:
	@cat pyproject.toml constraints.txt | cmp -s - $(STAMP) && [ -x $(BIN)/python ] || $(MAKE) install

# A comparison of seconds on a tape of one minute: everything compiled is used in it.
define WARM
import arbkit as ak
from arbkit.history.synthetic import SyntheticSpec
tape = ak.synthetic_tape(SyntheticSpec(minutes=1.0, episodes=6))
ak.compare(tape, ak.baskets(tape))
endef
export WARM

.PHONY: install
install:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null || { \
	  echo "arbkit needs CPython 3.11 to 3.14, and '$(PYTHON)' is" \
	    "$$($(PYTHON) --version 2>/dev/null || echo not found). Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	@rm -f $(STAMP); echo "setting up $(VENV) (once; about a minute, seconds with uv)"
	@if command -v uv >/dev/null; then \
	  { [ -x $(BIN)/python ] || uv venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); } && \
	  uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[all]'; \
	elif [ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV); then \
	  $(BIN)/python -m pip install -qq --disable-pip-version-check --constraint constraints.txt --editable '.[all]'; \
	else \
	  echo "could not make $(VENV): neither uv nor '$(PYTHON) -m venv' works here" \
	    "(on Debian and Ubuntu: apt install python3-venv; or install uv)." >&2; rm -rf $(VENV); exit 1; \
	fi || { echo "the packages could not be installed: read the lines above; then run make again." >&2; exit 1; }
	@echo "compiling the kernels (once for each version of them)"
	@$(BIN)/python -W ignore -c "$$WARM" || echo "the kernels could not be compiled now (see above); the first run tries again" >&2
	@cat pyproject.toml constraints.txt > $(STAMP)

demo: env  ## the whole way from a tape to a comparison, on shipped data
	@$(BIN)/arbkit demo

# Work is stolen from who has more left: handed out in shares that grow small, minutes of tests waited for one worker while
# the other was idle. The notebooks are the longest, so they come first.
test: env  ## every test and notebook, with the coverage gate
	@$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal --cov --cov-report=term:skip-covered --nbmake $(NOTEBOOKS) tests

# A local node and the real contracts' bytecode, at the exact versions of package.json, into node_modules. No lock
# file: it would hold a registry's addresses. No scripts: nothing that is installed here runs before it is asked to.
.PHONY: chain-parts
chain-parts:
	@cmp -s package.json node_modules/.stamp || { \
	  command -v npm >/dev/null || { echo "npm is needed for the chain's parts (on Debian and Ubuntu: apt install npm)" >&2; exit 1; }; \
	  npm install --ignore-scripts --no-audit --no-fund --no-package-lock --loglevel=error; \
	  ls node_modules/@foundry-rs/anvil-*/bin/anvil >/dev/null || { echo "npm has no node (anvil) for this system" >&2; exit 1; }; \
	  cp package.json node_modules/.stamp; }

chain-test: env chain-parts  ## the tests on a local node with real contracts (needs npm), figures at the end
	@$(BIN)/python -m pytest -m 'chain or chain_figure' tests $(CHAIN_ARGS)

# Both ends of `web3>=7.16,<9`: .venv has the newest, and here is the oldest in an environment of its own, with the majors
# that Polymarket's own client holds it to (polymarket-client 0.14.0: eth-abi and eth-utils below 6, websockets below 16).
# What is not web3's comes from .venv. That websockets.legacy is old is no news: web3 7.16 imports it. LOW_ARGS: pytest's.
WEB3_LOW := web3==7.16.0 eth-abi<6 eth-utils<6 websockets<16
LOW := .web3-low
.PHONY: web3-low
web3-low: env  ## the chain's tests with the oldest web3 that pyproject.toml allows
	@[ "$$(cat $(LOW)/.stamp 2>/dev/null)" = "$(WEB3_LOW)" ] || { \
	  $(BIN)/python -m venv --clear $(LOW) && \
	  $(LOW)/bin/python -m pip install -qq --disable-pip-version-check $(patsubst %,'%',$(WEB3_LOW)) \
	    'aiohttp>=3.12' 'coincurve>=20.0' && \
	  $(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > \
	    "$$($(LOW)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/rest.pth" && \
	  echo "$(WEB3_LOW)" > $(LOW)/.stamp; }
	@$(LOW)/bin/python -c 'from importlib.metadata import version as v; \
	  print("with", ", ".join(f"{n} {v(n)}" for n in ("web3", "eth-abi", "eth-account", "eth-utils", "aiohttp")))'
	@$(LOW)/bin/python -m pytest -q -W ignore:websockets.legacy:DeprecationWarning \
	  tests/unit/chain tests/unit/settlement tests/chain $(LOW_ARGS)

# SEEDS=n runs so many, FIRST=k begins elsewhere, SEED=s tells the story of one.
simulate: env  ## the engine under every fault, seeded: SEEDS=5000, or SEED=42 to replay one
	@$(BIN)/python -m tests.simulation.faults.run \
	  $(if $(SEED),--seed $(SEED) --timeline,--seeds $(or $(SEEDS),500) --first $(or $(FIRST),0))

# The compiled simulator and the plain one, order by order: minutes, so `make test` does a few hundred tapes of each.
.PHONY: twin
twin: env  ## the simulator against its slow twin on random tapes: TAPES=10000 for the matcher, as many for the venue
	@ARBKIT_TWIN_TAPES=$(or $(TAPES),10000) $(BIN)/python -m pytest -q -s --timeout=7200 -o faulthandler_timeout=0 \
	  tests/property/test_matcher_twin.py tests/property/test_venue_twin.py

.PHONY: determinism
determinism: env  ## one seed, one journal: the hash over processes, hash seeds, chunks and executors
	@$(BIN)/python -m benchmarks.determinism

# From recordings that are not in this repository: ARBKIT_REAL_DATA says where they are.
.PHONY: sensitivity
sensitivity: env  ## latency and queue on two recorded games, written to docs/sensitivity.md
	@$(BIN)/python -m benchmarks.sensitivity

.PHONY: golden
golden: env  ## every golden case of the venues' fees, counted: n of n
	@$(BIN)/python -m pytest -q -s tests/unit/fees/test_golden_count.py

# PRIORITY=1 puts what is timed before all other work of a busy machine (Linux, as root). ONLY=engine, chain, imports or
# peers measures one part; the peers are installed in .peers, each in an environment of its own. LONG=1: 50 million rows too.
.PHONY: bench soak
bench: env  ## measure engine, journal, memory, chain, imports and peers, written to docs/performance.md
	@$(BIN)/python -m benchmarks $(if $(PRIORITY),--first) $(if $(ONLY),--only $(ONLY)) $(if $(LONG),--long)

soak: env  ## a week in virtual time: what the engine holds in memory; DAYS=7
	@$(BIN)/python -m benchmarks soak --days $(or $(DAYS),7)

.PHONY: mutants
mutants: env  ## break the engine in ways that people do, and see that the simulation notices
	@$(BIN)/python -m tests.simulation.mutants.run

# Of the money code alone, each operator and number by itself, under its unit tests. ONLY=arbkit/risk/budget.py
.PHONY: mutation
mutation: env  ## change the code that counts money, one operator at a time: does a test notice?
	@$(BIN)/python -m tests.mutation.run $(if $(ONLY),--only $(ONLY))

lint: env  ## style, format, the import rule, stripped notebooks
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-cache
	@git ls-files -z '*.ipynb' | xargs -0 -r $(BIN)/nbstripout --verify

format: env  ## let ruff put right what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

types: env  ## mypy, strict
	@$(BIN)/mypy

notebooks: env  ## run every notebook, executed copies in build/notebooks
	@mkdir -p build/notebooks && cp -R $(NOTEBOOKS)/. build/notebooks/
	@$(BIN)/python -m pytest --nbmake --overwrite build/notebooks

# Real processes, killed with SIGKILL: minutes, so it is a proof to ask for and not a part of the tests, which do a few.
.PHONY: crash-loop
crash-loop: env  ## kill a real engine RUNS times (200), and prove after each that nothing was doubled or lost
	@$(BIN)/python -m tests.process.crash_loop --runs $(or $(RUNS),200) --seed $(or $(SEED),1)

picture: env  ## draw the README's picture again (needs chromium)
	@$(BIN)/python docs/picture.py

lab: env  ## open JupyterLab on the notebooks
	@$(BIN)/jupyter lab --ip=127.0.0.1 --notebook-dir=.

# Compiled kernels live outside the checkout, in a folder named by the hash of their sources and versions (see
# arbkit/core/compiled.py): an edit opens a new one, so no target has to clear a stale cache.
clean:  ## remove what runs leave behind, keep .venv
	@rm -rf $(JUNK); find . -name __pycache__ -not -path './$(VENV)/*' -not -path './.peers/*' -not -path './.web3-low/*' -prune -exec rm -rf {} +

distclean: clean  ## and .venv, .peers and .web3-low
	@rm -rf $(VENV) .peers $(LOW)
