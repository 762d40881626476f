# setup · smoke · test-quick · test · test-long · check · bench-NAME · ui · cluster · cluster-stop        (check + test = what CI runs)
SHELL := /bin/bash
VENV := .venv
PYTHON := $(VENV)/bin/python
BASE_PYTHON ?= python3.11
SITE ?= local
UNIT_WORKERS := -n 2
WORKERS := -n 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1
.PHONY: setup smoke test test-unit test-quick test-long check docs ui cluster cluster-stop lock

setup: $(VENV)/.ready

# bytecode is compiled once, on every core: without it each process of this stack starts twice as slowly
$(VENV)/.ready: requirements.lock pyproject.toml
	@mkdir -p .build
	@echo "setup: installing the pinned dependencies (log: .build/setup.log)"
	@{ $(BASE_PYTHON) -m venv $(VENV) && \
	   $(PYTHON) -m pip install --no-compile -r requirements.lock && \
	   $(PYTHON) -m pip install --no-deps --no-build-isolation -e . && \
	   { $(PYTHON) -m compileall -q -j 0 $(VENV)/lib || true; } ; } > .build/setup.log 2>&1 \
	   || { tail -n 30 .build/setup.log; echo "error: setup failed; the whole log is .build/setup.log"; exit 1; }
	@touch $@

# SITE=slurm-dev: on the test cluster that `make cluster` starts
smoke: setup
	@MARTLET_SITE=$(SITE) $(VENV)/bin/martlet run smoke

ui: setup
	@$(VENV)/bin/martlet ui

# a Slurm cluster on this machine (docs/how-to/test-cluster.md)
cluster: setup
	@$(PYTHON) -m infra.deploy.cluster install
	@$(PYTHON) -m infra.deploy.cluster start

cluster-stop: setup
	@$(PYTHON) -m infra.deploy.cluster stop

check: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports
	$(VENV)/bin/deptry .

bench-%: setup
	@$(PYTHON) -m benchmarks $*

# the pages of docs/reference/, from the code; a test says when they are out of date
docs: setup
	@$(PYTHON) -m docs.generate

# while working
test-quick: setup
	$(VENV)/bin/pytest $(UNIT_WORKERS) -m quick tests

test-unit: setup
	$(VENV)/bin/pytest $(UNIT_WORKERS) -m "not long" tests/unit

# the longest first, so that all end together; one worker more than cores, for what runs on Slurm waits half of the time
test: test-unit
	$(VENV)/bin/pytest $(WORKERS) --no-loadscope-reorder -m "not long" tests/e2e tests/integration

# at night; SHARD=K/N: the Kth of N parts, as .github/workflows/nightly.yml has them on four machines
test-long: setup
	$(VENV)/bin/pytest $(WORKERS) --no-loadscope-reorder -m long $(if $(SHARD),--shard $(SHARD)) tests/e2e tests/integration

# rewrites the lock; needs uv, which resolves this list in seconds where pip does not finish
lock:
	uv pip compile pyproject.toml --extra dev --python-version 3.11 --no-annotate --no-header -o requirements.lock
	sed -i 's/^\(torch==[0-9.]*\)+cpu/\1/; /^nvidia-/d; /^cuda-/d; /^triton==/d' requirements.lock
