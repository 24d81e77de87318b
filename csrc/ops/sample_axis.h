// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/axis_taps_inl.h"
#include "kernels/cell.h"

namespace hpip {

// Neighbouring pixels [begin, end) that are sampled between the same two source items, with weights
// of the second one that rise evenly but for rounding, which moves a pixel by at most
// `bend_pixels`.
struct SampleSpan {
  std::int32_t first;
  std::int32_t second;
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
  float bend_pixels;
};

// One axis of pixels, as spans. Weights are readable up to kReadAhead items beyond the last pixel.
struct SampleAxis {
  static constexpr std::size_t kReadAhead = kCellReadAhead;

  std::vector<SampleSpan> spans;
  std::vector<float> second_weights;
  // The source items that are sampled lie in [items_begin, items_end).
  std::int32_t items_begin = 0;
  std::int32_t items_end = 0;
};

// The axis of `taps`, cut into spans of at most `longest` pixels.
SampleAxis sample_axis(const std::vector<kernels::AxisTap>& taps, std::ptrdiff_t longest);

}  // namespace hpip
