// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/axis_taps.h"
#include "kernels/lanes_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Taps of pixels first_pixel, ... for a source of `source_length` that covers [low, high) and is
// padded with one zero on either side (so item 0 is a zero). float32 arithmetic in the order of
// PaddleDetection's mask pasting and Paddle's grid_sample kernel. Pixels between zeros only, and
// all pixels if low == high, get the taps 0 and 0 with weight 0. Writes up to kTapPadding further
// items.
inline void region_taps(float low, float high, std::int32_t source_length, std::int32_t first_pixel,
                        std::size_t count, const MutableAxisTaps& taps) noexcept {
  HPIP_DCHECK(source_length, >=, 1);
  const auto length = static_cast<float>(source_length);
  IntLanes pixel = lane_numbers() + first_pixel;
  for (std::size_t i = 0; i < count; i += kLanes, pixel += static_cast<std::int32_t>(kLanes)) {
    const FloatLanes normalized = (to_floats(pixel) + 0.5F - low) / (high - low) * 2.0F - 1.0F;
    const FloatLanes position = ((normalized + 1.0F) * length - 1.0F) * 0.5F;
    const IntLanes sees_source = (position > -1.0F) & (position < length);  // not NaN, infinities
    const FloatLanes seen = sees_source ? position : all_lanes(-1.0F);
    // std::floor: a comparison that is true is -1.
    const IntLanes truncated = to_ints(seen);
    const IntLanes below = truncated + (to_floats(truncated) > seen);
    store_lanes(taps.first + i, below + 1);
    store_lanes(taps.second + i, below + 1 - sees_source);
    store_lanes(taps.second_weight + i, seen - to_floats(below));
  }
}

}  // namespace hpip::HPIP_TARGET
