# The only door: people, CI and packagers all come in through these targets. `make help` lists them.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
RUNTIME := .venv/.postern-runtime
DEV := .venv/.postern-dev
PYTHON_FILES := src tests bench scripts

# What a test run is cut into. xdist gives each worker whole files, so servers start once a file. In
# their order: xdist's own puts files of few, long tests last, where one worker ends alone. Half the
# time a test waits for disks, servers and clocks, so three share two processors.
PYTEST := $(BIN)/python -m pytest -q --numprocesses $(or $(JOBS),3) --dist loadfile \
  --no-loadscope-reorder
ARGS ?=

# Where `make compile` leaves its work, and the tests that are run on it as well: all that reaches
# what is compiled. Imports find it before src/ when it stands in PYTHONPATH.
COMPILED := $(CURDIR)/.venv/compiled
COMPILED_TESTS := $(addprefix tests/,mail reception queue routing delivery spool dialogues fuzz crash \
  journeys)
# Journeys that lead through what is not compiled, and take long: once is enough.
COMPILED_TESTS += $(addprefix --ignore=tests/journeys/,test_quarantine.py test_rejected_sender.py \
  test_preview.py test_scanner_limits.py test_scanner_ends.py test_quota.py test_every_rule.py \
  test_console.py)
# What reads scanners' answers is not compiled; and coverage is measured in bytecode, or guides nothing.
COMPILED_TESTS += $(addprefix --ignore=tests/fuzz/,test_scanner_answers.py test_coverage_guided.py)

.PHONY: help run compile check test lab bench fuzz soak profile docs lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(RUNTIME)  ## start Postern here with a first configuration under run/; again: keeps its data
	@$(BIN)/python -m postern.cli.first_run run
	@if $(BIN)/python -m scripts.compile --check; then export PYTHONPATH=$(COMPILED); fi; \
	exec $(BIN)/postern --config run/postern.toml serve

compile: $(DEV)  ## compile what runs for every message (mypyc); `make run` uses it from then on
	@scripts/compiler
	@$(BIN)/python -m scripts.compile

check: $(DEV)  ## ruff, mypy, import-linter, docs in step: seconds, no network
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary $(PYTHON_FILES)
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/python -m pytest -q --no-header -p no:randomly tests/docs tests/architecture

# What is compiled is tested again. To compile it takes what the tests leave of the processors.
test: $(DEV)  ## all tests, with real peers where they can be had
	@scripts/peers
ifneq ($(ARGS),)
	@$(PYTEST) -p no:randomly $(ARGS)
else
	@nice $(BIN)/python -m scripts.compile 2>$(COMPILED).log & compiling=$$!; trap wait EXIT; \
	$(PYTEST) -p no:randomly; \
	code=0; wait $$compiling || code=$$?; cat $(COMPILED).log; \
	if [ $$code = 0 ]; then \
	  echo "== what is compiled, tested again"; \
	  PYTHONPATH=$(COMPILED) $(PYTEST) -p no:randomly $(COMPILED_TESTS); \
	elif [ $$code != 69 ] || [ "$${CI:-}" = true ]; then \
	  exit $$code; \
	fi
endif

lab: $(DEV)  ## the laboratory: two countries, blocked paths, tarpits, told second by second (root)
	@scripts/peers
	@$(BIN)/python -m tests.lab $(STORY)

bench: $(DEV)  ## Postern beside Postfix and aiosmtpd in one run; writes docs/benchmarks.md
	@scripts/peers
	@[ -x /usr/sbin/opendmarc ] || scripts/peers opendkim opendmarc
	@$(BIN)/python -m scripts.compile
	@$(BIN)/python -m bench $(ARGS)
ifeq ($(ARGS),)
	@$(BIN)/python -m bench.checks --page
endif

fuzz: $(DEV)  ## the fuzz targets, ten minutes each (MINUTES=10)
	@POSTERN_FUZZ_SECONDS=$$(awk 'BEGIN {print $(or $(MINUTES),10) * 60}') $(PYTEST) --timeout 0 -m fuzz $(ARGS)

soak: $(DEV)  ## the whole suite twice in a row, each time in another random order
	@scripts/peers
	@for seed in $$RANDOM $$RANDOM; do \
	  echo "== random order, seed $$seed"; \
	  $(PYTEST) --randomly-seed $$seed $(ARGS); \
	done

profile: $(DEV)  ## where Postern's CPU time goes under load, by py-spy
	@scripts/peers
	@$(BIN)/python -m bench.profile $(ARGS)

docs: $(DEV)  ## write the generated pages again: docs/rfc.md, docs/commands.md
	@$(BIN)/python -m scripts.rfc
	@$(BIN)/python -m scripts.commands

lock:  ## pin the libraries again after a change in pyproject.toml (needs the network)
	@scripts/lock $(ARGS)

clean:  ## remove what make made, except the mail under run/
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +

$(RUNTIME): requirements/runtime.txt pyproject.toml scripts/install
	@scripts/install runtime
	@touch $@

# dev.txt holds the very versions of runtime.txt, so it counts for both.
$(DEV): requirements/dev.txt pyproject.toml scripts/install
	@scripts/install dev
	@touch $(RUNTIME) $@
