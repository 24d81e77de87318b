#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Runs pytest on a build of hpip with AddressSanitizer and UndefinedBehaviorSanitizer.
#   tools/sanitize.sh [pytest arguments, by default tests/kernels]
# The build lives in build/sanitize, where the next run finds it; the installed hpip stays as it is.
# PYTHON chooses the interpreter, which needs the packages of the `dev` extra; CXX the compiler,
# which must be GCC.
set -euo pipefail
cd "$(dirname "$0")/.."

python=${PYTHON:-python}
cxx=${CXX:-g++}
work=$PWD/build/sanitize
rm -rf "$work/site"

CXX=$cxx "$python" -m pip install --quiet --no-deps --no-build-isolation --target "$work/site" \
  --config-settings=build-dir="$work/build" \
  --config-settings=cmake.build-type=RelWithDebInfo \
  --config-settings=cmake.define.HPIP_SANITIZE=ON \
  --config-settings=cmake.define.HPIP_WERROR=ON \
  --config-settings=install.strip=false .

# libasan must come first in a process that does not link it; libstdc++ must be there when libasan
# looks for __cxa_throw. Leaks are CPython's and numpy's own. PYTHONMALLOC puts every Python object
# on the watched heap.
LD_PRELOAD="$("$cxx" -print-file-name=libasan.so) $("$cxx" -print-file-name=libstdc++.so)" \
ASAN_OPTIONS=detect_leaks=0:strict_string_checks=1:detect_stack_use_after_return=1 \
UBSAN_OPTIONS=print_stacktrace=1 \
PYTHONMALLOC=malloc \
  "$python" - "$work/site" "${@:-tests/kernels}" <<'PYTHON'
import sys

site, *arguments = sys.argv[1:]
# An editable install of hpip finds its modules before sys.path is looked at.
sys.meta_path = [f for f in sys.meta_path if type(f).__name__ != "ScikitBuildRedirectingFinder"]
sys.path.insert(0, site)
# Paddle frees with `delete` what it did not get from `new`, as soon as it is imported: tests that
# need it skip.
sys.modules["paddle"] = None

import hpip.ops
import pytest

if not hpip.ops.build_info()["sanitizers"]:
    sys.exit(f"expected a sanitized build in {site}, imported {hpip.__file__}")
sys.exit(pytest.main(["-p", "no:cacheprovider", *arguments]))
PYTHON
