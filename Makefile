# Two commands on a fresh machine: make demo, make test. Both install what they need into .venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

NATIVE := $(shell find cpp_ext -type f)

.PHONY: setup demo test lint sanitize check-full bench-setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[cpu,train,demo,report,dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/liteft demo --out demo-run

lint: setup
	$(BIN)/ruff check liteft tests bench
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: lint
	$(BIN)/pytest -m "not slow and not gpu" --durations=8

# The native library's own tests, watched by the compiler's sanitizers.
sanitize: build/address build/thread

build/address: KIND = address,undefined
build/thread: KIND = thread
build/address build/thread: $(NATIVE)
	cmake -S cpp_ext -B $@ -DLITEFT_SANITIZE=$(KIND)
	cmake --build $@ --parallel 2 --target test_engine
	$@/test_engine && touch $@

check-full: lint sanitize
	$(BIN)/pytest --durations=20

# An environment with the other engines that bench/peers.py compares with.
bench-setup:
	$(PYTHON) -m venv .bench
	.bench/bin/pip install --quiet --constraint bench/peers-requirements.txt '.[cpu,train,demo,bench]' -r bench/peers-requirements.txt

clean:
	rm -rf .venv .bench demo-run build *.egg-info
