# Two commands do everything: `make serve` and `make test`. docs/operations.md has the settings.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV ?= .venv
PY := $(VENV)/bin/python
HOST ?= 127.0.0.1
PORT ?= 8000
LLMS_DATA ?= var
# Tests wait as much as they compute; a file's tests stay together and share their servers.
SIDE_BY_SIDE ?= -n 3 --no-loadscope-reorder
export HOST PORT LLMS_DATA

.PHONY: help serve test test-all check format install install-test install-bench bench-frontend \
  bench-scheduling bench-scheduling-full bench-scheduling-why bench-replay evaluate-pocket

help: ## this list
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/:[^#]*## /\t/' | expand -t 23

serve: install ## install, migrate and serve on http://HOST:PORT
	@$(PY) -m playground.frontend
	@$(PY) manage.py prepare
	@exec $(PY) manage.py serve

test: install-test ## the tests, at most 20 minutes on 2 cores
	@$(PY) -m playground.frontend
	$(PY) -m pytest $(SIDE_BY_SIDE) -m "not slow" $(ARGS)
	$(PY) -m tests.with_postgres $(PY) -m pytest $(SIDE_BY_SIDE) -m "database and not engine and not slow" $(ARGS)

test-all: install-test ## everything, also what is long
	@$(PY) -m playground.frontend
	$(PY) -m pytest $(SIDE_BY_SIDE) $(ARGS)
	$(PY) -m tests.with_postgres $(PY) -m pytest $(SIDE_BY_SIDE) -m database $(ARGS)

check: install-test ## format, lint, types, Django's own checks
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(PY) manage.py check --fail-level WARNING
	$(PY) manage.py makemigrations --check --dry-run

format: install-test ## let ruff format and mend what it can
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

bench-frontend: install ## our server and vLLM's own, side by side
	$(PY) -m bench.frontend

bench-scheduling: install-bench ## simulate scheduling policies: 12 cells, at most 10 minutes
	$(PY) -m bench.scheduling --seeds 2 --jobs 2 --out $(LLMS_DATA)/bench-scheduling.jsonl $(ARGS)

bench-scheduling-full: install-bench ## all cells, 10 seeds, at most 3 hours; goes on where it was
	$(PY) -m bench.scheduling --full --seeds 10 --jobs 2 --out $(LLMS_DATA)/bench-scheduling.jsonl \
	  --report docs/scheduling/results.md --plots docs/scheduling $(ARGS)

bench-scheduling-why: install-bench ## bounds under our waits, and what the policy's settings trade
	$(PY) -m bench.scheduling.least --out $(LLMS_DATA)/bench-scheduling.jsonl \
	  --report docs/scheduling/least.md
	$(PY) -m bench.scheduling.hindsight --out $(LLMS_DATA)/bench-scheduling.jsonl \
	  --report docs/scheduling/hindsight.md
	$(PY) -m bench.scheduling.online --report docs/scheduling/online.md
	$(PY) -m bench.scheduling.luck --out $(LLMS_DATA)/bench-luck.jsonl \
	  --report docs/scheduling/luck.md
	$(PY) -m bench.scheduling.frontier --out $(LLMS_DATA)/bench-frontier.jsonl \
	  --bench $(LLMS_DATA)/bench-scheduling.jsonl --report docs/scheduling/frontier.md \
	  --plot docs/scheduling/frontier.png

bench-replay: install-bench ## a trace on real tiny engines in real time, beside the simulator
	$(PY) -m bench.scheduling.replay $(ARGS)

evaluate-pocket: install ## measure the embedded model again
	$(PY) -m inference.pocket.evaluate

install: $(VENV)/bin/python
	@$(PY) requirements/install.py

install-test: $(VENV)/bin/python
	@$(PY) requirements/install.py test bench

install-bench: $(VENV)/bin/python
	@$(PY) requirements/install.py bench

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null \
	  || { echo "Python 3.11, 3.12 or 3.13 is needed: install python3.11 and python3.11-venv, or name one with PYTHON=." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "Python's venv module is missing: install the package python3-venv." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
