// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"

namespace hpip::kernels {

// Nearest-neighbour row: output pixel x is source pixel index[x], of kChannels values.
template <int kChannels, typename T>
void gather_row_hwc(const T* __restrict source, const std::int32_t* __restrict index,
                    std::ptrdiff_t width, T* __restrict out) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    HPIP_DCHECK(index[x], >=, 0);
    const T* pixel = source + std::ptrdiff_t{index[x]} * kChannels;
    for (int c = 0; c < kChannels; ++c) {
      out[x * kChannels + c] = pixel[c];
    }
  }
}

}  // namespace hpip::kernels
