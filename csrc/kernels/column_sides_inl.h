// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

namespace hpip::kernels {

// On which side of a limit all samples lie that are taken near an item; none if rounding, NaN or
// infinity may decide.
inline constexpr std::uint8_t kAbove = 1;
inline constexpr std::uint8_t kBelow = 2;

// A sample between items rounds eight times at most, each time by 2^-24 of what the items' weighted
// magnitudes sum up to. An item that is beyond the limit by 2^-20 of its own magnitude therefore
// pulls no sample across.
inline std::uint8_t side_of(float value, float limit) noexcept {
  const float margin = std::fabs(value) * 0x1p-20F;
  const int above = value - margin > limit ? kAbove : 0;
  const int below = value + margin < limit ? kBelow : 0;
  return static_cast<std::uint8_t>(above | below);
}

// sides[y] = the side on which items y of both columns lie, if it is the same.
inline void common_sides(const float* left, const float* right, std::size_t count, float limit,
                         std::uint8_t* sides) noexcept {
  for (std::size_t y = 0; y < count; ++y) {
    sides[y] = side_of(left[y], limit) & side_of(right[y], limit);
  }
}

}  // namespace hpip::kernels
