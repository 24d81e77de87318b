// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// A cell: the pixels that are interpolated between the same four source items.
struct Cell {
  float top_left;
  float bottom_left;
  float top_right;
  float bottom_right;
};

// Maximum number of columns in a cell, one per bit of a word; wider cells are split.
inline constexpr std::size_t kCellColumns = 64;

// Number of items that kernels may read beyond the given weights.
inline constexpr std::size_t kCellReadAhead = 16;

// On which side of the threshold all samples between two neighbouring items of a column lie: bit y
// of word w is for items 64 w + y and 64 w + y + 1. Neither bit is set if rounding, NaN or infinity
// may affect the comparison.
struct Sides {
  std::uint64_t above;
  std::uint64_t below;
};
inline constexpr std::ptrdiff_t kSidesItems = 64;

// Rows 0 to `last` of a cell, which begin at row `first` of the image; row y is sampled at
// bottom_weights[y]. Weights increase linearly except for rounding, which shifts a row by at most
// `bend_rows` times the distance between two rows.
struct CellRows {
  const float* bottom_weights;
  std::ptrdiff_t first;
  std::ptrdiff_t last;
  float bend_rows;
};

// Where the values along each column of a cell cross the threshold.
struct CellColumns {
  std::uint64_t first;  // bit x: pixel (x, 0) is above the threshold
  std::uint64_t last;   // bit x: pixel (x, last) is above the threshold
  std::uint64_t sure;   // bit x: rounding can't affect the row at which column x crosses it
};

}  // namespace hpip
