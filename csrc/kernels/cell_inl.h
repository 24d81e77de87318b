// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/pack_columns_inl.h"

namespace hpip::kernels {

// The pixels that are sampled between the same four source items lie in one cell.
struct Cell {
  float top_left;
  float bottom_left;
  float top_right;
  float bottom_right;
};

// Rounded as blend_rows and sample_row round.
inline float blend(float first, float second, float second_weight) noexcept {
  return first * (1.0F - second_weight) + second * second_weight;
}

// What pasting computes for a pixel of the cell: first along y, then along x.
inline float cell_value(const Cell& cell, float right_weight, float bottom_weight) noexcept {
  return blend(blend(cell.top_left, cell.bottom_left, bottom_weight),
               blend(cell.top_right, cell.bottom_right, bottom_weight), right_weight);
}

// Bit x tells whether the cell's pixel (right_weights[x], bottom_weight) passes. At most 64
// columns; `right_weights` must be readable up to a multiple of 8.
template <typename Predicate>
std::uint64_t cell_row_bits(const Cell& cell, const float* right_weights, std::size_t columns,
                            float bottom_weight, Predicate predicate) noexcept {
  const float left = blend(cell.top_left, cell.bottom_left, bottom_weight);
  const float right = blend(cell.top_right, cell.bottom_right, bottom_weight);
  std::uint64_t bits = 0;
  for (std::size_t x = 0; x < columns; x += 8) {
    std::uint8_t passes[8];
    for (std::size_t i = 0; i < 8; ++i) {
      passes[i] = predicate(blend(left, right, right_weights[x + i])) ? 1 : 0;
    }
    bits |= gather_bits(passes) << x;
  }
  return bits & (~std::uint64_t{0} >> (kWordColumns - static_cast<std::ptrdiff_t>(columns)));
}

// The pixel between 0 and `last` at which a column of the cell stops to compare as pixel 0 does;
// pixel `last` does not. Pixel y is (right_weight, bottom_weights[y]), with weights that rise
// evenly: where the straight line from 0 to `last` meets the limit is a guess that is off by one at
// most, unless the values are so flat that rounding decides.
template <typename Predicate>
std::ptrdiff_t cell_crossing(const Cell& cell, float right_weight, const float* bottom_weights,
                             std::ptrdiff_t last, Predicate predicate) noexcept {
  const float first_value = cell_value(cell, right_weight, bottom_weights[0]);
  const float last_value = cell_value(cell, right_weight, bottom_weights[last]);
  const bool begins = predicate(first_value);
  const float share = (predicate.limit - first_value) / (last_value - first_value);
  const float clamped = share > 0.0F ? std::min(share, 1.0F) : 0.0F;  // NaN becomes 0
  std::ptrdiff_t y =
      std::min(last, 1 + static_cast<std::ptrdiff_t>(clamped * static_cast<float>(last)));
  const auto passes = [&](std::ptrdiff_t pixel) {
    return predicate(cell_value(cell, right_weight, bottom_weights[pixel]));
  };
  while (y > 1 && passes(y - 1) != begins) {
    --y;
  }
  while (y < last && passes(y) == begins) {
    ++y;
  }
  return y;
}

}  // namespace hpip::kernels
