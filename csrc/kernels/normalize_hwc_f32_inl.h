// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace hpip::kernels {

// value * factor[c] + offset[c] for one interleaved row; product and sum are rounded separately.
template <int kChannels, typename T>
void normalize_hwc_f32(const T* __restrict source, const float* __restrict factor,
                       const float* __restrict offset, std::ptrdiff_t width,
                       float* __restrict out) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    for (int c = 0; c < kChannels; ++c) {
      const float scaled = static_cast<float>(source[x * kChannels + c]) * factor[c];
      out[x * kChannels + c] = scaled + offset[c];
    }
  }
}

}  // namespace hpip::kernels
