// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Copies `count` values with non-temporal stores: complete cache lines of `out` are written to
// memory without reading them first and without evicting other data from the caches. Incomplete
// cache lines are stored as usual. Call fence_streams() before another thread reads `out`.
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

// Orders this thread's non-temporal stores before its later stores.
inline void fence_streams() noexcept { _mm_sfence(); }

}  // namespace hpip::HPIP_TARGET
