// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Whether the box (x0, y0, x1, y1) of area `area` overlaps one of `count` kept boxes by more than
// `threshold`, as intersection over union, or by a NaN: two boxes of no area that touch. `kept` has
// five rows of `stride` floats, x0, y0, x1, y1 and area; `extra` is added to the sides of an
// intersection. A kept box that only misses the other is no overlap whatever the threshold.
//
// 64 kept boxes at a time without a branch: a candidate is compared with hundreds of boxes, and a
// branch for each would be a matter of luck.
inline bool overlaps_any(const float* __restrict kept, std::ptrdiff_t stride, std::ptrdiff_t count,
                         const float* __restrict box, float area, float extra,
                         float threshold) noexcept {
  const float x0 = box[0];
  const float y0 = box[1];
  const float x1 = box[2];
  const float y1 = box[3];
  constexpr std::ptrdiff_t kBlock = 64;
  const float* __restrict kept_x0 = kept;
  const float* __restrict kept_y0 = kept + stride;
  const float* __restrict kept_x1 = kept + 2 * stride;
  const float* __restrict kept_y1 = kept + 3 * stride;
  const float* __restrict kept_area = kept + 4 * stride;
  for (std::ptrdiff_t begin = 0; begin < count; begin += kBlock) {
    int touched = 0;
    for (std::ptrdiff_t i = begin; i < begin + kBlock; ++i) {
      touched |= static_cast<int>(!(kept_x0[i] > x1)) & static_cast<int>(!(kept_x1[i] < x0)) &
                 static_cast<int>(!(kept_y0[i] > y1)) & static_cast<int>(!(kept_y1[i] < y0));
    }
    if (touched == 0) {
      continue;
    }
    int suppressed = 0;
    for (std::ptrdiff_t i = begin; i < begin + kBlock; ++i) {
      const float left = x0 < kept_x0[i] ? kept_x0[i] : x0;
      const float top = y0 < kept_y0[i] ? kept_y0[i] : y0;
      const float right = kept_x1[i] < x1 ? kept_x1[i] : x1;
      const float bottom = kept_y1[i] < y1 ? kept_y1[i] : y1;
      const float shared = (right - left + extra) * (bottom - top + extra);
      const float overlap = shared / (area + kept_area[i] - shared);
      const int meets = static_cast<int>(!(kept_x0[i] > x1)) &
                        static_cast<int>(!(kept_x1[i] < x0)) &
                        static_cast<int>(!(kept_y0[i] > y1)) & static_cast<int>(!(kept_y1[i] < y0));
      suppressed |= meets & static_cast<int>(!(overlap <= threshold));
    }
    if (suppressed != 0) {
      return true;
    }
  }
  return false;
}

}  // namespace hpip::HPIP_TARGET
