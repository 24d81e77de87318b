// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// The pixels that are sampled between the same four source items lie in one cell.
struct Cell {
  float top_left;
  float bottom_left;
  float top_right;
  float bottom_right;
};

// Columns of a cell that fit into a word; further ones are another cell.
inline constexpr std::size_t kCellColumns = 64;

// Items by which kernels may read beyond the weights that they are told of.
inline constexpr std::size_t kCellReadAhead = 16;

// On which side of a limit all samples lie that are taken between two neighbours of a column: bit y
// of word w stands for items 64 w + y and the next one. Neither if rounding, NaN or infinity may
// decide.
struct Sides {
  std::uint64_t above;
  std::uint64_t below;
};
inline constexpr std::ptrdiff_t kSidesItems = 64;

// Rows 0 to `last` of a cell, which are rows `first` and so on of the picture; row y is sampled at
// bottom_weights[y]. Weights rise evenly but for rounding, by which row y is off by at most
// `bend_rows` of the distance between two rows.
struct CellRows {
  const float* bottom_weights;
  std::ptrdiff_t first;
  std::ptrdiff_t last;
  float bend_rows;
};

// What happens along each column of a cell.
struct CellColumns {
  std::uint64_t first;  // bit x: pixel (x, 0) passes
  std::uint64_t last;   // bit x: pixel (x, last) passes
  std::uint64_t sure;   // bit x: where the column crosses the limit is certain
};

}  // namespace hpip
