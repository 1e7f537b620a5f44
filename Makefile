# What differs from one machine to the other is found here; everything else is Python, in qwenweb/up/.
PORT ?= 8000
# Shells set HOST to the machine's name: only `make run HOST=…` is meant for us.
LISTEN := $(if $(filter command line,$(origin HOST)),$(HOST),127.0.0.1)
PYTHON := .venv/bin/python
MODEL_DATA := $(or $(QWENWEB_DATA_DIR),var)

define install
	@for python in python3.11 python3 python; do \
		if "$$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; \
		then exec "$$python" -m qwenweb.up.install $(1); fi; \
	done; \
	echo "qwenweb needs Python 3.11, and there is no python3.11 on this machine." >&2; exit 1
endef

.PHONY: run help install test test-faults test-machine lint bench bench-page bench-load bench-queue bench-engine messages screenshots icons ui-table lock clean

run: ## start qwenweb (PORT=8000 HOST=127.0.0.1 QWENWEB_DATA_DIR=var)
	$(call install)
	@exec $(PYTHON) manage.py up --host "$(LISTEN)" --port "$(PORT)"

help: ## say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /\1: /p' Makefile | column -t -s :

test: ## set up what the tests need, and run them
	$(call install,--dev)
	@sh .ci/chromium
	@sh .ci/packages
	@$(PYTHON) manage.py models fetch || echo "Without the model, the tests that need it are skipped." >&2
	@$(PYTHON) -m pytest $(or $(TESTS),-n 2 --dist loadfile)

test-faults: ## break every part while people read; the last line is JSON (SEEDS=10, half an hour for each ten)
	$(call install,--dev)
	@$(PYTHON) -m tests.faults --seeds $(or $(SEEDS),10)

test-machine: ## walk at random through what people do and what breaks, for half an hour at most; the last line is JSON
	$(call install,--dev)
	@$(PYTHON) -m tests.faults.machine $(OPTIONS)

lint: ## check style, types, templates and the borders between rooms
	$(call install,--dev)
	@$(PYTHON) -m ruff check --quiet --output-format concise
	@$(PYTHON) -m ruff format --check --quiet
	@QWENWEB_SECRET_KEY=the-type-checker-reads-the-settings-and-those-want-a-key $(PYTHON) -m mypy
	@$(PYTHON) -m djlint --quiet --check --lint templates
	@.venv/bin/lint-imports --no-logo
	@sh .ci/typescript

bench: ## measure the reply stream; the last line is JSON
	$(call install,--dev)
	@$(PYTHON) -m bench.stream

bench-page: ## measure the page: weight, paint, a long chat, a reply being drawn, lists; the last line is JSON
	$(call install,--dev)
	@sh .ci/chromium
	@$(PYTHON) -m bench.page

bench-load: ## measure what the whole stack carries (three quarters of an hour; OPTIONS=--help); the last line is JSON
	$(call install,--dev)
	@$(PYTHON) -m bench.load $(OPTIONS)

bench-queue: ## simulate 10,000 people on 50 workers with the real queue; the last line is JSON
	$(call install,--dev)
	@$(PYTHON) -m bench.simulation $(OPTIONS)

bench-engine: ## measure the engine beside llama.cpp and transformers (half an hour; OPTIONS=--help)
	$(call install,--dev)
	@$(PYTHON) -m bench.engine $(OPTIONS)

messages: ## collect the words of the page for translation, and compile the translations
	$(call install,--dev)
	@$(PYTHON) -m qwenweb.messages

screenshots: ## make the pictures in docs/screenshots
	$(call install,--dev)
	@sh .ci/chromium
	@$(PYTHON) docs/screenshots.py

ui-table: ## write docs/ui.md from the names of the tests
	@python3 docs/ui_table.py

icons: ## make the icons of the installed page from the logo
	$(call install,--dev)
	@sh .ci/chromium
	@$(PYTHON) docs/icons.py

lock: ## write the lock files from pyproject.toml
	@python3.11 -m qwenweb.up.lock

clean: ## remove what was made, but not the data in var/
	@rm -rf .venv node_modules build staticfiles .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
