// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/cell.h"
#include "kernels/lanes_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// sides[y] = the side of the limit on which samples near item y of a column lie; returns whether
// all items are finite. Reads, and writes sides of, up to kCellReadAhead items more, of any value;
// they may make finite items count as others.
//
// A sample between items rounds eight times at most, each time by 2^-24 of what the items' weighted
// magnitudes sum up to. An item that is beyond the limit by 2^-20 of its own magnitude therefore
// pulls no sample across.
inline bool column_sides(const float* items, std::size_t count, float limit,
                         std::uint8_t* sides) noexcept {
  using SideLanes __attribute__((vector_size(kLanes))) = std::uint8_t;
  IntLanes not_finite{};
  for (std::size_t y = 0; y < count; y += kLanes) {
    const FloatLanes item = load_lanes(items + y);
    const FloatLanes margin = (item < 0.0F ? -item : item) * 0x1p-20F;
    const IntLanes above = (item - margin > limit) & std::int32_t{kAbove};
    const IntLanes below = (item + margin < limit) & std::int32_t{kBelow};
    const SideLanes side = __builtin_convertvector(above | below, SideLanes);
    std::memcpy(sides + y, &side, sizeof side);
    not_finite |= item - item != 0.0F;
  }
  return lane_bits(not_finite) == 0;
}

}  // namespace hpip::HPIP_TARGET
