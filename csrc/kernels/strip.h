// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell.h"

namespace hpip {

// Neighbouring pixels [begin, end) that are interpolated between the same two source items; the
// weights of the second item increase linearly except for rounding.
struct SampleSpan {
  std::int32_t first;
  std::int32_t second;
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
};

// The pixels between two columns of the source, at most kCellColumns of them, sampled at
// right_weights, which is readable up to kCellReadAhead items further.
struct Strip {
  const float* left;   // items of the left column
  const float* right;  // items of the right column
  const Sides* left_sides;
  const Sides* right_sides;
  const float* right_weights;
  std::size_t columns;
};

// Rows of pixels, the same for all strips; see CellRows. From span number `regular` on, each span
// begins one item after the previous one. Sides are those of the items from `items_begin` on.
struct StripRows {
  const SampleSpan* spans;
  std::ptrdiff_t count;
  std::ptrdiff_t regular;
  std::int32_t items_begin;
  const float* bottom_weights;
  float bend_rows;
};

// Each column x of a strip whose bit is set changes between background and foreground at rows[x].
struct ColumnChanges {
  std::uint64_t columns;
  std::int32_t rows[kCellColumns];
};

}  // namespace hpip
