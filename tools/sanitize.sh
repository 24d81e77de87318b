#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs the tests on builds with sanitizers, which also check all preconditions (HPIP_DCHECK).
#   tools/sanitize.sh                     the C++ tests, then tests/kernels
#   tools/sanitize.sh --cpp               the C++ tests alone: presets asan-ubsan and tsan
#   tools/sanitize.sh PYTEST_ARGUMENTS    pytest alone, with AddressSanitizer and
#                                         UndefinedBehaviorSanitizer
# The builds live in build/, where the next run finds them; the installed hpip stays as it is.
# PYTHON chooses the interpreter, which needs the packages of the `dev` extra; CXX the compiler,
# which must be GCC.
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

# Every process below, the children of tests too, starts with this module.
cat >"$work/site/sitecustomize.py" <<'PYTHON'
import sys
from importlib.machinery import PathFinder
from pathlib import Path


class SanitizedBuild:
    """Finds hpip beside this file, before an editable install or a source tree is looked at."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        # Submodules too: an editable install's finder knows each of them.
        if name.partition(".")[0] != "hpip":
            return None
        return PathFinder.find_spec(name, path or [str(Path(__file__).parent)], target)


sys.meta_path.insert(0, SanitizedBuild)
# Paddle frees with `delete` what it did not get from `new`, as soon as it is imported: tests that
# need it skip.
sys.modules["paddle"] = None
PYTHON

# libasan must come first in a process that does not link it; libstdc++ must be there when libasan
# looks for __cxa_throw. Leaks are CPython's and numpy's own. PYTHONMALLOC puts every Python object
# on the watched heap.
export LD_PRELOAD="$("$cxx" -print-file-name=libasan.so) $("$cxx" -print-file-name=libstdc++.so)"
export ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS=print_stacktrace=1
export PYTHONMALLOC=malloc
export PYTHONPATH=$work/site
"$python" -c 'from hpip import ops
assert ops.build_info()["sanitizers"], f"expected a sanitized build, imported {ops.__file__}"'
exec "$python" -m pytest -p no:cacheprovider "${@:-tests/kernels}"
