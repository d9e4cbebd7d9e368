# On a fresh machine with Python >= 3.11, a C++20 compiler and make, `make score` and `make test` do all
# set-up by themselves; a second run re-uses it.

PYTHON ?= python3
VENV ?= .venv
# CPU wheels of torch carry "+cpu" where an index offers them; a machine with a GPU takes the CUDA build.
# Set TORCH to choose another one, such as TORCH='--index-url URL torch==2.13.0'.
TORCH ?= $(if $(shell command -v nvidia-smi),torch==2.13.0,torch==2.13.0+cpu)
export FIQA_CUDA ?= AUTO

BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check -q
READY := $(VENV)/.ready
NATIVE := $(VENV)/.native
SERVE_VENV ?= .venv-serve
SERVE_READY := $(SERVE_VENV)/.ready
SCORERS := grafiqs,faceqan,ser-fiq,embedding-norm,froq,lightqnet \
	--weights lightqnet=tests/golden/lightqnet/lightqnet-dm100.pb
CPP := $(shell find csrc tests -name '*.cpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')

.PHONY: help setup serve-env score quality test test-all lint format tables bench clean

help:
	@echo "make score     score the example photographs, write results/*/report.html"
	@echo "make quality   error-versus-discard curves of degraded faces, results/quality/report.html"
	@echo "make test      the fast tests           make test-all  every test"
	@echo "make lint      style and types          make format    repair the style"
	@echo "make bench     benchmarks               make tables    tables of README and docs"
	@echo "make serve-env what \`fiqa-fast serve start --cpu\` runs Triton in"
	@echo "make clean     remove what make made"

setup: $(NATIVE)

# Python packages.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "fiqa_fast needs Python >= 3.11; run make PYTHON=python3.11")'
	@command -v $${CXX:-c++} >/dev/null || { echo "fiqa_fast needs a C++20 compiler (c++ or CXX); install g++ >= 12"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt $(TORCH) || $(PIP) install -c constraints.txt torch==2.13.0
	$(PIP) install -c constraints.txt scikit-build-core pybind11 ninja cmake
	$(BIN)/python .ci/requirements.py > $(VENV)/requirements.txt
	$(PIP) install -c constraints.txt -r $(VENV)/requirements.txt
	@touch $@

# The package itself, with its compiled modules. Python files are used where they lie.
$(NATIVE): $(READY) CMakeLists.txt $(shell find csrc -type f)
	$(PIP) install --no-build-isolation --no-deps -e .
	@touch $@

# Triton's own environment: two packages, and everything else from $(VENV), behind them on the path.
serve-env: $(SERVE_READY)

$(SERVE_READY): deploy/requirements-serve.txt $(READY)
	test -x $(SERVE_VENV)/bin/python || $(BIN)/python -m venv --without-pip $(SERVE_VENV)
	$(PIP) --python $(SERVE_VENV)/bin/python install --no-deps -r deploy/requirements-serve.txt
	$(BIN)/python -c 'import sysconfig as s; print("import site; site.addsitedir(%r)" % s.get_path("purelib"))' \
		> $$($(SERVE_VENV)/bin/python -c 'import sysconfig as s; print(s.get_path("purelib"))')/zz_fiqa_fast.pth
	@touch $@

score: setup
	$(BIN)/fiqa-fast score examples/faces -o results/photos --overwrite --explain --scorer $(SCORERS)
	$(BIN)/python examples/degradation_ladder.py examples/faces results/ladder-crops
	$(BIN)/fiqa-fast score results/ladder-crops -o results/ladder --aligned --overwrite --all-outputs --scorer $(SCORERS)
	$(BIN)/python examples/ladder_spearman.py results/ladder/scores.parquet results/ladder-crops/ladder.csv -o results/ladder/spearman
	@echo "see results/photos/report.html and results/ladder/report.html"

quality: setup
	$(BIN)/fiqa-fast benchmark quality -o results/quality --overwrite --all-outputs

test: setup serve-env
	$(BIN)/python -m pytest -q

test-all: setup serve-env
	$(BIN)/python -m pytest -q -m ""

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run -Werror $(CPP)
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/clang-format -i $(CPP)

tables: setup
	$(BIN)/python .ci/tables.py

bench: setup
	mkdir -p results
	$(BIN)/python -m pytest -q benchmarks --benchmark-only --benchmark-json results/benchmarks.json
	$(BIN)/python benchmarks/summarise.py results/benchmarks.json > results/benchmarks.md
	$(BIN)/fiqa-fast benchmark -o results/benchmark.json --markdown > results/benchmark.md
	$(BIN)/python benchmarks/engines/measure_speed.py -o results/engine_speed
	@echo "see results/benchmarks.md, results/benchmark.md and results/engine_speed.md"

clean:
	rm -rf $(VENV) $(SERVE_VENV) build results
