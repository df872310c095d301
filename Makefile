# Everything a newcomer needs, in one word each. `make` alone lists the targets.

PYTHON ?= python3
SWEEP ?= target_size
REPEAT ?= 20
BENCH ?= launcher_scale input train_step evaluation ddp start_up
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/installed
SLURM := $(PYTHON) tools/slurm_dev.py
SLURM_DEV := $(or $(SEGDA_SLURM_DEV),$(or $(TMPDIR),/tmp)/segda-slurm-dev-$(shell id -u))

.DEFAULT_GOAL := help

# Only a new .venv takes the PYTHON that was asked for.
ifneq ($(origin PYTHON),file)
version = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ifneq ($(wildcard $(BIN)/python),)
ifneq ($(call version,$(PYTHON)),$(call version,$(BIN)/python))
$(warning $(VENV) has Python $(call version,$(BIN)/python), not that of PYTHON=$(PYTHON); `make clean` removes it)
endif
endif
endif
.PHONY: help setup sweep leaderboard check test test-fast faults slurm-dev slurm-dev-stop dashboard dashboard-stop bench clean

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 26

setup: $(INSTALLED) ## install into .venv (any PYTHON=python3.11 or newer)

# Made anew when pyproject.toml is newer; the stamp comes last, so an interrupted install is repeated.
$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "segda needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) -V 2>&1). Use make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --editable '.[dev]'
	@touch $@

# The private Slurm of `make slurm-dev` is used where the shell names none and it runs.
sweep: $(INSTALLED) ## run a sweep and print its leaderboard: SWEEP=target_size [DATA=…] [EXECUTOR=…] [ARGS="…"]
	@if test '$(EXECUTOR)' = slurm -a -z "$$SLURM_CONF" && found="$$($(SLURM) conf '$(SLURM_DEV)' 2>/dev/null)"; \
		then export SLURM_CONF="$$found"; fi; \
	$(BIN)/segda sweep '$(SWEEP)' $(if $(DATA),--data '$(DATA)') $(if $(EXECUTOR),--executor '$(EXECUTOR)') $(ARGS)

leaderboard: $(INSTALLED) ## print the leaderboard of SWEEP=target_size
	@$(BIN)/segda leaderboard '$(SWEEP)' $(ARGS)

check: $(INSTALLED) ## formatting, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Bytecode is kept, whatever the shell asks for: the tests start hundreds of processes, which share the cores.
test test-fast: export PYTHONDONTWRITEBYTECODE =
test test-fast: export OMP_NUM_THREADS = 1

# Three processes on two cores: many tests wait for Slurm or Ray.
test: $(INSTALLED) ## all tests; as root, Debian packages they need are installed first
	@$(BIN)/python tools/debian_packages.py slurm browser
	$(BIN)/python -m pytest -n 3 --dist loadfile --no-loadscope-reorder -m 'not alone' $(ARGS)
	$(BIN)/python -m pytest -m alone $(or $(ARGS),$$(grep -rl --include='*.py' mark.alone tests)) || test $$? = 5 # none chosen by ARGS

test-fast: $(INSTALLED) ## the quick tests that start no processes
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not processes and not slow' $(ARGS)

# Not in `make test`: a round takes minutes.
faults: $(INSTALLED) ## every fault REPEAT=20 times at random moments [SEED=…]; writes docs/faults.md, ADD=1: adds to it
	@$(BIN)/python tools/debian_packages.py slurm
	PYTHONPATH=.:tests:tools $(BIN)/python -m faults --repeat $(REPEAT) $(if $(SEED),--seed $(SEED)) $(if $(ADD),--add)

slurm-dev: ## a private Slurm on this host, for development; prints export SLURM_CONF=...
	@$(PYTHON) tools/debian_packages.py slurm
	@$(SLURM) conf '$(SLURM_DEV)' >/dev/null 2>&1 || $(SLURM) up '$(SLURM_DEV)' $(ARGS) >/dev/null
	@echo "export SLURM_CONF='$$($(SLURM) conf '$(SLURM_DEV)')'"

slurm-dev-stop: ## end it and its jobs
	@$(SLURM) down '$(SLURM_DEV)'

dashboard: $(INSTALLED) ## a Ray head that stays, with its dashboard on loopback; says how to log in
	@$(BIN)/segda dashboard

dashboard-stop: $(INSTALLED) ## end it
	@$(BIN)/segda dashboard --stop

bench: $(INSTALLED) ## how fast things are, beside what the machine could do: BENCH="train_step ..." [ARGS="..."]
	@for each in $(BENCH); do PYTHONPATH=tools $(BIN)/python benchmarks/$$each.py $(ARGS) || exit 1; echo; done

clean: ## remove .venv and caches; never runs/ or data/
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
	find launcher segda_core tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +
