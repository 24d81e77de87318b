// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/strip.h"
#include "ops/axis_table.h"

namespace hpip {

// One axis of pixels, as spans. Weights are off the straight line of their span by what moves a
// pixel by at most `bend_pixels`.
struct SampleAxis {
  AxisTable table;
  std::vector<SampleSpan> spans;
  std::ptrdiff_t regular = 0;  // see StripRows
  float bend_pixels = 0.0F;
  // The source items that are sampled lie in [items_begin, items_end).
  std::int32_t items_begin = 0;
  std::int32_t items_end = 0;
};

// Where an axis's pixels are: `count` of them from `first` on.
struct PixelRange {
  std::int64_t first;
  std::ptrdiff_t count;
};

// Makes axes, of spans of at most `longest` pixels, in memory that is used again and again.
class AxisMaker {
 public:
  explicit AxisMaker(std::size_t longest) : longest_(longest) {}

  // Of a source of `source_length` items over an image of `image_length`; see kernels::image_taps.
  const SampleAxis& over_image(std::ptrdiff_t source_length, std::ptrdiff_t image_length,
                               PixelRange pixels);

  // Of a source over [low, high), with a border of one zero; see kernels::region_taps.
  const SampleAxis& over_region(float low, float high, std::ptrdiff_t source_length,
                                PixelRange pixels);

 private:
  const SampleAxis& cut_taps(float items_per_pixel, std::ptrdiff_t source_length);
  void add_spans(std::size_t begin, std::size_t end);

  std::size_t longest_;
  SampleAxis axis_;
};

}  // namespace hpip
