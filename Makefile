# Featurescope: `make demo` in a fresh clone needs Python 3.11 or newer and nothing else.
PYTHON  ?= python3
PORT    ?= 8000
VENV    := .venv
PY      := $(VENV)/bin/python
# Byte code is compiled at first import, for the few modules used: installing takes half as long.
INSTALL := $(PY) -m pip -qq install --no-compile -c constraints.txt
COMPOSE := $(VENV)/compose/bin/python -m compose
DEPS    := pyproject.toml constraints.txt hatch_build.py frontend/package-lock.json
export PIP_DISABLE_PIP_VERSION_CHECK = 1

.DEFAULT_GOAL := help
.PHONY: help demo demo-english test check bench docs clean

help: ## Say what can be made
	@echo "make WHAT [PORT=8000] [PYTHON=python3]"
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 16

demo: $(VENV)/.app ## Install, harvest the bundled demo once, serve it on this machine
	@FEATURESCOPE_HOME="$(CURDIR)/.featurescope" $(PY) -m app demo --port $(PORT)

demo-english: $(VENV)/.app ## The same with a chat model that speaks English (fetches 93 MB)
	@FEATURESCOPE_HOME="$(CURDIR)/.featurescope" $(PY) -m app demo --english --port $(PORT)

# Two processes of one thread each: with torch's own threads besides, they take twice as long. Byte
# code is kept even where the environment says otherwise: some hundred processes are started.
test: $(VENV)/.dev $(VENV)/.browser ## Run all tests, browser and Postgres included; a skip is a failure
	@unset PYTHONDONTWRITEBYTECODE; OMP_NUM_THREADS=1 $(PY) -m pytest --no-skips -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev $(VENV)/.compose ## Style, types, docs, container files
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@$(PY) -m scripts.settings_doc --check
	@$(VENV)/bin/hadolint Dockerfile
	@WORKER_SECRET=any $(COMPOSE) -f docker-compose.yml config -q
	@echo "All checks passed."

bench: $(VENV)/.dev ## Measure what README states, against its rivals
	@$(PY) -m benchmarks $(ARGS)

docs: $(VENV)/.dev ## Write docs/settings.md anew from the code
	@$(PY) -m scripts.settings_doc

clean: ## Remove what was installed, fetched and harvested here
	rm -rf $(VENV) .featurescope static/vendor .pytest_cache .mypy_cache .ruff_cache build dist

# Each file below stands for a finished installation step; it is remade when its causes change.
$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Featurescope needs Python 3.11 or newer: make PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "Python's venv module is missing; on Debian: apt install python3-venv"; exit 1; }

$(VENV)/.app: $(DEPS) | $(PY)
	@echo "Installing Featurescope and its dependencies into $(VENV) (torch is large: some minutes)"
	@$(INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(DEPS) | $(PY)
	@echo "Installing Featurescope, its dependencies and its test tools into $(VENV)"
	@$(INSTALL) -e '.[check,test]'
	@touch $(VENV)/.app $@

$(VENV)/.browser: scripts/browser.sh | $(VENV)/.dev
	@scripts/browser.sh $(PY)
	@touch $@

# Compose 1.29 needs versions of its own; it asks for PyYAML 5, which no longer builds, and takes 6.
$(VENV)/.compose: | $(PY)
	@echo "Installing docker-compose, which only validates docker-compose.yml"
	@$(PYTHON) -m venv $(VENV)/compose
	@$(VENV)/compose/bin/python -m pip -qq install 'distro<2' 'docker<7' 'dockerpty<1' 'docopt<1' \
	  'jsonschema<4' pyyaml 'python-dotenv<1' 'requests<2.32' 'setuptools<80' 'texttable<2' 'websocket-client<1'
	@$(VENV)/compose/bin/python -m pip -qq install --no-deps docker-compose==1.29.2
	@touch $@
