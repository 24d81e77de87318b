// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell.h"

namespace hpip {

// Neighbouring pixels [begin, end) that are sampled between the same two source items, with weights
// of the second one that rise evenly but for rounding.
struct SampleSpan {
  std::int32_t first;
  std::int32_t second;
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
};

// The pixels between two columns of the source: up to kCellColumns of them, sampled at
// right_weights, which is readable up to kCellReadAhead items further.
struct Strip {
  const float* left;   // items of the left column
  const float* right;  // items of the right column
  const std::uint8_t* left_sides;
  const std::uint8_t* right_sides;
  const float* right_weights;
  std::size_t columns;
};

// Rows of pixels, the same for all strips; see CellRows.
struct StripRows {
  const SampleSpan* spans;
  std::ptrdiff_t count;
  const float* bottom_weights;
  float bend_rows;
};

// Rows at which columns change, ascending, with background before the first and after the last row:
// those of column x are from rows + x * capacity on, up to ends[x].
struct ColumnChanges {
  std::uint32_t* rows;
  std::ptrdiff_t capacity;
  std::uint32_t* ends[kCellColumns];
};

}  // namespace hpip
