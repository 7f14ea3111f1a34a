# Every target sets itself up; a stamp in .venv says that this was done for the present requirements.
#   make demo    train a network, scatter it, put it back, name the report
#   make test    the fast tests
#   make check   format, lint, types, import contract, fast tests, doctests: what has to pass
#   make slow    the slow tests; those on real checkpoints run if REKNIT_CHECKPOINTS names their folder
#   make checkpoints   download these into .cache/checkpoints
#   make bench   the measured comparisons

PYTHON ?= python3.11
BIN := .venv/bin
USER_STAMP := .venv/.installed
DEV_STAMP := .venv/.installed-dev
REQUIREMENTS := pyproject.toml constraints.txt
SOURCES := $(shell find src -name '*.py')
# two processes of one thread each; a file's tests stay together, for they share what they set up
FAST := OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DELETE_ON_ERROR:
.PHONY: demo test check slow checkpoints bench format

demo: $(USER_STAMP)
	@mkdir -p demo
	$(BIN)/reknit drop demo/network --force
	$(BIN)/reknit assemble demo/network/pieces --data demo/network/data.csv \
		--out demo/assembled --report demo/report.html --force
	@echo "The report is demo/report.html; the true order is in demo/network.key.json."

test: $(DEV_STAMP)
	$(FAST)

check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(FAST) --doctest-modules src tests

slow: $(DEV_STAMP)
	$(BIN)/pytest -m slow

checkpoints: $(DEV_STAMP)
	$(BIN)/python dev/checkpoints.py .cache/checkpoints

bench: $(DEV_STAMP)
	$(BIN)/python -m bench

format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(BIN)/python:
	$(PYTHON) -m venv .venv

# a checkout that is set up for development already runs from its sources
$(USER_STAMP): $(REQUIREMENTS) $(SOURCES) | $(BIN)/python
	@if [ -e $(DEV_STAMP) ]; then $(MAKE) $(DEV_STAMP); \
	else echo "installing reknit into .venv (some minutes the first time)"; $(PIP) install -c constraints.txt .; fi
	@touch $@

$(DEV_STAMP): $(REQUIREMENTS) | $(BIN)/python
	@echo "installing reknit for development into .venv (some minutes the first time)"
	@$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@
