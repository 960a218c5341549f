# Two commands need nothing but python3 (with venv), make and a package registry: `make demo` and `make test`.
# Either may be run first; set-up is skipped when pyproject.toml and constraints.txt have not changed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev,bench,docs
DATA ?= ../shared/data
MINUTES ?= 60
FUZZ ?= 10000
REPEATS ?= 3
# Each process starts one Ray and one server of each kind; a file of tests stays together, so that its fixtures are made once.
PARALLEL ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
WEB := artylyze/exploring/web

# uv does not read pip's configuration: hand it the registry that pip was told to use, if any.
INDEX := $(or $(UV_DEFAULT_INDEX),$(PIP_INDEX_URL),$(shell $(PYTHON) -m pip config get global.index-url 2>/dev/null))
ifneq ($(INDEX),)
export UV_DEFAULT_INDEX := $(INDEX)
endif
export UV_HTTP_TIMEOUT ?= 300

.DEFAULT_GOAL := help

# Bytecode is compiled at installation, so that torch and Ray start in half the time in every process.
INSTALL = $(BIN)/uv pip install --quiet --python $(BIN)/python --compile-bytecode --constraint constraints.txt

$(VENV)/.uv:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	touch $@

$(VENV)/.runtime: $(VENV)/.uv pyproject.toml constraints.txt
	@echo "Installing artylyze into $(VENV) (about 6 GB with torch; once) ..."
	$(INSTALL) --editable .
	touch $@

$(VENV)/.dev: $(VENV)/.runtime
	@echo "Installing the development tools into $(VENV) ..."
	$(INSTALL) --editable ".[$(EXTRAS)]"
	touch $@

# Not installed, for it needs a GPU: a test reads its signatures.
$(VENV)/.cuml: $(VENV)/.uv constraints.txt
	rm -rf $(VENV)/wheels
	$(BIN)/python -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: \
	  --platform manylinux_2_28_x86_64 --constraint constraints.txt --dest $(VENV)/wheels cuml-cu13
	touch $@

.PHONY: browser explorer gpu-check demo test test-all faults docs lint format bench soak starter outside study pictures constraints clean help

demo: $(VENV)/.runtime ## Generate a sample collection, tag it, and show what came out
	$(BIN)/artylyze demo demo

browser: ## Install Chromium for the browser tests, where apt and root allow it
	@if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; \
	then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing Chromium for the browser tests ..."; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
	    chromium chromium-driver >/dev/null || echo "apt could not install it: browser tests are skipped."; \
	else \
	  echo "There is no Chromium, and it cannot be installed here (that takes apt and root): browser tests are skipped."; \
	fi

# Compiled first: the tests start hundreds of processes, and where PYTHONDONTWRITEBYTECODE is set each would compile anew.
test: $(VENV)/.dev $(VENV)/.cuml browser ## Run the tests, but for those marked slow
	$(BIN)/python -m compileall -q artylyze benchmarks
	$(BIN)/python -m pytest $(PARALLEL) -m "not slow"

test-all: $(VENV)/.dev $(VENV)/.cuml browser ## Run all tests
	$(BIN)/python -m compileall -q artylyze benchmarks
	$(BIN)/python -m pytest $(PARALLEL)

faults: $(VENV)/.dev ## Break what can break around a run, and damage images and files (FUZZ=10000)
	ARTYLYZE_FAULTS=all ARTYLYZE_FUZZ=$(FUZZ) ARTYLYZE_RAY_LIMITS=1 $(BIN)/python -m pytest tests/faults tests/jobs/test_lost_nodes.py

docs: $(VENV)/.dev ## Build the documentation into build/docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet --fresh-env -d build/doctrees docs build/docs

# Without node the JavaScript is not checked; a test still compares the build with its sources.
lint: $(VENV)/.dev ## Check style, formatting and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory $(WEB)/node_modules && npm --prefix $(WEB) run --silent check; \
	else echo "There is no npm here: the explorer's JavaScript is not checked."; fi

$(WEB)/node_modules: $(WEB)/package-lock.json
	npm --prefix $(WEB) ci --silent
	touch $@

explorer: $(WEB)/node_modules ## Build the explorer's pages into artylyze/exploring/web/dist (needs npm)
	npm --prefix $(WEB) run --silent build

format: $(VENV)/.dev ## Format the code and fix what can be fixed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.dev ## Measure against peers and limits (DATA=folder with real images, REPEATS=3)
	$(BIN)/python benchmarks/tag.py --data $(DATA) --out benchmarks/results --repeats $(REPEATS)
	$(BIN)/python benchmarks/soak.py --minutes 5 --out benchmarks/results/soak.json

# Any python with torch will do: where there is no virtual environment, that of the system.
gpu-check: ## Measure decoding, the model, the engine and clustering on a GPU (DATA=folder with images, OUT=folder)
	$(or $(wildcard $(BIN)/python),$(PYTHON)) benchmarks/gpu_check.py $(if $(wildcard $(DATA)),--data $(DATA)) \
	  --out $(or $(OUT),benchmarks/results)

soak: $(VENV)/.dev ## Tag and update 100,000 images for an hour, killing the driver each time; then count (MINUTES=60)
	$(BIN)/python benchmarks/soak.py --minutes $(MINUTES) --out benchmarks/results/soak-hour.json

starter: $(VENV)/.dev ## Train the model that ships in the package again (DATA=folder with paintings)
	rm -rf build/starter && mkdir -p build/starter
	$(BIN)/artylyze curate $(DATA)/paintings.csv $(DATA)/paintings_2.csv --images $(DATA) -o build/starter/dataset.parquet \
	  --tasks genre,style --classes 21 --leave-out genre=interior --balance none --group none
	OMP_NUM_THREADS=1 $(BIN)/python -m artylyze.training.starter build/starter/dataset.parquet --results benchmarks/results/starter.json

study: $(VENV)/.dev ## Train the study's networks (DATA=folder with paintings, STUDY="--weights vgg16=FILE ...")
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/study.py --data $(DATA) --out benchmarks/results $(STUDY)
	$(BIN)/python benchmarks/report.py

outside: $(VENV)/.dev ## Measure what the starter takes for none of its terms (after `make starter`)
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.outside build/starter/dataset.parquet

pictures: demo $(VENV)/.dev browser build/gcompris ## Make the documentation's pictures again, from the demo (needs apt)
	$(BIN)/python docs/pictures.py demo build/gcompris/usr/share/gcompris-qt/rcc/details.rcc

# A game for children that ships eight paintings by Van Gogh, in the public domain.
build/gcompris:
	mkdir -p build && cd build && apt-get download -qq gcompris-qt-data && dpkg -x gcompris-qt-data_*.deb gcompris

constraints: $(VENV)/.uv ## Pin the newest versions again into constraints.txt
	$(BIN)/uv pip compile --quiet --upgrade --python-version 3.11 --all-extras --no-annotate --no-header \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o constraints.txt

clean: ## Remove the virtual environment, caches and the demo
	rm -rf $(VENV) demo .mypy_cache .ruff_cache .pytest_cache .hypothesis

help: ## List these targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'
