# Two commands on a fresh machine: make demo, make test. Both install what they need into .venv.

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: setup demo test lint check-full clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
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

check-full: lint
	$(BIN)/pytest --durations=20

clean:
	rm -rf .venv demo-run build *.egg-info
