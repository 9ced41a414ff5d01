PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DATA ?= ../shared/data

.PHONY: help install demo serve test lint bench clean
help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(INSTALLED) ## a virtual environment with everything in it

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	touch $(INSTALLED)

demo: install ## MovieLens 100K: fetch, train, evaluate beside the baselines, recommend, report.html
	$(BIN)/segue fetch ml-100k
	$(BIN)/segue train ml-100k --out demo/films --set patience=4
	$(BIN)/segue evaluate demo/films --report report.html --json demo/figures.json
	$(BIN)/segue recommend demo/films --users 196,22,244 -k 5
	@echo "Open report.html in a browser."

serve: demo/films/manifest.json ## the demo's model as a service: http://127.0.0.1:8000/v1, page at /ui
	$(BIN)/segue serve demo/films --store sqlite:///demo/films.db

demo/films/manifest.json:
	$(MAKE) demo

test: install ## the tests
	$(BIN)/python -m pytest -n 2

lint: install ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## every measured figure, beside the peers; resumable, hours
	$(BIN)/python -m benchmarks.run --data $(DATA)

clean: ## remove what make made
	rm -rf .venv demo report.html benchmarks/work
