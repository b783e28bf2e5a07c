# Everything a machine with Python 3.11 and make needs: `make run`, `make test`.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := .ci/constraints.txt
# AsyncAPI's own JSON Schema, which the tests hold our document against.
ASYNCAPI_SPECS := 6.11.1
ARGS ?=
# Otherwise, in the folder above, Python takes a project folder called livestream for the package.
EDITABLE := --config-settings editable_mode=compat --editable
# Which of examples/exercises `make solution` solves.
EXERCISE ?=
SOLUTION = $(wildcard examples/exercises/solutions/$(EXERCISE)_*.patch)
PATCH := patch --strip=1 --forward --fuzz=0 --silent --no-backup-if-mismatch
# Test processes at once: most tests wait for a server's intervals, and one file stays in one process.
JOBS ?= 2

# Of the Java twin: which faults it has, and where `make java-twin-run` serves it.
PROFILE ?= original
PORT ?= 9003
JAVA_TWIN := examples/java_twin

.PHONY: help run setup test lint unit bench soak pictures diagrams plot wheel clean
.PHONY: faults java-twin java-twin-run java-twin-page compare solution

help:
	@echo "make run    install into $(VENV) and serve on port 9003 (ARGS='--profile corrected' for options)"
	@echo "make setup  install what the tour, the instruments and the tests need"
	@echo "make test   install, check style and types, run all tests"
	@echo "make bench  thread scaling at 1000, 2000 and 4000 clients beside original and floor, ten minutes"
	@echo "make java-twin       build the same service in Java (needs a JDK 21 or newer, and Maven)"
	@echo "make java-twin-run   start it (PROFILE=$(PROFILE), PORT=$(PORT))"
	@echo "make java-twin-page  write the page that shows its source beside the port's"
	@echo "make compare         the port and the twin: parity, then the same load on each, one report"
	@echo "make faults do the worst to it: what was lost, what was left behind (seven minutes)"
	@echo "make solution        solve an exercise of examples/exercises (EXERCISE=1 to 6)"
	@echo "make soak   what needs many minutes"
	@echo "make pictures  photograph the live page in every state, into examples/pictures"
	@echo "make diagrams  draw the tour's diagrams from recordings (ARGS=--record records the threads anew)"
	@echo "make plot   draw the README's plot from examples/scaling/results.json"
	@echo "make wheel  build the package into dist/"
	@echo "make clean  remove what make made"

run: $(VENV)/.run
	$(BIN)/livestream serve $(ARGS)

setup: $(VENV)/.dev

test: lint unit

lint: $(VENV)/.dev
	$(BIN)/flake8
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(ARGS)

faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m pytest tests/soak $(ARGS)

# Tried first, so that nothing is changed by halves.
solution:
	@test -f "$(SOLUTION)" || { echo "Which one? make solution EXERCISE=1, or 2 to 6."; exit 2; }
	@$(PATCH) --dry-run < $(SOLUTION) || { echo "Nothing is changed: what $(SOLUTION) changes \
	is not as the project has it, but solved already or changed otherwise. Put that aside first."; exit 1; }
	@$(PATCH) < $(SOLUTION)
	@echo "Exercise $(EXERCISE) is solved in:"
	@sed -n 's|^+++ b/|    |p' $(SOLUTION)
	@echo "See what was changed:  cat $(SOLUTION)"
	@echo "See that it works:     python -m pytest examples/exercises/test_$(EXERCISE)_*.py"
	@echo "Undo it:               patch --strip=1 --reverse --no-backup-if-mismatch < $(SOLUTION)"

pictures: $(VENV)/.dev
	$(BIN)/python -m tests.browser.pictures

diagrams: $(VENV)/.dev
	$(BIN)/python -m tests.examples.diagrams $(ARGS)

plot: $(VENV)/.dev
	$(BIN)/python -m tests.bench.plot

# Only Python: whoever wants the Java service need not install ours.
java-twin:
	@$(PYTHON) -m tests.twin build

java-twin-run:
	@exec $(PYTHON) -m tests.twin run --profile $(PROFILE) --port $(PORT)

java-twin-page: $(VENV)/.dev
	$(BIN)/python -m tests.twin.side_by_side

compare: $(VENV)/.dev
	$(BIN)/python -m tests.twin.compare $(ARGS)

wheel: $(VENV)/.dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .hypothesis $(JAVA_TWIN)/target

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing into $(VENV); this takes up to a minute."
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) $(EDITABLE) .
	touch $@

$(VENV)/.dev: setup.cfg $(CONSTRAINTS) | $(BIN)/python
	@echo "Installing into $(VENV) what tests and instruments need; this takes a minute or two."
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) $(EDITABLE) '.[dev]'
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/npm install --prefix $(VENV)/asyncapi \
		--silent --no-audit --no-fund @asyncapi/specs@$(ASYNCAPI_SPECS)
	touch $@ $(VENV)/.run
