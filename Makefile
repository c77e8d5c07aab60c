# make render [TARGET=aura] [ARGS="--size 256"]   set everything up and render a target
# make test                                       set everything up and run every check
# make torture                                    damage files, and fail at every file operation
# make docs                                       set everything up and build the documentation
PYTHON ?= python3
VENV ?= .venv
TARGET ?= aura
ARGS ?=
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
BIN := $(VENV)/bin

# As it was written, and to the shell a variable of its environment: neither make nor the shell runs
# anything in it, and blanks make no words of it.
override TARGET := $(value TARGET)
export TARGET
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: help setup dev render test lint types docs unit wheel torture bench clean

help:
	@sed -n 's/^# //p' Makefile

setup: $(VENV)/.setup

dev: $(VENV)/.dev

$(VENV)/.setup: pyproject.toml constraints.txt tools/system.sh
	sh tools/system.sh $(PYTHON)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.setup
	sh tools/system.sh $(PYTHON) browser
	$(PIP) -e '.[dev]'
	@touch $@

render: setup
	$(BIN)/satgen render --target "$$TARGET" $(ARGS)

test: lint types docs unit wheel

lint: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: dev
	$(BIN)/mypy

# Every warning is an error: a link that leads nowhere, a docstring that cannot be read.
docs: dev
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs

unit: dev
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# The wheel alone, in an environment of its own and a folder elsewhere: assets included, no checkout.
wheel: dev
	BIN=$(abspath $(BIN)) sh tools/wheel_test.sh

# Thousands of flipped bits and edits, and a fault at every file operation of six commands: hours.
torture: dev
	$(BIN)/python -m tests.torture

bench: dev
	$(BIN)/python -m bench.render_speed

clean:
	rm -rf $(VENV) build dist *.egg-info .ruff_cache .mypy_cache .pytest_cache .hypothesis
