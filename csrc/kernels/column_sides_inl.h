// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell.h"
#include "kernels/lanes_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Computes on which side of the threshold the samples between a column's items lie, in count /
// kSidesItems words, rounded up; returns whether the sum of any four items is finite. Reads up to
// kCellReadAhead further items of any value, which may make the return value false; the bit of the
// last item is not meaningful.
//
// A sample has at most eight roundings, each with an error of 2^-24 of the sum of the items'
// weighted magnitudes. So if all items are beyond the threshold by 2^-20 of their magnitude, no
// sample crosses it.
inline bool column_sides(const float* items, std::size_t count, float limit,
                         Sides* sides) noexcept {
  constexpr auto kWord = static_cast<std::size_t>(kSidesItems);
  IntLanes not_finite{};
  for (std::size_t begin = 0; begin < count; begin += kWord) {
    Sides near{0, 0};
    for (std::size_t y = 0; y < kWord && begin + y < count; y += kLanes) {
      const FloatLanes item = load_lanes(items + begin + y);
      const FloatLanes margin = (item < 0.0F ? -item : item) * 0x1p-20F;
      near.above |= lane_bits(item - margin > limit) << y;
      near.below |= lane_bits(item + margin < limit) << y;
      const FloatLanes four = item * 4.0F;
      not_finite |= four - four != 0.0F;
    }
    sides[begin / kWord] = near;
  }
  Sides next{0, 0};
  for (std::size_t word = (count + kWord - 1) / kWord; word-- > 0;) {
    const Sides near = sides[word];
    sides[word] = {near.above & (near.above >> 1 | next.above << 63),
                   near.below & (near.below >> 1 | next.below << 63)};
    next = near;
  }
  return lane_bits(not_finite) == 0;
}

}  // namespace hpip::HPIP_TARGET
