// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "hpip/dcheck.h"

namespace hpip::kernels {

// The image size for clipping decoded boxes, and their minimum size.
struct ProposalBounds {
  float height;
  float width;
  float min_size;
  float offset;  // 1 where a box includes its last pixel, else 0
};

// Moves and scales an anchor by (dx, dy, dw, dh), multiplied by the variances if `variance` is not
// null, and clips it. Rounds as Paddle does: centres in double, everything else in float.
inline void decode_anchor(const float* anchor, const float* delta, const float* variance,
                          const ProposalBounds& bounds, float* box) noexcept {
  HPIP_DCHECK(bounds.offset == 0.0F || bounds.offset == 1.0F, ==, true);
  constexpr float kMostGrowth = 4.135166556742356F;  // ln(1000 / 16), prevents overflow of exp
  const float limits[2] = {bounds.width - bounds.offset, bounds.height - bounds.offset};
  for (int axis = 0; axis < 2; ++axis) {
    const float shift = variance == nullptr ? delta[axis] : variance[axis] * delta[axis];
    const float growth =
        variance == nullptr ? delta[axis + 2] : variance[axis + 2] * delta[axis + 2];
    const float length = anchor[axis + 2] - anchor[axis] + bounds.offset;
    const auto middle =
        static_cast<float>(static_cast<double>(anchor[axis]) + 0.5 * static_cast<double>(length));
    const float centre = shift * length + middle;
    const float scaled = std::exp(kMostGrowth < growth ? kMostGrowth : growth) * length;
    const float corners[2] = {centre - scaled / 2.0F, centre + scaled / 2.0F - bounds.offset};
    for (int end = 0; end < 2; ++end) {
      // This order of the operands propagates NaN.
      const float below = limits[axis] < corners[end] ? limits[axis] : corners[end];
      box[axis + 2 * end] = below < 0.0F ? 0.0F : below;
    }
  }
}

// Whether a decoded box has the minimum size and, with an offset, its centre is in the image.
inline bool is_proposal(const float* box, const ProposalBounds& bounds) noexcept {
  const float width = box[2] - box[0] + bounds.offset;
  const float height = box[3] - box[1] + bounds.offset;
  const bool is_inside = bounds.offset == 0.0F || (box[0] + width / 2.0F <= bounds.width &&
                                                   box[1] + height / 2.0F <= bounds.height);
  return width >= bounds.min_size && height >= bounds.min_size && is_inside;
}

}  // namespace hpip::kernels
