# `make demo` and `make test` do all the set-up on a fresh machine. Needs Python 3.11 or newer, and chromium for browser tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types unit coverage oldest newest torture catalog release format clean

demo: .venv/installed
	$(BIN)/zerosum demo $(if $(OUT),--out $(OUT))

test: lint types unit

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

# A process for each core; each uses one thread, and takes whole files, whose fixtures are costly.
PARALLEL := -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
unit: .venv/installed
	$(BIN)/pytest $(PARALLEL) $(TESTS)

# Which lines of the package the tests run, without those that run in other programs; all of them together hold the floor
# that pyproject.toml names (fail_under), some of them (TESTS=tests/nn) none.
coverage: .venv/installed
	$(BIN)/pytest $(PARALLEL) --cov --cov-report=term $(if $(TESTS),--cov-fail-under=0 $(TESTS))

# The lowest versions that pyproject.toml allows, and the newest there are, each in an environment of its own (6 GB).
oldest: .venv-oldest/installed
	.venv-oldest/bin/pytest $(PARALLEL) $(TESTS)

newest:
	$(PYTHON) -m venv .venv-newest
	.venv-newest/bin/pip install --upgrade --upgrade-strategy eager -e '.[dev]'
	.venv-newest/bin/pytest $(PARALLEL) $(TESTS)

# Thousands of seeded faults where `make test` tries a few; prints the figures of docs/reliability.md. An hour; SHARE=0.1
# is a tenth of it.
torture: .venv/installed
	ZEROSUM_TORTURE=$(or $(SHARE),1) $(BIN)/pytest $(or $(TESTS),tests/torture)

# What `zerosum train` knows of recipes and settings before torch is there; after a change of settings.
catalog: .venv/installed
	$(BIN)/python -m zerosum.recipes.catalog

# Sets the version, builds, checks, commits and tags; publishes nothing. Needs a network for the build.
release: .venv/installed
	$(BIN)/python -m tools.release $(or $(VERSION),$(error Which version? make release VERSION=0.2.0))

format: .venv/installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# The stamp is written last, so an installation that was cut off is taken up again.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	@echo "Installing zerosum and what it needs into .venv. PyTorch is large: this takes some minutes."
	$(BIN)/pip install -c constraints.txt -e '.[dev]'
	touch $@

.venv-oldest/installed: pyproject.toml constraints-oldest.txt
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/pip install -c constraints-oldest.txt -e '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-oldest .venv-newest .coverage .mypy_cache .ruff_cache .pytest_cache dist build
