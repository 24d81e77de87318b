// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace hpip::kernels {

// One interleaved BGR row into the R, G and B rows of a planar image, `plane` values apart, as
// value * factor[c] + offset[c] with c in RGB order; product and sum are rounded apart.
template <typename T>
void normalize_chw_f32(const T* __restrict bgr, const float* factor, const float* offset,
                       std::ptrdiff_t width, std::ptrdiff_t plane, float* out) noexcept {
  for (int c = 0; c < 3; ++c) {
    const T* __restrict source = bgr + (2 - c);
    float* __restrict row = out + c * plane;
    const float channel_factor = factor[c];
    const float channel_offset = offset[c];
    for (std::ptrdiff_t x = 0; x < width; ++x) {
      const float scaled = static_cast<float>(source[x * 3]) * channel_factor;
      row[x] = scaled + channel_offset;
    }
  }
}

}  // namespace hpip::kernels
