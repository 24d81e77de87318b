# SPDX-License-Identifier: Apache-2.0
# The README's commands. `make VENV=DIR PYTHON=python3.12 test` uses another place and interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: setup demo test test-slow test-training test-paddlex lint tidy sanitize wheel release-check clean

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml CMakeLists.txt $(shell find csrc -type f)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[cpu,dev]'
	touch $@

demo: setup
	$(BIN)/python tools/demo.py --save_path output/demo

# A file's tests share servers and models, so that they stay in one process. More than four need more memory than time.
# A process that dies ends the run: pytest-xdist 3.8 may wait forever for the one in its place (its issue 1378).
test: setup
	$(BIN)/pytest -m 'not slow' -n auto --maxprocesses 4 --dist loadfile --max-worker-restart 0

# The demo model's pictures and training, on PyTorch; Python 3.11 and Debian's fonts-noto-color-emoji.
test-training:
	$(PYTHON) -m venv $(VENV)-training
	$(VENV)-training/bin/pip install --quiet -r tools/demo_model/requirements.txt pytest hypothesis pyyaml
	$(VENV)-training/bin/python -m pytest tests/demo_model/test_generator.py tests/demo_model/test_training.py

# Inside a real PaddleX, in an environment of its own (about 2 GB): tests/paddlex/README.md.
test-paddlex:
	$(PYTHON) tests/paddlex/make_env.py $(VENV)-paddlex
	$(VENV)-paddlex/bin/python -m pytest tests/paddlex

test-slow: setup
	$(BIN)/pytest -m slow

lint: setup
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/pre-commit run --all-files

# clang-tidy on all of csrc/: it runs beside the compiler, and again only where a file changed.
tidy: setup
	PATH="$(abspath $(BIN)):$$PATH" cmake --preset tidy -DPython_EXECUTABLE="$(abspath $(BIN))/python" \
	  -Dpybind11_DIR="$$($(BIN)/python -m pybind11 --cmakedir)" >/dev/null
	PATH="$(abspath $(BIN)):$$PATH" cmake --build --preset tidy -- -k 0

sanitize: setup
	PATH="$(abspath $(BIN)):$$PATH" tools/sanitize.sh

wheel: setup
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .

# `make release-check PYTHONS="python3.10 /opt/python3.13/bin/python"`; without PYTHONS, those in PATH.
release-check:
	$(PYTHON) -m venv $(VENV)-release
	$(VENV)-release/bin/pip install --quiet --upgrade pip
	$(VENV)-release/bin/pip install --quiet --group release
	$(VENV)-release/bin/python tools/release_check.py --extras onnxruntime \
	  --run 'hpip predict --model demo --save_path out' $(PYTHONS)

clean:
	rm -rf build dist output $(VENV)
