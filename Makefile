PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# LiteLLM has an environment of its own: it is what is watched, and no dependency.
REAL ?= .venv-real
# Processes that run tests at the same time; one without work takes some of another's.
JOBS ?= 3
PYTEST := $(BIN)/python -m pytest -q -n $(JOBS) --dist worksteal -p no:schemathesis -p no:anyio \
	-m "not chaos and not image and not real and not index"
# Containers often set it, and then each of some hundred processes that the tests start compiles everything anew.
export PYTHONDONTWRITEBYTECODE =
# Hashes of every file that an index has of a version; no address of any index.
LOCK := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links

.PHONY: run test quick clouds browser check bench security chaos real format docs site deploy image lock sbom clean

$(VENV)/.installed: pyproject.toml
	@echo "Putting alertd and what it needs into $(VENV): one to three minutes, the first time only."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

run: $(VENV)/.installed  ## the daemon on a small built-in gateway, no credentials needed
	$(BIN)/alertd demo

test: $(VENV)/.installed
	$(PYTEST)

quick: $(VENV)/.installed  ## the pure core, the settings and the contracts: about a minute
	$(PYTEST) tests/core tests/prices tests/settings tests/contracts

browser: $(VENV)/.installed  ## the pages in Debian's chromium, the API under schemathesis
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,browser]'
	$(BIN)/python -m pytest -q tests/web/test_browser.py tests/web/test_schemathesis.py tests/web/test_generated_client.py

clouds: $(VENV)/.installed  ## small clouds in processes: AWS the whole way (usage in, alert out, policy attached, undone), stores
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,emulators,aws,azure,gcp]'
	mkdir -p $(VENV)/node
	npm install --silent --no-audit --no-fund --no-save --prefix $(VENV)/node azurite@3.37.0
	$(BIN)/python -m pytest -q tests/system/test_bedrock_daemon.py tests/clients/test_object_store.py \
		tests/clients/test_object_store_servers.py tests/sources/test_cloud_bills.py tests/sources/test_bedrock_log.py

# Validators of the custom resources that the chart can make, from their CRDs.
$(VENV)/node/node_modules: Makefile
	mkdir -p $(VENV)/node
	npm install --silent --no-audit --no-fund --prefix $(VENV)/node @kubernetes-models/prometheus-operator@6.0.0 \
		@kubernetes-models/gateway-api@2.0.0
	@touch $@

deploy: $(VENV)/.installed $(VENV)/node/node_modules  ## wheel, workflows, Dockerfile, chart: built, linted, rendered, tried
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,deploy]'
	$(BIN)/python -m pytest -q -m "not image" tests/deploy

image: $(VENV)/.installed  ## the container image: built by buildah, run by runc (both Debian's), as root; else the reason is said
	$(BIN)/python -m pytest -q -s tests/deploy/test_image.py

lock: $(VENV)/.installed  ## requirements/*.lock: what is installed and built with, each file by its hash
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13'
	$(BIN)/uv pip compile $(LOCK) pyproject.toml -o requirements/alertd.lock
	$(BIN)/uv pip compile $(LOCK) --extra postgres --extra charts pyproject.toml -o requirements/slim.lock
	$(BIN)/uv pip compile $(LOCK) --extra postgres --extra charts --extra parquet --extra apprise --extra aws --extra azure \
		--extra gcp --extra clickhouse --extra mcp pyproject.toml \
		-o requirements/full.lock
	$(BIN)/uv pip compile $(LOCK) requirements/build.in -o requirements/build.lock
	$(BIN)/uv pip compile $(LOCK) requirements/docs.in -o requirements/docs.lock

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

docs: $(VENV)/.installed  ## what is made from the code: settings, the env example, sources, outbound hosts
	$(BIN)/python tools/plugin_docs.py
	cp config/grafana/alerts.yml config/grafana/finance.json config/grafana/operations.json config/helm/alertd/files/

site: ## the documentation as a site, in build/site; a page or an anchor that is not there ends it
	$(BIN)/python tools/docs_site.py build/pages $(PROJECT_URL)
	$(BIN)/zensical build --clean --strict

bench: $(VENV)/.installed  ## every benchmark at a small size, a quarter of an hour in all; docs/benchmarks.md says more
	cd $(CURDIR) && export PYTHONPATH=. && failed=""; \
	for each in "tick --series 1000" "tick --series 10000" "daemon --series 1000 --polls 6" "rules --series 1000" "counters 10000 1000" "outbox 1000" \
		"parts --teams 4" "projection" "rating 10000" "files 20000" "store 5000" "alertmanager 300" "latency 10" "recovery 2" "storm 15" \
		"otlp 40 500" "commands --runs 5" "memory --budgets 50 --hours 1" "allowance --series 1000 --rate 100 --seconds 5" "backfill --series 50 --days 3"; do \
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
