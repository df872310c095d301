# Everything a newcomer needs, in one word each. `make` alone lists the targets.

PYTHON ?= python3
SWEEP ?= target_size
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed

.DEFAULT_GOAL := help
.PHONY: help setup sweep leaderboard check test test-fast clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

setup: $(INSTALLED) ## install into .venv (any PYTHON=python3.11 or newer)

# Made anew when pyproject.toml is newer; the stamp comes last, so an interrupted install is repeated.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "segda needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Use make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@

sweep: $(INSTALLED) ## run a sweep and print its leaderboard: SWEEP=target_size [DATA=…] [EXECUTOR=…] [ARGS="…"]
	@$(BIN)/segda sweep '$(SWEEP)' $(if $(DATA),--data '$(DATA)') $(if $(EXECUTOR),--executor '$(EXECUTOR)') $(ARGS)

leaderboard: $(INSTALLED) ## print the leaderboard of SWEEP=target_size
	@$(BIN)/segda leaderboard '$(SWEEP)' $(ARGS)

check: $(INSTALLED) ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: $(INSTALLED) ## all tests
	$(BIN)/python -m pytest $(ARGS)

test-fast: $(INSTALLED) ## the tests that start no processes
	$(BIN)/python -m pytest -m 'not processes' $(ARGS)

clean: ## remove .venv and caches; never runs/ or data/
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find launcher segda_core tests -name __pycache__ -type d -prune -exec rm -rf {} +
