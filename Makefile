# frostline: everything a fresh clone needs. `make demo` and `make test` do their own set-up.

VENV   ?= .venv
PYTHON := $(VENV)/bin/python
ROOT   ?=
PYTEST ?= $(PYTHON) -m pytest
# One worker per core; a file's tests stay together because they share a server.
PYTEST_ARGS ?= -n auto --dist loadfile
# How often `make explore` goes through the property tests, each time with other examples.
ROUNDS ?= 10

CHECKED := $(wildcard tiering dedup policies daemon.py tests benchmarks tools)

.DEFAULT_GOAL := help
.PHONY: help venv test test-heavy explore check format demo reference lock clean

help:
	@echo 'make demo              a small real workspace through one full cycle'
	@echo 'make demo ROOT=/dir    estimate and plan for a directory of yours, without touching it'
	@echo 'make test              the test suite'
	@echo 'make test-heavy        gigabytes, many files, many kills'
	@echo 'make explore ROUNDS=10 property tests with new random examples, so many times over'
	@echo 'make check             ruff, ruff format --check, mypy --strict, import-linter'
	@echo 'make format            let ruff mend what it can'
	@echo 'make reference         write docs/cli.md and docs/config.md from the program'
	@echo 'make lock              resolve the newest dependencies into requirements.lock'
	@echo 'make clean             remove the environment and every cache'

venv: $(VENV)/.ready

# pip resolves nothing here: the lock pins every package. Build isolation is off so that setuptools comes from
# the lock as well.
$(VENV)/.ready: requirements.lock pyproject.toml
	@set -eu; \
	if [ ! -x $(PYTHON) ]; then \
	    found=; \
	    for candidate in python3.11 python3.12 python3.13 python3.14 python3; do \
	        if "$$candidate" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	            found=$$candidate; break; \
	        fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo 'frostline needs Python 3.11 or newer with its venv module (Debian: apt install python3-venv)' >&2; \
	        exit 1; \
	    fi; \
	    "$$found" -m venv $(VENV); \
	fi
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

test: venv
	$(PYTEST) $(PYTEST_ARGS)

# One at a time: these measure waits and fill disks.
test-heavy: venv
	$(PYTEST) -m heavy --durations=10 --timeout=1200

# `make test` tries the same examples for the same code (tests/conftest.py). This one looks for new ones; what it finds
# is kept as an @example beside the property. A round is repeated by the seed that it prints.
explore: venv
	@set -eu; round=0; \
	while [ $$round -lt $(ROUNDS) ]; do \
	    round=$$((round + 1)); \
	    seed=$$($(PYTHON) -c 'import secrets; print(secrets.randbelow(2**32))'); \
	    echo "round $$round of $(ROUNDS): --hypothesis-profile=explore --hypothesis-seed=$$seed"; \
	    $(PYTEST) $(PYTEST_ARGS) -m hypothesis --timeout=1200 \
	        --hypothesis-profile=explore --hypothesis-seed=$$seed; \
	done

check: venv
	$(PYTHON) -m ruff check $(CHECKED)
	$(PYTHON) -m ruff format --check $(CHECKED)
	$(PYTHON) -m mypy
	$(VENV)/bin/lint-imports

format: venv
	$(PYTHON) -m ruff check --fix $(CHECKED)
	$(PYTHON) -m ruff format $(CHECKED)

demo: venv
	$(PYTHON) -m tiering.cli.demo $(ROOT)

# docs/cli.md and docs/config.md, from the program itself.
reference: venv
	$(PYTHON) -m tiering.cli.reference docs

# Regenerates requirements.lock from pyproject.toml, with the oldest supported Python where it is installed, in an
# environment of its own. Read the difference, run `make test check`, commit both.
lock:
	rm -rf .venv-lock
	python=$$(command -v python3.11 || command -v python3) && "$$python" -m venv .venv-lock
	.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check '.[dev]'
	{ echo '# Every package of a frostline environment, run-time and development. Written by `make lock`.'; \
	  .venv-lock/bin/python -m pip freeze --all --exclude pip --exclude frostline | grep -E '^[A-Za-z0-9._-]+==' | LC_ALL=C sort -f; \
	} > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf .venv-lock build frostline.egg-info

clean:
	rm -rf $(VENV) .venv-lock build dist frostline.egg-info demo .coverage htmlcov
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find tiering dedup policies tests -name __pycache__ -type d -prune -exec rm -rf {} +
