// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hpip/dcheck.h"

namespace hpip::kernels {

// Number of padding pixels at both ends of a row: enough for four taps at any position.
inline constexpr std::ptrdiff_t kRowPad = 3;

// The pixel of a row that is nearest to x.
inline std::ptrdiff_t inside_row(std::ptrdiff_t x, std::ptrdiff_t width) noexcept {
  if (x < 0) return 0;
  return x < width ? x : width - 1;
}

// Writes pixels [begin, end) of a row of `channels` (1 or 3) as three channels, and replicates the
// first and the last pixel beyond the ends of the row, so that filters need neither clamping nor a
// case for grey. `out` is the address of pixel 0, kRowPad pixels after the start of the memory;
// begin >= -kRowPad.
inline void pad_pixels(const std::uint8_t* row, std::ptrdiff_t width, std::ptrdiff_t channels,
                       std::ptrdiff_t begin, std::ptrdiff_t end,
                       std::uint8_t* __restrict out) noexcept {
  HPIP_DCHECK(channels == 1 || channels == 3, ==, true);
  HPIP_DCHECK(width, >=, 1);
  HPIP_DCHECK(begin, >=, -kRowPad);
  HPIP_DCHECK(begin, <, end);
  HPIP_DCHECK(end, <=, width + kRowPad);
  const std::ptrdiff_t first = inside_row(begin, width);
  const std::ptrdiff_t last = inside_row(end - 1, width);
  if (channels == 3) {
    std::memcpy(out + 3 * first, row + 3 * first, static_cast<std::size_t>(3 * (last + 1 - first)));
  } else {
    for (std::ptrdiff_t x = first; x <= last; ++x) {
      out[3 * x] = out[3 * x + 1] = out[3 * x + 2] = row[x];
    }
  }
  for (std::ptrdiff_t x = begin; x < first; ++x) {
    std::memcpy(out + 3 * x, out + 3 * first, 3);
  }
  for (std::ptrdiff_t x = last + 1; x < end; ++x) {
    std::memcpy(out + 3 * x, out + 3 * last, 3);
  }
}

// Prefetches the bytes of a row into the L2 cache. Filtering a row takes so long that the
// processor's hardware prefetcher stops between two rows.
inline void prefetch_row(const std::uint8_t* row, std::ptrdiff_t bytes) noexcept {
  constexpr std::ptrdiff_t kCacheLine = 64;
  for (std::ptrdiff_t i = 0; i < bytes; i += kCacheLine) {
    __builtin_prefetch(row + i, 0, 2);
  }
}

}  // namespace hpip::kernels
