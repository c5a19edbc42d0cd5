PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# LiteLLM has an environment of its own: it is what is watched, and no dependency.
REAL ?= .venv-real
# Test files that run at the same time; a file's own tests run one after the other.
JOBS ?= 3
# Hashes of every file that an index has of a version; no address of any index.
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links

.PHONY: run test quick browser check bench security chaos real format docs deploy image lock sbom clean

$(VENV)/.installed: pyproject.toml
	@echo "Putting alertd and what it needs into $(VENV): about a minute, the first time only."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(VENV)/.installed  ## the daemon on a small built-in gateway, no credentials needed
	$(BIN)/alertd demo --env-file config/demo.env

test: $(VENV)/.installed
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not chaos and not image and not real"

quick: $(VENV)/.installed  ## the pure core, the settings and the contracts: about a minute
	$(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile -m "not chaos and not image and not real" \
		tests/core tests/prices tests/settings tests/contracts tests/stories

browser: $(VENV)/.installed  ## the pages in Debian's chromium, the API under schemathesis
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,browser]'
	$(BIN)/python -m pytest -q tests/web/test_browser.py tests/web/test_schemathesis.py

deploy: $(VENV)/.installed  ## Dockerfile, compose file and Helm chart: linted, rendered, against their schemas
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,deploy]'
	$(BIN)/python -m pytest -q -m "not image" tests/deploy

image: $(VENV)/.installed  ## the container image: built by buildah, run by runc (both Debian's), as root; else the reason is said
	$(BIN)/python -m pytest -q -s tests/deploy/test_image.py

lock: $(VENV)/.installed  ## requirements/*.lock: what the image installs and is built with, each file by its hash
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	$(BIN)/uv pip compile $(LOCK) --extra postgres --extra charts pyproject.toml -o requirements/image.lock
	$(BIN)/uv pip compile $(LOCK) requirements/build.in -o requirements/build.lock

sbom: $(VENV)/.installed  ## sbom.json: what this environment holds, as CycloneDX
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7.5,<8'
	$(BIN)/cyclonedx-py environment --output-reproducible --of JSON -o sbom.json $(BIN)/python

check: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed  ## what is made from the code: docs/settings.md and the end of the env example
	$(BIN)/alertd kinds --markdown > docs/settings.md
	sed -n '1,/^# === Every kind/p' config/alertd.env.example > config/.example && echo >> config/.example
	$(BIN)/alertd kinds --env >> config/.example && mv config/.example config/alertd.env.example

bench: $(VENV)/.installed  ## every benchmark at a small size, a quarter of an hour in all; docs/benchmarks.md says more
	cd $(CURDIR) && export PYTHONPATH=. && failed=""; \
	for each in "tick --series 1000" "tick --series 10000" "rules --series 1000" "counters 10000 1000" "outbox 1000" \
		"parts --teams 4" "projection" "rating 10000" "files 20000" "store 5000" "alertmanager 300" "latency 10" "recovery 2" "storm 15" \
		"commands --runs 5" "memory --budgets 50 --hours 1" "backfill --series 50 --days 3"; do \
		set -- $$each; name=$$1; shift; echo "== bench_$$name $$*"; \
		$(abspath $(BIN))/python tests/benchmarks/bench_$$name.py "$$@" || failed="$$failed $$name"; \
	done; if [ "$$failed" ]; then echo "failed:$$failed"; exit 1; fi

security: $(VENV)/.installed  ## bandit (its exceptions are reasoned in pyproject.toml) and known faults of dependencies
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,security]'
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive alertd
	$(BIN)/pip-audit --skip-editable --progress-spinner off

chaos: $(VENV)/.installed
	$(BIN)/python -m pytest -q -s -m chaos

$(REAL)/.installed: Makefile
	@echo "Putting LiteLLM's proxy into $(REAL): a minute or two, the first time only."
	@$(PYTHON) -m venv $(REAL)
	@$(REAL)/bin/python -m pip install --quiet --disable-pip-version-check 'litellm[proxy]>=1.108,<2' prometheus-client
	@touch $@

real: $(VENV)/.installed $(REAL)/.installed  ## a real LiteLLM proxy and Prometheus, restarts in every order: ten minutes
	LITELLM=$(abspath $(REAL))/bin/litellm $(BIN)/python -m pytest -q -s -m real tests/real

clean:
	rm -rf $(VENV) $(REAL) .pytest_cache .mypy_cache .ruff_cache
