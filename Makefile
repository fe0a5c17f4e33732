# Everything sets itself up: a virtual environment from the one lock of exact versions (envs/lock.txt).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
CORES  ?= $(shell nproc 2>/dev/null || echo 2)
# one thread a process: two jobs side by side beat one job on two spinning threads
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: help setup demo sample test test-fast lint format docs lock clean

help:            ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 12

$(VENV)/.complete: envs/lock.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(v < (3, 11, 4) and f"Python >= 3.11.4 is needed, found {v.major}.{v.minor}; try make PYTHON=python3.11 ...")'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "the module ensurepip is missing; on Debian: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -q -r envs/lock.txt
	$(BIN)/python -m pip install --disable-pip-version-check -q --no-deps -e .
	@touch $@

setup: $(VENV)/.complete  ## the virtual environment alone

demo: $(VENV)/.complete   ## the whole grid in miniature, offline; prints its table
	snakemake --configfile config/demo.yaml --cores $(CORES)
	@cat results/demo/tables/main.md

sample: $(VENV)/.complete ## real rows and a real encoder: make sample DATA=folder MODEL=folder
	@test -n "$(DATA)" -a -n "$(MODEL)" || { echo "usage: make sample DATA=<folder of data sets> MODEL=<folder of an encoder>"; exit 1; }
	STILTGRID_SAMPLE_DATA="$(DATA)" STILTGRID_SAMPLE_MODEL="$(MODEL)" snakemake --configfile config/sample.yaml --cores $(CORES)
	@cat results/sample/tables/main.md

test: $(VENV)/.complete   ## every test
	python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder

test-fast: $(VENV)/.complete ## the quick part
	python -m pytest -n $(CORES) --dist loadfile --no-loadscope-reorder -m "not slow"

lint: $(VENV)/.complete   ## ruff, snakefmt, snakemake --lint
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile rules
	snakemake --lint

format: $(VENV)/.complete ## format Python and Snakemake files
	ruff check --fix-only .
	ruff format .
	snakefmt Snakefile rules

docs: $(VENV)/.complete   ## generated pages
	stiltgrid reference > docs/config.md
	python docs/page_tables.py

lock: $(VENV)/.complete   ## write envs/lock.txt and envs/stiltgrid.yaml from what is installed
	python -m pip freeze --disable-pip-version-check --exclude-editable | python envs/lock.py

clean:           ## remove the virtual environment and caches; results/ stays
	rm -rf $(VENV) .pytest_cache .ruff_cache *.egg-info
