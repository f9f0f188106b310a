# What a developer and CI type. One virtual environment in .venv, installed again only when pyproject.toml changes.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Matrices keep the cores busy, most long tests wait.
JOBS      ?= 2
TEST_JOBS ?= 3
SEEDS  ?= 200
PYTEST := $(BIN)/pytest

# Debian packages of the programs that the tests talk to; tshark reads our captures. Node.js comes apart: a foreign one brings its own
# npm, which Debian's conflicts with.
PEERS  := mosquitto mosquitto-clients curl nginx openssl qemu-system-arm firmware-microbit-micropython gcc-arm-none-eabi libnewlib-arm-none-eabi chromium tshark
NODE_PEERS := tests/interop/node_modules

.PHONY: help certify test coverage lint format bench peers nightly mutants trace simulate load install install-dev clean

help:
	@echo "make certify    the built-in platform and device certify each other; the report package goes to reports/"
	@echo "make test       every test that needs no night"
	@echo "make coverage   every branch of every check has its story, or it is red"
	@echo "make lint       ruff, mypy --strict, the import contracts"
	@echo "make format     ruff mends what it can"
	@echo "make peers      installs the third-party programs that the interop tests talk to (Debian, root)"
	@echo "make mutants    the wrong platforms and devices: each must be caught by its requirement; PART=platform|device for one"
	@echo "make trace      writes the table of requirements and checks into README"
	@echo "make simulate   SEEDS=$(SEEDS) whole-system simulations in virtual time"
	@echo "make load       the Locust scenarios against a reference platform, ending in a ledger"
	@echo "make bench      measurements beside peers; PART=broker|platform|fleet|load|simulation|board for one"
	@echo "make nightly    what takes a night"

# --- the environment ------------------------------------------------------------------------------------------------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "hil needs Python 3.11 or newer, this is " + sys.version.split()[0])'
	$(PYTHON) -m venv $(VENV)

# What `hil` needs to run: enough for certify and simulate; load needs an extra.
$(VENV)/installed: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@touch $@

# And what the extras, the tests and the linters need.
$(VENV)/installed-dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $(VENV)/installed $@

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

peers: $(NODE_PEERS)/.installed
$(NODE_PEERS)/.installed: tests/interop/package.json
	@test "$$(id -u)" = 0 || { echo "make peers installs Debian packages: run it as root"; exit 1; }
	apt-get update --quiet=2
	DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $(PEERS) \
	    $$(command -v npm >/dev/null || echo nodejs npm)
	cd tests/interop && npm install --silent --no-audit --no-fund --no-package-lock
	@touch $@

# --- what is run ----------------------------------------------------------------------------------------------------------------

certify: $(VENV)/installed
	$(BIN)/hil certify

test: $(VENV)/installed-dev
	$(PYTEST) -n $(TEST_JOBS) --dist worksteal -m "not nightly and not bench and not mutants"

# The judge has no branch that no hand-written history walks.
coverage: $(VENV)/installed-dev
	$(BIN)/coverage run --source=harness.checks -m pytest --quiet -p no:xdist -m "not slow and not nightly" tests/harness/checks
	$(BIN)/coverage report --skip-covered --show-missing --fail-under=100

lint: $(VENV)/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# One test at a time, and what it prints goes to the terminal: a bench that shares its cores measures its neighbours.
bench: $(VENV)/installed-dev
	$(PYTEST) -m bench -s --timeout=3600 $(if $(PART),-k $(PART))

mutants: $(VENV)/installed-dev
	$(PYTEST) -n $(JOBS) --dist worksteal -m mutants --timeout=1800 -rA $(if $(PART),-k $(PART))

# The table stands in README between two markers; a test compares it with the code.
trace: $(VENV)/installed
	$(BIN)/hil requirements --write README.md

simulate: $(VENV)/installed
	$(BIN)/hil simulate --seeds $(SEEDS)

load: $(VENV)/installed-dev
	$(BIN)/hil load

nightly: $(VENV)/installed-dev coverage
	$(PYTEST) -n $(JOBS) --dist worksteal -m "nightly or mutants" --timeout=7200
	$(BIN)/hil simulate --seeds 10000
	$(BIN)/hil certify --profile full

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage build dist
