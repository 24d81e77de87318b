// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Copies `count` values past the caches: whole cache lines of `out` go to memory without being read
// first, and without pushing out what the caches hold. Lines that the row has only a part of are
// stored as usual. Whoever hands `out` to another thread must fence_streams() first.
inline void stream_row_f32(const float* __restrict values, std::ptrdiff_t count,
                           float* __restrict out) noexcept {
  constexpr std::ptrdiff_t kLine = 64 / sizeof(float);
  HPIP_DCHECK(reinterpret_cast<std::uintptr_t>(out) % alignof(float), ==, 0U);
  const auto beyond_line =
      static_cast<std::ptrdiff_t>(reinterpret_cast<std::uintptr_t>(out) / sizeof(float)) % kLine;
  const std::ptrdiff_t to_next_line = (kLine - beyond_line) % kLine;
  const std::ptrdiff_t head = to_next_line < count ? to_next_line : count;
  for (std::ptrdiff_t i = 0; i < head; ++i) {
    out[i] = values[i];
  }
  std::ptrdiff_t i = head;
  for (; i + kLine <= count; i += kLine) {
#if defined(__AVX512F__)
    _mm512_stream_ps(out + i, _mm512_loadu_ps(values + i));
#else
    _mm256_stream_ps(out + i, _mm256_loadu_ps(values + i));
    _mm256_stream_ps(out + i + kLine / 2, _mm256_loadu_ps(values + i + kLine / 2));
#endif
  }
  for (; i < count; ++i) {
    out[i] = values[i];
  }
}

// Makes what this thread has streamed visible before what it stores afterwards.
inline void fence_streams() noexcept { _mm_sfence(); }

}  // namespace hpip::HPIP_TARGET
