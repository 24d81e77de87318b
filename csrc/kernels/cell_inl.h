// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/cell.h"
#include "kernels/lanes_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Rounds like blend_rows and sample_row.
template <typename Value>
Value blend(Value first, Value second, Value second_weight) noexcept {
  return first * (1.0F - second_weight) + second * second_weight;
}

// Whether the value that pasting interpolates for a pixel, first along y, then along x, is above
// the threshold.
inline bool cell_pixel_passes(const Cell& cell, float right_weight, float bottom_weight,
                              float limit) noexcept {
  return blend(blend(cell.top_left, cell.bottom_left, bottom_weight),
               blend(cell.top_right, cell.bottom_right, bottom_weight), right_weight) > limit;
}

// Compares the pixels of the first and last row with the threshold, and computes where the straight
// line between them crosses it. A crossing is sure if its distance to both neighbouring rows
// exceeds all rounding errors: of weights bend_rows, of values 2^-20 of the items (see side_of), of
// the line four roundings. changes[x] is set to the first image row from which column x is as in
// its last row. Requires 1 to 64 columns, rows.last >= 1 and finite items; `right_weights` must be
// readable and `changes` writeable up to kCellReadAhead items further.
inline CellColumns cell_columns(const Cell& cell, const float* right_weights, std::size_t columns,
                                const CellRows& rows, float limit, std::int32_t* changes) noexcept {
  HPIP_DCHECK(columns, >=, 1U);
  HPIP_DCHECK(columns, <=, kCellColumns);
  HPIP_DCHECK(rows.last, >=, 1);
  HPIP_DCHECK(cell.top_left * 0.0F, ==, 0.0F);  // finite
  HPIP_DCHECK(cell.top_right * 0.0F, ==, 0.0F);
  HPIP_DCHECK(cell.bottom_left * 0.0F, ==, 0.0F);
  HPIP_DCHECK(cell.bottom_right * 0.0F, ==, 0.0F);
  const float first_weight = rows.bottom_weights[0];
  const float last_weight = rows.bottom_weights[rows.last];
  const auto top_left = all_lanes(blend(cell.top_left, cell.bottom_left, first_weight));
  const auto top_right = all_lanes(blend(cell.top_right, cell.bottom_right, first_weight));
  const auto low_left = all_lanes(blend(cell.top_left, cell.bottom_left, last_weight));
  const auto low_right = all_lanes(blend(cell.top_right, cell.bottom_right, last_weight));
  const auto last = all_lanes(static_cast<float>(rows.last));
  const auto first_row = static_cast<std::int32_t>(rows.first);
  const auto magnitude = [](auto value) { return value < 0.0F ? -value : value; };
  const float doubt = rows.bend_rows + static_cast<float>(rows.last) * 0x1p-20F;
  const float doubt_per_slope = (magnitude(cell.top_left) + magnitude(cell.top_right) +
                                 magnitude(cell.bottom_left) + magnitude(cell.bottom_right)) *
                                0x1p-18F;
  CellColumns found{0, 0, 0};
  for (std::size_t x = 0; x < columns; x += kLanes) {
    const FloatLanes weights = load_lanes(right_weights + x);
    const FloatLanes top = blend(top_left, top_right, weights);
    const FloatLanes low = blend(low_left, low_right, weights);
    const IntLanes top_passes = top > limit;
    const IntLanes low_passes = low > limit;
    found.first |= lane_bits(top_passes) << x;
    found.last |= lane_bits(low_passes) << x;
    const FloatLanes rows_per_unit = last / (low - top);
    FloatLanes row = (limit - top) * rows_per_unit;
    row = row > 0.0F ? row : FloatLanes{};  // also NaN, of columns that do not cross
    row = row < last ? row : last;
    const IntLanes above = to_ints(row);
    const FloatLanes rest = row - to_floats(above);
    const FloatLanes margin = doubt + doubt_per_slope * magnitude(rows_per_unit);
    found.sure |= lane_bits((rest > margin) & (1.0F - rest > margin)) << x;
    store_lanes(changes + x, ((above + 1) & (top_passes ^ low_passes)) + first_row);
  }
  const std::uint64_t all = ~std::uint64_t{0} >> (kCellColumns - columns);
  found.first &= all;
  found.last &= all;
  return found;
}

// Bit x is set if pixel x of a row is above the threshold; values may be NaN or infinite. Reads as
// many items as cell_columns.
inline std::uint64_t cell_row_bits(const Cell& cell, const float* right_weights,
                                   std::size_t columns, float bottom_weight, float limit) noexcept {
  HPIP_DCHECK(columns, >=, 1U);
  HPIP_DCHECK(columns, <=, kCellColumns);
  const auto left = all_lanes(blend(cell.top_left, cell.bottom_left, bottom_weight));
  const auto right = all_lanes(blend(cell.top_right, cell.bottom_right, bottom_weight));
  std::uint64_t bits = 0;
  for (std::size_t x = 0; x < columns; x += kLanes) {
    bits |= lane_bits(blend(left, right, load_lanes(right_weights + x)) > limit) << x;
  }
  return bits & ~std::uint64_t{0} >> (kCellColumns - columns);
}

// The image row from which a column, whose first and last row differ, is as in its last row. Uses
// the arithmetic of pasting, and searches from image row `guess`.
inline std::int32_t search_crossing(const Cell& cell, float right_weight, const CellRows& rows,
                                    std::int32_t guess, bool last_passes, float limit) noexcept {
  HPIP_DCHECK(rows.last, >=, 1);
  HPIP_DCHECK(guess, >=, rows.first);
  const auto is_behind = [&](std::ptrdiff_t y) {
    return cell_pixel_passes(cell, right_weight, rows.bottom_weights[y], limit) == last_passes;
  };
  std::ptrdiff_t y = guess - rows.first < rows.last ? guess - rows.first : rows.last;
  while (y > 1 && is_behind(y - 1)) {
    --y;
  }
  while (y < rows.last && !is_behind(y)) {
    ++y;
  }
  return static_cast<std::int32_t>(rows.first + y);
}

}  // namespace hpip::HPIP_TARGET
