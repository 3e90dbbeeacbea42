# `make run` enlarges the example X-ray, `make test` runs all tests; each sets up what it needs first.
PYTHON ?= $(firstword $(foreach p,python3.12 python3.13 python3.11 python3.10 python3,$(shell $(p) -c 'import sys; (3,10) <= sys.version_info < (3,14) or sys.exit(1)' 2>/dev/null && echo $(p))))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: run test test-runtime lint clean

run: $(VENV)/.run
	@mkdir -p out
	@$(BIN)/edgesr run examples/chest_xray.png -o out/chest_xray_x4.png
	@echo "The enlarged X-ray is in out/chest_xray_x4.png; the original is examples/chest_xray.png."

test: $(VENV)/.test $(VENV)/.export
	$(BIN)/python -m pytest

test-runtime: $(VENV)/.test
	$(BIN)/python -m pytest --ignore=tests/export

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/hadolint --failure-threshold warning jetson/Dockerfile.*

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "edgesr needs Python 3.10 to 3.13; install one, or say which: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { echo "cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.run: $(VENV)/bin/python pyproject.toml
	@echo "Setting up $(VENV) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.test: $(VENV)/.run
	@$(PIP) -e '.[dicom,test]'
	@touch $@

$(VENV)/.export: $(VENV)/.test
	@echo "Installing PyTorch for the tests of export/ (about 5 GB; make test-runtime does without) ..."
	@$(PIP) -e '.[export]'
	@touch $@

$(VENV)/.lint: $(VENV)/.test
	@$(PIP) -e '.[lint]'
	@touch $@

clean:
	rm -rf $(VENV) out build dist
