# Two commands do all the set-up: `make lab` and `make test`. Needs: Python 3.11 or newer, make, a package registry.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$p >/dev/null 2>&1 && $$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BIN := .venv/bin
LAB_ARGS ?=
PART ?=
EXACT_ARGS ?=
# Cases that nobody has seen, compared in a minute or two.
FRESH := --fresh --kubernetes 1.37 --syncs 20000 --calls 20000 --mutants 600 --fuzz 600

.DEFAULT_GOAL := help
.PHONY: help setup lab test lint bench e2e cluster exact clean

help: ## show these verbs
	@awk -F':.*## ' '/^[a-z0-9]+:.*## / {printf "  make %-7s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.run .venv/.dev ## build .venv from the hashed requirement files; the command is then .venv/bin/inflight

lab: .venv/.run ## two emulated fleets, the CPU signal against the work in flight; page, table, report
	@$(BIN)/inflight lab $(LAB_ARGS)

test: .venv/.run .venv/.dev ## run the tests (no cluster, no browser, no network)
	$(BIN)/python -m pytest -m "not e2e"

lint: .venv/.run .venv/.dev ## ruff, mypy --strict, the arrows between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: .venv/.run .venv/.dev ## print the figures of docs/performance.md, each beside its peer or bound
	@for b in bench/bench_*.py; do echo "== $$b"; $(BIN)/python $$b || exit 1; done

exact: .venv/.run ## decisions against the unmodified HPA controller, 1,000,000 syncs a release (needs Go; goes on where it was cut off)
	@$(BIN)/python conformance/decide/exact.py $(EXACT_ARGS)

e2e: .venv/.run ## the stock HPA of a real control plane scales on Inflight (needs Go; PART="install shapes ...")
	$(BIN)/python conformance/cluster/run.py e2e $(PART)
	$(if $(PART),,$(BIN)/python conformance/decide/exact.py $(FRESH))

cluster: .venv/.run ## the same control plane left running, its kubeconfig printed, until Ctrl-C
	@$(BIN)/python conformance/cluster/run.py play

clean: ## remove .venv and caches
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/bin/python:
	@test -n "$(PYTHON)" || { echo "inflight needs Python 3.11 or newer, and none of python3, python3.14 ... python3.11 on PATH is. Install one, or run: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "$(PYTHON) lacks the venv or ensurepip module (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 2; }
	$(PYTHON) -m venv .venv

.venv/.run: requirements/run.txt .venv/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/run.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.run
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# Maintainers only: writes the requirement files anew from pyproject.toml.
.PHONY: pins
pins:
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --group build -o requirements/run.txt pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --group test --group lint -c requirements/run.txt -o requirements/dev.txt
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --group e2e -c requirements/dev.txt -o requirements/e2e.txt
