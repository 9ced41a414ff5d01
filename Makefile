PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed
DATA ?= ../shared/data

# The demo runs in the environment that has everything, where there is one; otherwise in a smaller one of its own.
ifneq ($(wildcard $(INSTALLED)),)
DEMO_BIN := $(BIN)
DEMO_READY := $(INSTALLED)
SERVE_READY := $(INSTALLED)
else
DEMO_BIN := demo/.venv/bin
DEMO_READY := demo/.venv/.installed
SERVE_READY := demo/.venv/.serving
endif
PIP := -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help install demo serve test docs-test lint bench clean
help:
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

install: $(INSTALLED) ## a virtual environment with everything in it

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python $(PIP) --editable '.[dev]'
	touch $(INSTALLED)

# torch brings tests of its C++ parts and headers to build extensions with; the demo compiles none.
demo/.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv demo/.venv
	demo/.venv/bin/python $(PIP) --no-compile --editable '.[demo]'
	cd demo/.venv/lib/python3*/site-packages/torch && rm -rf test include bin/test_*
	touch $@

demo/.venv/.serving: demo/.venv/.installed
	demo/.venv/bin/python $(PIP) --no-compile --editable '.[demo,serve]'
	touch $@

demo: $(DEMO_READY) ## MovieLens 100K: fetch, train, evaluate beside the baselines, recommend, report.html
	$(DEMO_BIN)/segue fetch ml-100k
	$(DEMO_BIN)/segue train ml-100k --out demo/films --set patience=4 --tracker none
	$(DEMO_BIN)/segue evaluate demo/films --report report.html --json demo/figures.json
	$(DEMO_BIN)/segue recommend demo/films --users 196,22,244 -k 5
	@echo "Open report.html in a browser."

serve: demo/films/manifest.json $(SERVE_READY) ## the demo's model as a service: http://127.0.0.1:8000/v1, page at /ui
	$(DEMO_BIN)/segue serve demo/films --store sqlite:///demo/films.db

demo/films/manifest.json:
	$(MAKE) demo

test: install ## the tests; installs PostgreSQL, Chromium and strace where it may, and names them where it may not
	@scripts/system_packages.sh
	$(BIN)/python -m pytest -n 2 --ignore tests/docs

docs-test: install ## every snippet of the README and of docs/, executed
	@scripts/system_packages.sh
	$(BIN)/python -m pytest -n 2 --dist worksteal tests/docs

lint: install ## style, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install ## every measured figure, beside the peers; resumable, hours
	$(BIN)/python -m benchmarks.run --data $(DATA)

clean: ## remove what make made
	rm -rf .venv demo report.html benchmarks/work
