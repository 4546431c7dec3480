# Two commands for a newcomer: `make up` and `make test`. Each target does all of its own set-up; a
# second run finds it done. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WEB := control_services/web
STATE ?= state
JOBS ?= 2

# What the tests drive beside Python: a browser, an HTTP peer and its load, DNS clients.
TEST_PACKAGES := chromium nginx-light wrk dnsperf bind9-dnsutils openssl
TEST_TOOLS := chromium:chromium nginx:nginx-light wrk:wrk dnsperf:dnsperf dig:bind9-dnsutils openssl:openssl
# Whom the serving benchmarks measure beside nginx; `make test` does without.
PEER_TOOLS := varnishd:varnish traffic_server:trafficserver h2o:h2o caddy:caddy

SOURCES := appliance cli control_plane control_services dns encoder runtime protos tests

.PHONY: help up test check fast-tests scenarios test-lab lint format protos web setup test-tools bench-serving bench-serving-full bench-dns bench-store bench-store-on-disk clean

help: ## this list
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/^([a-z-]+):[^#]*## /\1\t/' | expand -t 16

up: setup web ## the whole system on this machine; Ctrl-C stops it, state/ keeps it
	@$(BIN)/sluice up --state $(STATE) $(UP)

test: setup web test-tools lint web-tests fast-tests scenarios ## everything that must hold before a commit lands

check: setup lint fast-tests ## the quick gate: format, lint, types, import contracts, protos, fast tests

fast-tests: setup
	@$(BIN)/pytest -q -n $(JOBS) -m "not scenario and not lab"

.PHONY: web-tests bench-tools
web-tests: web
	@cd $(WEB) && npm run --silent typecheck && npm test --silent

# Real processes share ports, cores and clocks: one at a time.
scenarios: setup web test-tools
	@$(BIN)/pytest -q -m scenario

test-lab: setup test-tools ## what takes minutes or root: long loads, links of other networks
	@$(BIN)/pytest -q -s -m lab

lint: setup
	@$(BIN)/ruff format --check --quiet $(SOURCES) || { echo "make: run 'make format'"; exit 1; }
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache >/tmp/sluice-lint-imports.$$$$ 2>&1 || { cat /tmp/sluice-lint-imports.$$$$; exit 1; }; rm -f /tmp/sluice-lint-imports.$$$$

format: setup ## format and mend what a tool can
	@$(BIN)/ruff check --quiet --fix $(SOURCES) || true
	@$(BIN)/ruff format --quiet $(SOURCES)

protos: setup ## write protos/generated anew
	@$(BIN)/python protos/generate.py

SERVING := $(BIN)/python tests/benchmarks/serving
RESULTS := bench-results

bench-serving: setup test-tools peer-tools ## one serving core beside nginx and its peers, in turns; prints a table
	@$(SERVING)/bench.py --json $(RESULTS)/serving.json $(BENCH)

# The rest of the matrix, and what a table of requests/s does not tell.
bench-serving-full: setup test-tools peer-tools ## all that bench-serving leaves out, for hours
	@$(SERVING)/bench.py --connections 1,256 --json $(RESULTS)/serving-connections.json $(BENCH)
	@$(SERVING)/bench.py --ranges --json $(RESULTS)/serving-ranges.json $(BENCH)
	@$(SERVING)/bench.py --new --json $(RESULTS)/serving-new.json $(BENCH)
	@$(SERVING)/bench.py --cold --json $(RESULTS)/serving-cold.json $(BENCH)
	@$(SERVING)/handshakes.py --json $(RESULTS)/handshakes.json
	@$(SERVING)/idle.py --json $(RESULTS)/idle.json
	@$(SERVING)/many_objects.py --json $(RESULTS)/many-objects.json
	@$(SERVING)/ablation.py --json $(RESULTS)/ablation.json

bench-store: setup ## what is kept, beside libcachesim's policies at equal flash writes; a table and a picture
	@$(BIN)/python -c 'import libcachesim' 2>/dev/null || $(BIN)/pip install --quiet -e '.[bench]'
	@$(BIN)/python tests/benchmarks/store/bench.py --json $(RESULTS)/store.json --picture $(RESULTS)/store.svg $(BENCH)

.PHONY: bench-fill
bench-fill: setup ## how fast an object is filled, beside curl and dd on the same disk; prints a table
	@$(BIN)/python tests/benchmarks/fill/bench.py --json $(RESULTS)/fill.json $(BENCH)

bench-store-on-disk: setup ## a store of 1,000,000 objects: start, look-up, memory; import and verify beside dd and sha256sum
	@$(BIN)/python tests/benchmarks/store_on_disk/bench.py --json $(RESULTS)/store-on-disk.json $(BENCH)

bench-dns: setup test-tools bench-tools ## sluice-dns beside Knot under dnsperf; prints a table
	@mkdir -p bench-results
	@$(BIN)/python tests/benchmarks/dns/bench.py --json bench-results/dns.json $(BENCH)

.PHONY: simulate-fill
simulate-fill: setup ## a month of fill plans for 200 boxes on one core; prints seconds, bytes moved and laws checked
	@$(BIN)/python tests/simulation/fill_fleet.py --json $(RESULTS)/fill-plans.json $(SIMULATE)

clean: ## remove what was built; state/ stays
	rm -rf $(VENV) $(WEB)/node_modules $(WEB)/dist bench-results .mypy_cache .ruff_cache .pytest_cache

# --- set-up, each step once --------------------------------------------------------------------------

setup: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: python3 is missing; install it: apt-get install python3 python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "make: $(PYTHON) is $$($(PYTHON) -V), expected Python 3.11 or newer; name one with PYTHON=..."; exit 1; }
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then $(MAKE) --no-print-directory debian PACKAGES="python3-venv" WHY="Python's venv module"; fi
	@echo "make: installing the Python packages into $(VENV) (about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# Not `npm ci`: it refuses a lock that leaves out the optional packages of other platforms.
web: $(WEB)/dist/index.html

$(WEB)/dist/index.html: $(WEB)/package.json $(WEB)/package-lock.json $(wildcard $(WEB)/*.ts $(WEB)/*.html) $(shell find $(WEB)/src -type f 2>/dev/null)
	@command -v npm >/dev/null || { echo "make: npm is missing; install Node.js 20 (it builds the web page and brings the film)"; exit 1; }
	@node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)' || { echo "make: node is $$(node --version), expected 20 or newer"; exit 1; }
	@echo "make: building the web page"
	@cd $(WEB) && npm install --no-save --silent --no-audit --no-fund && npm run --silent build
	@touch $@

test-tools:
	@missing=""; for pair in $(TEST_TOOLS); do PATH="$$PATH:/usr/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then $(MAKE) --no-print-directory debian PACKAGES="$$missing" WHY="what the tests drive"; fi

bench-tools:
	@PATH="$$PATH:/usr/sbin" command -v knotd >/dev/null || $(MAKE) --no-print-directory debian PACKAGES="knot" WHY="a peer to measure DNS against"

# As packages they start as services, where there is an init: stop those before measuring.
.PHONY: peer-tools
peer-tools:
	@missing=""; for pair in $(PEER_TOOLS); do PATH="$$PATH:/usr/sbin" command -v $${pair%%:*} >/dev/null || missing="$$missing $${pair##*:}"; done; \
	if [ -n "$$missing" ]; then $(MAKE) --no-print-directory debian PACKAGES="$$missing" WHY="peers to measure against; those that start as services are to be stopped"; fi

# Installs Debian packages where root allows, and says so; else says what to install.
.PHONY: debian
debian:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  echo "make: installing Debian packages ($(WHY)):$(PACKAGES)"; \
	  apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(PACKAGES) >/dev/null; \
	else echo "make: missing Debian packages ($(WHY)); install them: apt-get install $(PACKAGES)"; exit 1; fi
