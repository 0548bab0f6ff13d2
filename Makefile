# Two commands are enough: `make demo` and `make test`. Each one sets up .venv first, and that only once.
# Works with GNU make 3.81 (macOS) and newer; needs Python 3.11 or newer. Name another one by `make demo PYTHON=…`.

DEMO_SECONDS ?= 60
PYTEST_ARGS  ?= -n 4 --dist loadfile --no-loadscope-reorder $(if $(COVERAGE),--cov)
PACKAGES     := shared functions infra tests

VENV  := .venv
BIN   := $(VENV)/bin
PEERS := .venv-bench
STAMP := $(VENV)/.watchkeeper-is-installed
PEERS_STAMP := $(PEERS)/.peers-are-installed
COMPILED := $(VENV)/.tests-are-compiled
INFRA := .venv-infra
INFRA_STAMP := $(INFRA)/.watchkeeper-is-installed
EMULATORS := .venv-emulators
EMULATED  := $(EMULATORS)/.is-made
NODE := tests/emulators/node
NODE_MADE := $(NODE)/node_modules/.is-made
NPM       := npm ci --ignore-scripts --no-audit --no-fund --silent
BOARDS := .venv-boards
BOARDS_STAMP := $(BOARDS)/.boards-are-installed
PIP   := $(BIN)/python -m pip --disable-pip-version-check --no-input -qq
UV    := $(BIN)/uv --no-config --quiet pip install --require-hashes --no-deps
LOCK  := env -u UV_INDEX -u UV_EXTRA_INDEX_URL -u UV_FIND_LINKS $(BIN)/uv --no-config --quiet pip compile \
         --universal --python-version 3.11 --fork-strategy fewest --generate-hashes --custom-compile-command "make lock" \
         $(if $(UPGRADE),--upgrade)

# What has been compiled is kept: processes of the tests would each do it again, for seconds.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench bench-aws bench-azure bench-detection schemas lock bundles infra setup ready clean

help: ## Say what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

demo: $(STAMP) ## Run the whole pipeline on this machine for DEMO_SECONDS (60), then show what it saw
	$(BIN)/watchkeeper demo --seconds $(DEMO_SECONDS)

test: ready ## Lint, types, imports and tests (COVERAGE=1: also how much of the core they reach, as CI does)
	$(BIN)/python -m pytest $(PYTEST_ARGS)

ready: $(STAMP) ## Lint, while all that the tests need is set up: what `make test` does first
	@$(MAKE) --no-print-directory -j4 lint $(COMPILED) $(INFRA_STAMP) $(EMULATED) $(NODE_MADE)

lint: $(STAMP) ## Rules, formatting, types and who may import whom, without the tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

format: $(STAMP) ## Format the code, and mend what can be mended without thought
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format

bench: $(STAMP) $(PEERS_STAMP) ## Measure speed, and render docs/performance.md (BENCH_ARGS=--quick: only see that it runs)
	$(BIN)/python benchmarks/all.py --peers $(PEERS)/bin/python $(BENCH_ARGS)

bench-aws: $(STAMP) $(EMULATED) ## Measure what a reading costs in the Lambda handlers, and in dollars (2 minutes)
	$(BIN)/python benchmarks/aws.py --emulators

bench-azure: $(STAMP) ## Measure what a reading costs in Azure's functions, in request units and in dollars (2 minutes)
	$(BIN)/python benchmarks/azure_bench.py $(BENCH_ARGS)

bench-detection: $(STAMP) $(BOARDS_STAMP) ## Measure how well readings are judged, beside others, and render docs/detection.md
	$(BIN)/python benchmarks/detection/bench.py --peers $(BOARDS)/bin/python $(BENCH_ARGS)

schemas: $(STAMP) ## Write the JSON Schemas of every topic anew
	$(BIN)/python -m watchkeeper.schemas

# Each file is held to the versions of those before it, so that all of them agree; bench.txt, which is for a venv of its
# own, only to those of the core. Pins stay unless UPGRADE=1.
lock: $(BIN)/uv ## Write requirements/*.txt anew from pyproject.toml (UPGRADE=1 takes newer versions)
	$(LOCK) pyproject.toml -o requirements/dev.txt   --extra local --extra aws --extra azure --extra dev
	$(LOCK) pyproject.toml -o requirements/local.txt --extra local -c requirements/dev.txt
	$(LOCK) pyproject.toml -o requirements/aws.txt   --extra aws   -c requirements/dev.txt
	$(LOCK) pyproject.toml -o requirements/azure.txt --extra azure -c requirements/dev.txt -c requirements/aws.txt
	$(LOCK) pyproject.toml -o requirements/infra.txt --extra infra --extra infra-checks \
		-c requirements/dev.txt -c requirements/aws.txt -c requirements/azure.txt
	$(LOCK) pyproject.toml -o requirements/bench.txt --extra bench -c requirements/infra.txt
	$(LOCK) pyproject.toml -o requirements/boards.txt --extra boards -c requirements/dev.txt -c requirements/infra.txt
	$(LOCK) --group emulators -o requirements/emulators.txt
	$(subst --python-version 3.11,--python-version 3.13,$(LOCK)) --no-deps --group worker -o requirements/worker.txt

bundles: $(STAMP) ## Build what the functions carry (CLOUD=aws or azure; both), the same bytes on every machine
	$(BIN)/python -m watchkeeper_infra.build $(CLOUD)

infra: $(INFRA_STAMP) ## Make .venv-infra, in which Pulumi runs the program in infra/

setup: $(STAMP) $(EMULATED) $(NODE_MADE) ## Make .venv and install everything into it; the others do it by themselves

clean: ## Remove what was built, cached or measured; .venv and .venv-infra stay (rm -r is safe at any time)
	rm -rf build dist htmlcov .coverage .coverage.* .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find $(PACKAGES) -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up ---------------------------------------------------------------------------------------------------------

# uv, which comes first and pinned as the rest, takes a twentieth of pip's time; it does not read pip's settings, so that
# pip does it where uv finds no index. A lock is whole: nothing is left to be resolved.
$(STAMP): pyproject.toml requirements/dev.txt requirements/worker.txt
	@$(MAKE_VENV)
	@echo "watchkeeper: installing the pinned packages into $(VENV), once"
	@sed -n '/^uv==/,/[^\\]$$/p' requirements/dev.txt >$(VENV)/uv.txt
	@$(PIP) install --require-hashes --no-deps -r $(VENV)/uv.txt
	@$(UV) --python $(BIN)/python -r requirements/dev.txt || $(PIP) install --require-hashes --no-deps -r requirements/dev.txt
	@$(PIP) install --require-hashes --no-deps --ignore-requires-python -r requirements/worker.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

# The peers' own packages, which agree with nobody else's, beside Watchkeeper's core.
$(PEERS_STAMP): requirements/bench.txt | $(STAMP)
	@echo "watchkeeper: installing what it is measured beside into $(PEERS), once"
	@$(BIN)/python -m venv --clear $(PEERS)
	@$(PEERS)/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes --no-deps -r requirements/bench.txt
	@touch $@

# The tests and what they load: each of pytest's workers would compile it for itself, all at once. What goes wrong here
# goes wrong there as well, and is said there.
$(COMPILED): $(STAMP)
	@$(BIN)/python -m pytest --collect-only -qq >/dev/null 2>&1 || true
	@touch $@

# With pip in it, that of .venv: Pulumi asks it which plugins the packages need.
$(INFRA_STAMP): $(STAMP) requirements/infra.txt
	$(BIN)/python -m venv --clear --without-pip $(INFRA)
	@cp -R $(VENV)/lib/python3*/site-packages/pip $(VENV)/lib/python3*/site-packages/pip-*.dist-info $(INFRA)/lib/python3*/site-packages/
	@$(UV) --python $(INFRA)/bin/python -r requirements/infra.txt
	@touch $@

# What the tests of cloud adapters talk to, apart: ministack pins a botocore of its own. Where it cannot be had, those
# tests say so and are skipped.
$(EMULATED): requirements/emulators.txt $(STAMP)
	@echo "watchkeeper: installing the emulators that tests talk to into $(EMULATORS)"
	@$(BIN)/python -m venv --clear --without-pip $(EMULATORS)
	@if $(UV) --python $(EMULATORS)/bin/python -r requirements/emulators.txt; then touch $@; \
	else echo "watchkeeper: the emulators cannot be installed; tests that need them will be skipped" >&2; fi

# Those that are npm's. Nothing of it runs while it is installed, and nothing is asked of it that needs more than Node.
# What npm remembers of its index is enough unless it is older than a pin; contents are checked against the lock anyway.
$(NODE_MADE): $(NODE)/package.json $(NODE)/package-lock.json
	@echo "watchkeeper: installing the servers of npm that tests talk to into $(NODE)/node_modules, once"
	@if command -v npm >/dev/null 2>&1 && (cd $(NODE) && { $(NPM) --prefer-offline || $(NPM); }); \
	then touch $@; \
	else echo "watchkeeper: they cannot be installed (no npm, or no network); tests that need them will be skipped" >&2; fi

# The packages of other detectors, which agree with nobody else's.
$(BOARDS_STAMP): requirements/boards.txt | $(STAMP)
	@echo "watchkeeper: installing the detectors it is measured beside into $(BOARDS), once"
	@$(BIN)/python -m venv --clear $(BOARDS)
	@$(BOARDS)/bin/python -m pip --disable-pip-version-check --no-input -qq install --require-hashes --no-deps -r requirements/boards.txt
	@touch $@

$(BIN)/uv:
	@$(MAKE_VENV)
	@$(PIP) install uv

# The user's PYTHON if given, else the first one that is new enough. A .venv that works is kept, one that does not is
# made anew.
define MAKE_VENV
set -e; \
new_enough='import sys; sys.exit(sys.version_info < (3, 11))'; \
if $(BIN)/python -c "$$new_enough" 2>/dev/null && $(BIN)/python -m pip --version >/dev/null 2>&1; then exit 0; fi; \
found=; \
for candidate in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python3.14 python); do \
	if "$$candidate" -c "$$new_enough" 2>/dev/null; then found=$$candidate; break; fi; \
done; \
if [ -z "$$found" ]; then \
	echo "watchkeeper: needs Python 3.11 or newer; found $$($(or $(PYTHON),python3) --version 2>/dev/null || echo none)." >&2; \
	echo "Install one, or name it: make $(or $(MAKECMDGOALS),demo) PYTHON=/path/to/python3.13" >&2; \
	exit 1; \
fi; \
if ! "$$found" -c 'import ensurepip, venv' 2>/dev/null; then \
	echo "watchkeeper: $$found cannot make virtual environments (Debian and Ubuntu: apt install python3-venv)." >&2; \
	exit 1; \
fi; \
echo "watchkeeper: making $(VENV) with $$("$$found" --version)"; \
"$$found" -m venv --clear $(VENV)
endef
