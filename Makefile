# torch's CPU build is chosen by constraints.txt where the index has one.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: install all study test lint docs mutants clean

install: $(VENV)/installed
all: $(VENV)/installed-all
study: install
	$(BIN)/ungrok study digits
test: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist worksteal
lint: $(VENV)/installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/sizes.py src benchmarks docs tools
docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
mutants: $(VENV)/installed-test $(VENV)/installed-mutants
	$(BIN)/python benchmarks/mutants.py $(MUTANTS)
clean:
	rm -rf $(VENV) docs/_build build dist

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
$(VENV)/installed: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[text]'
	touch $@
# One resolution for what tests, lint and docs would each install.
$(VENV)/installed-all: $(BIN)/python pyproject.toml constraints.txt
	$(PIP) -e '.[text,test,dev,docs]'
	touch $(VENV)/installed $(addprefix $(VENV)/installed-,test dev docs all)
$(VENV)/installed-%: $(VENV)/installed
	$(PIP) -e '.[$*]'
	touch $@
