// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "hpip/dcheck.h"

namespace hpip::kernels {

// value * factor + offset for one channel of a row: `width` values with the stride `step` in the
// source and `out_step` in `out`. Product and sum are rounded separately.
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
