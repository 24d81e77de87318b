// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "hpip/dcheck.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// A candidate box, and the criterion of an overlap.
struct Candidate {
  const float* box;  // x0, y0, x1, y1
  float area;
  float extra;
  float threshold;
};

// Whether one of kBlock kept boxes intersects the candidate; without branches per box, which would
// be mispredicted.
template <std::ptrdiff_t kBlock>
inline bool overlaps_in_block(const float* __restrict kept, std::ptrdiff_t stride,
                              const Candidate& candidate) noexcept {
  const float x0 = candidate.box[0];
  const float y0 = candidate.box[1];
  const float x1 = candidate.box[2];
  const float y1 = candidate.box[3];
  const float* __restrict kept_x0 = kept;
  const float* __restrict kept_y0 = kept + stride;
  const float* __restrict kept_x1 = kept + 2 * stride;
  const float* __restrict kept_y1 = kept + 3 * stride;
  const float* __restrict kept_area = kept + 4 * stride;
  const float area = candidate.area;
  const float extra = candidate.extra;
  const float threshold = candidate.threshold;
  int touched = 0;
  for (std::ptrdiff_t i = 0; i < kBlock; ++i) {
    touched |= static_cast<int>(!(kept_x0[i] > x1)) & static_cast<int>(!(kept_x1[i] < x0)) &
               static_cast<int>(!(kept_y0[i] > y1)) & static_cast<int>(!(kept_y1[i] < y0));
  }
  if (touched == 0) {
    return false;
  }
  int suppressed = 0;
  for (std::ptrdiff_t i = 0; i < kBlock; ++i) {
    const float left = x0 < kept_x0[i] ? kept_x0[i] : x0;
    const float top = y0 < kept_y0[i] ? kept_y0[i] : y0;
    const float right = kept_x1[i] < x1 ? kept_x1[i] : x1;
    const float bottom = kept_y1[i] < y1 ? kept_y1[i] : y1;
    const float shared = (right - left + extra) * (bottom - top + extra);
    const float overlap = shared / (area + kept_area[i] - shared);
    const int meets = static_cast<int>(!(kept_x0[i] > x1)) & static_cast<int>(!(kept_x1[i] < x0)) &
                      static_cast<int>(!(kept_y0[i] > y1)) & static_cast<int>(!(kept_y1[i] < y0));
    suppressed |= meets & static_cast<int>(!(overlap <= threshold));
  }
  return suppressed != 0;
}

// Whether the IoU of the box (x0, y0, x1, y1) of area `area` with one of `count` kept boxes exceeds
// `threshold`, or is NaN (for two boxes without area that touch). `kept` has five rows of `stride`
// floats: x0, y0, x1, y1 and area. It must be filled up from `count` to a multiple of 64 with boxes
// that intersect no other. `extra` is added to the sides of an intersection. Disjoint boxes never
// overlap, whatever the threshold.
//
// Compares 64 kept boxes at a time, because there may be hundreds; a smaller block for few boxes,
// because most classes keep only few.
inline bool overlaps_any(const float* __restrict kept, std::ptrdiff_t stride, std::ptrdiff_t count,
                         const float* __restrict box, float area, float extra,
                         float threshold) noexcept {
  constexpr std::ptrdiff_t kMany = 64;
  constexpr std::ptrdiff_t kFew = 16;
  HPIP_DCHECK(stride % kMany, ==, 0);
  HPIP_DCHECK(count, <=, stride);
  for (std::ptrdiff_t i = count; i % kMany != 0; ++i) {
    HPIP_DCHECK(kept[i], >, kept[2 * stride + i]);  // intersects no other
  }
  const Candidate candidate{box, area, extra, threshold};
  std::ptrdiff_t begin = 0;
  for (; count - begin > kFew; begin += kMany) {
    if (overlaps_in_block<kMany>(kept + begin, stride, candidate)) {
      return true;
    }
  }
  return begin < count && overlaps_in_block<kFew>(kept + begin, stride, candidate);
}

}  // namespace hpip::HPIP_TARGET
