# `make demo` and `make test` do all the set-up on a fresh machine. Needs Python 3.11 or newer, and chromium for browser tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint types unit torture catalog release format clean

demo: .venv/installed
	$(BIN)/zerosum demo $(if $(OUT),--out $(OUT))

test: lint types unit

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

# A process for each core; each uses one thread, and takes whole files, whose fixtures are costly.
unit: .venv/installed
	$(BIN)/pytest -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder $(TESTS)

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

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache dist build
