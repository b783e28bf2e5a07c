# Everything a machine with Python 3.11 and make needs: `make run`, `make test`.
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
CONSTRAINTS := .ci/constraints.txt
# AsyncAPI's own JSON Schema, which the tests hold our document against.
ASYNCAPI_SPECS := 6.11.1
ARGS ?=
# Test processes at once: most tests wait for a server's intervals, and one file stays in one process.
JOBS ?= 2

.PHONY: help run test lint unit bench soak pictures wheel clean

help:
	@echo "make run    install into $(VENV) and serve on port 9003 (ARGS='--profile corrected' for options)"
	@echo "make test   install, check style and types, run all tests"
	@echo "make bench  thread scaling at 1000, 2000 and 4000 clients beside original and floor, ten minutes"
	@echo "make soak   what needs many minutes"
	@echo "make pictures  photograph the live page in every state, into examples/pictures"
	@echo "make wheel  build the package into dist/"
	@echo "make clean  remove what make made"

run: $(VENV)/.run
	$(BIN)/livestream serve $(ARGS)

test: lint unit

lint: $(VENV)/.dev
	$(BIN)/flake8
	$(BIN)/mypy

unit: $(VENV)/.dev
	$(BIN)/python -m pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

bench: $(VENV)/.dev
	$(BIN)/python -m tests.bench $(ARGS)

soak: $(VENV)/.dev
	$(BIN)/python -m pytest tests/soak $(ARGS)

pictures: $(VENV)/.dev
	$(BIN)/python -m tests.browser.pictures

wheel: $(VENV)/.dev
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: setup.cfg $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable .
	touch $@

$(VENV)/.dev: setup.cfg $(CONSTRAINTS) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --constraint $(CONSTRAINTS) --editable '.[dev]'
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/npm install --prefix $(VENV)/asyncapi \
		--silent --no-audit --no-fund @asyncapi/specs@$(ASYNCAPI_SPECS)
	touch $@ $(VENV)/.run
