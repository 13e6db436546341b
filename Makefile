# make demo | make test | make check: each sets up what it needs.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

.PHONY: help setup demo test stress check viewer picture clean

help:
	@echo "make demo             send a phantom CTA through the node and show what comes back"
	@echo "make demo SERIES=DIR  the same with a folder of DICOM files of your own"
	@echo "make test             run the tests"
	@echo "make stress           the long forms of the fault, load and hostile input tests (half an hour)"
	@echo "make check            ruff, mypy and the import rules"
	@echo "make viewer           fetch the OHIF viewer that a test opens (needs npm)"
	@echo "make picture          open the demo's study in it, compare, and make the README's picture (needs Chromium, Orthanc)"
	@echo "make setup            make $(VENV) with everything pinned in constraints.txt"

setup: $(READY)

$(READY): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or later is needed; '$(PYTHON)' is older. Try: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/pip install --quiet --disable-pip-version-check \
	  --constraint constraints.txt --editable '.[demo,test,check]'
	@touch $@

demo: $(READY)
	$(BIN)/python -m dicom_node.demo $(if $(SERIES),--series "$(SERIES)")

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

stress: $(READY)
	$(BIN)/python -m pytest tests/integration/faults -m "stress or not stress" --timeout=7200
	$(BIN)/python -m pytest tests/integration --ignore=tests/integration/faults -m stress --timeout=7200
	$(BIN)/python -m tests.benchmarks.soak

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

viewer: $(READY)
	$(BIN)/python -m tests.support.ohif_packages

picture: viewer
	OHIF_README_PICTURE=docs/images/ohif.png $(BIN)/python -m pytest tests/integration/test_ohif.py

clean:
	rm -rf $(VENV) build *.egg-info demo-output
