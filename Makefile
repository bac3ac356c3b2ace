# Two commands do all the set-up: `make demo` shows what Wavetank does, `make test` is the gate.
# Another interpreter: `make test PYTHON=/path/to/python3.12 VENV=.venv-3.12`.

# The first of these that is new enough (the shims of version managers exist without working, so each is tried).
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && echo $$python && break; done)
VENV ?= .venv
# The demo pins an old library with a bug; the gate wants the newest. So each has its own environment.
DEMO_VENV ?= .venv-demo
DEMO := examples/redis_cancel_mixup
# Half as many again as there are processors: many tests wait more than they compute.
WORKERS := $(shell n=$$(nproc 2>/dev/null || echo 2); echo $$((n + (n + 1) / 2)))
# Passed on to pytest, as in `make test PYTEST_ARGS="-x tests/unit"`.
PYTEST_ARGS ?=

# pip 25.1 is the first that reads [dependency-groups].
PIP_INSTALL = -m pip install --quiet --disable-pip-version-check

.PHONY: help demo test test-core test-long lint check-install clean

help:
	@echo 'make demo           find a real bug of redis-py 4.5.1 in the simulated network, and show it'
	@echo 'make test           the gate: ruff, mypy --strict, pytest'
	@echo 'make test-core      the tests of modules, kernel and commands, as on each further interpreter'
	@echo 'make test-long      what takes longer; writes docs/results/test-long.md'
	@echo 'make check-install  a plain installation, not editable, answers `wavetank --help`'
	@echo 'make clean          remove the environments and caches that these commands make'

demo: $(DEMO_VENV)/.installed
	@status=0; $(DEMO_VENV)/bin/wavetank explore $(DEMO)/workload.py || status=$$?; \
	case $$status in \
	1) printf '\n%s\n' 'make demo: the failure above is real (CVE-2023-28858); $(DEMO)/README.md tells its story.' \
		'The replay line works once "$(DEMO_VENV)/bin" is on PATH.' ;; \
	0) echo 'make demo: no failure found, although redis-py 4.5.1 is known to have one' >&2; exit 1 ;; \
	*) exit $$status ;; \
	esac

test: lint $(VENV)/.gallery
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) $(PYTEST_ARGS)

test-core: $(VENV)/.installed
	$(VENV)/bin/python -m pytest --numprocesses $(WORKERS) tests/unit tests/parity tests/properties tests/e2e/test_commands.py $(PYTEST_ARGS)

test-long: $(VENV)/.gallery
	$(VENV)/bin/python -m pytest -m long --results docs/results/test-long.md $(PYTEST_ARGS)

lint: $(VENV)/.installed
	$(VENV)/bin/python -m ruff check
	$(VENV)/bin/python -m ruff format --check
	$(VENV)/bin/python -m mypy --strict src

check-install: $(VENV)-plain/bin/python
	$(VENV)-plain/bin/python $(PIP_INSTALL) .
	cd $(VENV)-plain && bin/wavetank --help

clean:
	rm -rf .venv .venv-* .mypy_cache .pytest_cache .ruff_cache .hypothesis .wavetank

%/bin/python:
	@test -n '$(PYTHON)' || { echo 'Wavetank needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ...' >&2; exit 1; }
	$(PYTHON) -m venv $*

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(VENV)/bin/python $(PIP_INSTALL) --upgrade 'pip>=25.1'
	$(VENV)/bin/python $(PIP_INSTALL) --editable . --group dev
	@touch $@

$(VENV)/.gallery: $(VENV)/.installed
	$(VENV)/bin/python $(PIP_INSTALL) --upgrade --group gallery
	@touch $@

$(DEMO_VENV)/.installed: pyproject.toml $(DEMO)/requirements.txt | $(DEMO_VENV)/bin/python
	$(DEMO_VENV)/bin/python $(PIP_INSTALL) --editable . --requirement $(DEMO)/requirements.txt
	@touch $@
