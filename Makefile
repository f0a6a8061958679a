# `make run` and `make test` need nothing but Python 3.11 or newer and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# A file of tests stays in one process: its tests share what is dear to build. Two processes more than there are cores, as
# tests of servers and pages wait for others.
WORKERS ?= -n $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() + 2))') --dist loadfile --no-loadscope-reorder
# Every process imports every test: compiled once and kept, also where the environment says that nothing is.
PYTEST := PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest $(WORKERS)

.DEFAULT_GOAL := help
.PHONY: help install run test test-services cover quality-report train serve-model loadtest lint format typecheck web web-check image-check lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## Create .venv and install the locked packages

$(INSTALLED): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V). Name another: make PYTHON=python3.12 install"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
		|| { echo "$(PYTHON) comes without venv here; on Debian and Ubuntu: apt-get install python3-venv"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked packages into $(VENV) (a minute or two) …"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q quality_assets dash_app
	@touch $(INSTALLED)

run: install ## Build a sample, say what it shows, and start the Dagster UI and the dashboard
	@$(BIN)/quality demo

test: install lint typecheck ## Lint, check types and run every test
	@$(PYTEST)

test-services: install ## Only the tests that need PostgreSQL, Redis, a Kafka-protocol broker, Prometheus; fails where one is missing
	@REQUIRE_SERVICES=1 $(PYTEST) tests/live/test_both_stores.py tests/live/test_topics.py \
		tests/live/test_dashboard_queries.py tests/integration/test_operations_store.py

cover: install ## Run every test and say which lines none reaches; fails below nine in ten
	@$(PYTEST) --cov --cov-report=term-missing:skip-covered

quality-report: install ## Run every test and put what it said into reports/quality/quality_report.json
	@mkdir -p build
	@$(PYTEST) --junitxml=build/junit.xml --cov --cov-report=xml:build/coverage.xml; \
		$(BIN)/quality quality-report --junit build/junit.xml --coverage build/coverage.xml --out reports/quality/quality_report.json

train: install ## Train a model of made-up rows and release it where it wins: make train APP=housing
	@$(BIN)/quality train $(or $(APP),sales) --demo --promote

serve-model: install ## Serve a released model: make serve-model APP=sales
	@$(BIN)/quality serve-model $(or $(APP),sales)

loadtest: install ## Ask a served model at a steady rate: make loadtest APP=sales
	@$(BIN)/quality loadtest $(or $(APP),sales)

lint: install ## Check style and formatting
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

format: install ## Rewrite the code in the house style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

typecheck: install ## Check types
	@$(BIN)/mypy --num-workers 2

web: ## Build configurator/dist anew (needs Node 20)
	@for part in sdk configurator; do (cd $$part && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error) || exit 1; done
	@cd configurator && npm run --silent build -- --logLevel error

web-check: web ## Check types and tests of the browser's code, and that what is built is what is kept
	@for part in sdk configurator; do (cd $$part && npm run --silent check && npm run --silent test) || exit 1; done
	@git diff --exit-code --stat -- configurator/dist && test -z "$$(git status --porcelain configurator/dist)" \
		|| { echo "configurator/dist is not what its sources give: commit what make web has built"; exit 1; }

image-check: install ## Build the image, start its processes, see them answer (needs buildah and root; a quarter of an hour)
	@$(BIN)/python deploy/image_check.py

lock: ## Resolve requirements.lock anew (needs uv on the PATH)
	@uv pip compile pyproject.toml --extra dev --extra demo --extra alerts --extra forecast --extra scale-out --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --no-emit-find-links --no-annotate --no-header --output-file requirements.lock

clean: ## Remove the virtual environment and caches, but no data
	@rm -rf $(VENV) build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
