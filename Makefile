# `make demo` and `make test` set themselves up in .venv: all they need is Python 3.11+ and make.
PYTHON ?= python3
AUDIO ?=
BIN := .venv/bin
SOURCES := xcodec_fast tests bench examples

TRITON ?=
AOT := $(if $(TRITON),.venv-triton-$(TRITON),.venv)

.PHONY: demo test test-gpu lint bench soak aot clean

demo: .venv/ready
	$(BIN)/xcodec-fast demo $(if $(AUDIO),"$(AUDIO)" )--output-dir demo

test: lint
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-gpu: .venv/ready
	$(BIN)/python -m pytest tests/kernels tests/test_gpu.py tests/test_clients.py -m "not network and not slow"

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(SOURCES)

bench: .venv/ready
	$(BIN)/python -m pytest bench -m "" --results bench/results

soak: .venv/ready
	$(BIN)/python -m bench.soak

# Compiles every kernel of the default model, without a GPU; TRITON=3.6.0 does so with another Triton, in its own venv.
aot: $(AOT)/ready
	TRITON_INTERPRET=0 $(AOT)/bin/python -m bench.aot

clean:
	rm -rf .venv .venv-triton-* demo build *.egg-info .pytest_cache .mypy_cache .ruff_cache .benchmarks

.venv-triton-%/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . triton==$*
	@touch $@

.venv/ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing: install Python 3.11 or newer"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is too old: Python 3.11 or newer is needed (make PYTHON=python3.11 ...)"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "$(PYTHON) cannot make a virtual environment: its venv module is missing (Debian: apt install python3-venv)"; exit 1; }
	@$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	@touch $@
