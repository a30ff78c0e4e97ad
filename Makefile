# Two commands matter: `make demo` and `make test`. Each sets up .venv first and needs nothing else to have run.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile
READY  := $(VENV)/.ready
DEMO   := $(VENV)/.ready-demo
JOBS   ?= 4
LONG_S ?=
PYTEST := $(BIN)/python -m pytest -n $(JOBS) --dist loadfile

# Tests start hundreds of Pythons; without bytecode each would compile this package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help install demo test test-long test-all test-server check check-deploy format docs screenshots chaos fuzz bench-calls bench-campaign bench-controller bench-dashboard bench-gateway bench-pruning bench-scale bench-search bench-server bench-study bench-trial bench-trials clean

help:      ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(READY)  ## set up .venv (Python, libraries, this package)

# Half of pip's time would be bytecode, most of it of modules that nothing imports: Python makes what it needs.
$(READY): $(DEMO)
	@echo "installing what tests need into $(VENV) (half a minute the first time)" >&2
	@$(PIP) --editable '.[catboost,lightgbm,sklearn,parquet,dev]'
	@touch $@

$(DEMO): setup.cfg pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "clearml-hpo needs Python 3.10 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || \
		{ echo "could not make $(VENV); on Debian and Ubuntu: apt install python3-venv"; rm -rf $(VENV); exit 1; }
	@echo "installing into $(VENV) (20 s the first time, as far as the network goes)" >&2
	@$(PIP) --editable '.[catboost]'
	@touch $@

demo: $(DEMO)  ## an embedded server, two warm workers, one study of 20 CatBoost trials
	@$(BIN)/clearml-hpo run examples/01_catboost_breast_cancer/study.yaml --local --cpu 2 --new

test: $(READY)  ## the test suite without what takes long; JOBS=8 runs eight files of tests at once
	$(PYTEST) -m "not long and not exhaustive"

test-long: $(READY)  ## what takes long; LONG_S=1800 skips what has not begun after so many seconds
	CLEARML_HPO_LONG_TESTS_S=$(LONG_S) $(PYTEST) -m "long or exhaustive"

test-all: $(READY)  ## everything
	$(PYTEST)

test-server: $(READY)  ## the contract and e2e tests, on the ClearML server that CLEARML_API_HOST and its siblings name
	CLEARML_HPO_TEST_SERVER=1 $(BIN)/python -m pytest tests/contract tests/e2e -m "not embedded and not exhaustive"

chaos: $(READY)  ## longer storms than in the tests: processes killed at random instants (a quarter of an hour; CHAOS_SEED=7 repeats one)
	@for storm in 1 2 3; do CHAOS_SCALE=2 $(BIN)/python -m pytest -s tests/chaos || exit 1; done

fuzz: $(READY)  ## many more odd requests to every endpoint of the server and the gateway than in the tests (ten minutes)
	$(BIN)/python -m pytest tests/contract/server/test_fuzz.py tests/contract/gateway/test_gateway_fuzz.py --hypothesis-profile=many

check: $(READY)  ## format, lint, types, the import contract
	$(BIN)/python templates/copy_common.py --check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config setup.cfg

check-deploy: $(READY)  ## deploy/ by real schemas, kubectl and helm (fetched once; ten seconds)
	@$(BIN)/python -m deploy.check

format: $(READY)  ## write the format that `make check` asks for
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python templates/copy_common.py

docs: $(READY)  ## write what is generated: docs/api_coverage.md, docs/timings.md, deploy/
	@$(BIN)/python -m docs.api_coverage
	@$(BIN)/python -m docs.timings
	@$(BIN)/python -m deploy.render

screenshots: $(READY)  ## the pictures of docs/images, made anew (needs chromium)
	@$(BIN)/python -m tests.browser.screenshots docs/images

bench-calls: $(READY)  ## API calls per trial, ours and ClearML's optimizer side by side (JSON, minutes)
	@$(BIN)/python -m benchmarks.calls_per_trial

bench-campaign: $(READY)  ## trials per hour: a campaign, and its studies one after the other (JSON, eleven minutes)
	@$(BIN)/python -m benchmarks.campaign

bench-controller: $(READY)  ## calls, idle slots, processor time at 10 to 1,000 live trials, ours and ClearML's optimizer (JSON, ten minutes)
	@$(BIN)/python -m benchmarks.controller

bench-scale: $(READY)  ## 10,000 trials on 500 Dask workers: calls, processor time, memory, time of an ask (JSON, ten minutes)
	@$(BIN)/python -m benchmarks.scale

bench-gateway: $(READY)  ## milliseconds and trials a second of workers over HTTP, also while the gateway is killed (JSON, three minutes)
	@$(BIN)/python -m benchmarks.gateway

bench-dashboard: $(READY)  ## milliseconds, bytes and calls of the dashboard with 2,000 trials, 50 of them running (JSON, two minutes)
	@$(BIN)/python -m benchmarks.dashboard

bench-pruning: $(READY)  ## what pruners save and what they cost, on curves of really trained models (JSON, 25 minutes)
	@$(BIN)/python -m benchmarks.pruning

bench-search: $(READY)  ## regret after 30, 60 and 120 trials: our samplers, ClearML's strategy, random search (JSON, hours)
	@$(BIN)/python -m benchmarks.search_quality

bench-server: $(READY)  ## calls per second, milliseconds, memory and start-up of the embedded server (JSON, five minutes)
	@$(BIN)/python -m benchmarks.server

bench-study: $(READY)  ## the best value over wall time: ours, ClearML's optimizer, Optuna, Ray Tune (JSON, four hours)
	@$(BIN)/python -m benchmarks.study

bench-trial: $(READY)  ## seconds from enqueued to completed, by the agent's settings (JSON, minutes)
	@$(BIN)/python -m benchmarks.trial_overhead

bench-trials: $(READY)  ## trials per hour and processor seconds of each: plain agents, tuned agents, warm workers, Dask, Optuna alone (JSON, fifteen minutes)
	@$(BIN)/python -m benchmarks.warm_trials

clean:  ## remove .venv and caches
	rm -rf $(VENV) *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
