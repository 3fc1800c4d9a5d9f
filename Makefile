# Each target makes .venv on first use. Flags for the training: make train ARGS="--max_steps 200"
PYTHON ?= python3
ARGS ?=
BIN := .venv/bin

.PHONY: train test lint report

train: .venv/run
	$(BIN)/python code/infogan/train_mnist.py --preset paper $(ARGS)

test: .venv/dev
	$(BIN)/python -m pytest -n auto --dist loadfile

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python

report: .venv/run
	$(BIN)/python code/make_report.py

.venv/run: requirements.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --requirement requirements.txt
	touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(BIN)/pip install --quiet --requirement requirements-dev.txt
	touch $@
