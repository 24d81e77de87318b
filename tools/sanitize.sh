#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests on builds with sanitizers, which also check all preconditions (HPIP_DCHECK).
#   tools/sanitize.sh                     the C++ tests, then tests/kernels
#   tools/sanitize.sh --cpp               only the C++ tests: presets asan-ubsan and tsan
#   tools/sanitize.sh PYTEST_ARGUMENTS    only pytest, with AddressSanitizer and
#                                         UndefinedBehaviorSanitizer
# The builds are in build/, and the next run reuses them; the installed hpip does not change.
# PYTHON selects the interpreter, which must have the packages of the `dev` extra; CXX selects the
# compiler, which must be GCC.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
cxx=${CXX:-g++}
work=$PWD/build/sanitize

if [ $# -eq 0 ] || [ "$1" = --cpp ]; then
  for preset in asan-ubsan tsan; do
    CXX=$cxx cmake --preset "$preset" >/dev/null
    cmake --build --preset "$preset"
    ctest --preset "$preset"
  done
  if [ $# -gt 0 ]; then
    exit
  fi
fi

rm -rf "$work/site"

CXX=$cxx "$python" -m pip install --quiet --no-deps --no-build-isolation --target "$work/site" \
  --config-settings=build-dir="$work/build" \
  --config-settings=cmake.build-type=RelWithDebInfo \
  --config-settings=cmake.define.HPIP_SANITIZE=address,undefined \
  --config-settings=cmake.define.HPIP_WERROR=ON \
  --config-settings=install.strip=false .

# Every process below, including the child processes of tests, imports this module at its start.
cat >"$work/site/sitecustomize.py" <<'PYTHON'
import sys
from importlib.machinery import PathFinder
from pathlib import Path


class SanitizedBuild:
    """Finds hpip next to this file, before an editable install or a source tree."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        # Submodules too, because the finder of an editable install would find each of them.
        if name.partition(".")[0] != "hpip":
            return None
        return PathFinder.find_spec(name, path or [str(Path(__file__).parent)], target)


sys.meta_path.insert(0, SanitizedBuild)
# On import, Paddle frees memory with `delete` that was not allocated with `new`, so tests that need
# Paddle are skipped.
sys.modules["paddle"] = None
PYTHON

# libasan must be loaded first in a process that is not linked with it; libstdc++ must be loaded when
# libasan looks up __cxa_throw. Leak detection is off because of leaks in CPython and NumPy.
# PYTHONMALLOC=malloc allocates every Python object on the heap that AddressSanitizer checks.
export LD_PRELOAD="$("$cxx" -print-file-name=libasan.so) $("$cxx" -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
export PYTHONMALLOC=malloc
export PYTHONPATH=$work/site
"$python" -c 'from hpip import ops
assert ops.build_info()["sanitizers"], f"expected a sanitized build, imported {ops.__file__}"'
exec "$python" -m pytest -p no:cacheprovider "${@:-tests/kernels}"
