#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Fuzzes the native operators with AddressSanitizer and UndefinedBehaviorSanitizer.
#   tools/fuzz.sh SECONDS [TARGET...]     SECONDS per target; default: all of csrc/fuzz/fuzz_*.cc
# Requires Clang with libFuzzer (Debian: clang and libclang-rt-14-dev). Inputs that fail are saved in
# build/fuzz-libfuzzer. With FUZZER=replay, any compiler in CXX works, and random inputs run instead.
set -euo pipefail
cd "$(dirname "$0")/.."

seconds=${1:?usage: tools/fuzz.sh SECONDS [TARGET...]}
shift
targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for source in csrc/fuzz/fuzz_*.cc; do
    target=$(basename "$source" .cc)
    targets+=("${target#fuzz_}")
  done
fi

kind=${FUZZER:-libfuzzer}
work=build/fuzz-$kind
if [ "$kind" = libfuzzer ]; then
  cxx=${CXX:-clang++}
  instrument=-fsanitize=fuzzer-no-link,address,undefined
else
  cxx=${CXX:-g++}
  instrument=-fsanitize=address,undefined
fi
cmake -S . -B "$work" -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="$cxx" -DHPIP_DCHECKS=ON \
  -DCMAKE_CXX_FLAGS="$instrument -fno-sanitize-recover=undefined" >/dev/null
cmake --build "$work" --target hpip_kernels >/dev/null

for target in "${targets[@]}"; do
  program=$work/$target
  common=(-std=c++17 -g -O1 -Icsrc/include -Icsrc/fuzz -fno-sanitize-recover=undefined)
  if [ "$kind" = libfuzzer ]; then
    "$cxx" "${common[@]}" -fsanitize=fuzzer,address,undefined "csrc/fuzz/fuzz_$target.cc" \
      "$work/libhpip_kernels.a" -lpthread -o "$program"
    mkdir -p "$program.corpus"
    "$program" -max_total_time="$seconds" -max_len=4096 -print_final_stats=1 -verbosity=0 \
      -artifact_prefix="$program." "$program.corpus"
  else
    "$cxx" "${common[@]}" -fsanitize=address,undefined "csrc/fuzz/fuzz_$target.cc" \
      csrc/fuzz/replay.cc "$work/libhpip_kernels.a" -lpthread -o "$program"
    "$program" $((seconds * 500))
  fi
  echo "fuzz $target: clean"
done
