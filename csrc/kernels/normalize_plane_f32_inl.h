// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "hpip/dcheck.h"

namespace hpip::kernels {

// value * factor + offset over `width` values, `step` apart in the source and `out_step` apart in
// `out`: one channel of a row. Product and sum are rounded apart.
template <typename T>
void normalize_plane_f32(const T* __restrict source, std::ptrdiff_t step, float factor,
                         float offset, std::ptrdiff_t width, std::ptrdiff_t out_step,
                         float* __restrict out) noexcept {
  HPIP_DCHECK(step, >=, 1);
  HPIP_DCHECK(out_step, >=, 1);
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    const float scaled = static_cast<float>(source[x * step]) * factor;
    out[x * out_step] = scaled + offset;
  }
}

}  // namespace hpip::kernels
