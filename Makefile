# `make` alone says what there is. ARGS hands arguments on: make test ARGS="-k ledger", make lock ARGS=--upgrade.

SHELL := /bin/sh
PYTHON := .venv/bin/python
COMPILE := .venv/bin/uv pip compile pyproject.toml --quiet --generate-hashes --no-emit-index-url --no-header \
	--universal --python-version 3.11
ARGS ?=
BARS ?=
MINUTES ?= 60

.DEFAULT_GOAL := help
.PHONY: help up test lint bench faults fuzz audit fmt protos lock clean venv

help: ## say what there is
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  \033[36m%-8s\033[0m %s\n", $$1, $$2 }' Makefile

up: venv ## start everything: database, queue, API, worker, sample merchants
	@exec .venv/bin/wapsi up $(ARGS)

test: venv ## every check: lint, types, import rules, protos, tests
	@exec $(PYTHON) scripts/check.py $(ARGS)

lint: venv ## the checks without the tests
	@exec $(PYTHON) scripts/check.py --lint

bench: venv ## measure the bars beside their floors and peers; BARS=ING1,ING2 only some
	@exec $(PYTHON) tests/benchmarks/run.py $(if $(BARS),--bars $(BARS)) $(ARGS)

faults: venv ## break things on purpose: killed processes, lost messages, full and cut-off servers
	@exec $(PYTHON) -m pytest tests/faults --confcutdir=tests/faults -n0 -v -s --durations=0 --durations-min=5 $(ARGS)

fuzz: venv ## throw anything at REST, RPCs, feeds and postbacks for MINUTES=60; says how many cases ran
	@exec $(PYTHON) scripts/fuzz.py --minutes $(MINUTES) $(ARGS)

audit: venv ## known holes, licences and hashes of what we depend on; bill of materials in dist/
	@exec $(PYTHON) scripts/audit.py $(ARGS)

fmt: venv ## format the code, and mend what can be mended
	@.venv/bin/ruff check --fix-only --quiet . && .venv/bin/ruff format .

protos: venv ## generate the gRPC code from protos/
	@$(PYTHON) protos/generate.py && $(PYTHON) protos/generate.py --lint

lock: venv ## resolve pyproject.toml into requirements.lock and requirements-runtime.lock
	@$(COMPILE) --all-extras --group dev -o requirements.lock $(ARGS)
	@$(COMPILE) -o requirements-runtime.lock $(ARGS)
	@echo "Resolved; the next make installs what has changed."

clean: ## remove .venv, caches and everything that `make up` stored (.wapsi)
	@scripts/clean.sh

# Any Python does to look for the right one; pyenv's names without a version behind them do not run.
venv:
	@for python in python3 python3.14 python3.13 python3.12 python3.11 python; do \
		if $$python -c 'import sys; sys.exit(sys.version_info < (3, 7))' 2>/dev/null; then \
			exec $$python scripts/make_venv.py; \
		fi; \
	done; \
	echo "Wapsi needs Python 3.11 to 3.14, and none was found on PATH." >&2; exit 1
