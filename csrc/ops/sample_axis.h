// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/strip.h"
#include "ops/axis_table.h"

namespace hpip {

// One axis of pixels as spans. The weights deviate from the straight line of their span by the
// equivalent of at most `bend_pixels` pixels.
struct SampleAxis {
  AxisTable table;
  std::vector<SampleSpan> spans;
  std::ptrdiff_t regular = 0;  // see StripRows
  float bend_pixels = 0.0F;
  // The range of source items that are sampled is [items_begin, items_end).
  std::int32_t items_begin = 0;
  std::int32_t items_end = 0;
};

// The pixels of an axis: `count` of them from `first` on.
struct PixelRange {
  std::int64_t first;
  std::ptrdiff_t count;
};

// Creates axes with spans of at most `longest` pixels, and reuses its memory.
class AxisMaker {
 public:
  explicit AxisMaker(std::size_t longest) : longest_(longest) {}

  // For a source of `source_length` items over an image of `image_length`; see kernels::image_taps.
  const SampleAxis& over_image(std::ptrdiff_t source_length, std::ptrdiff_t image_length,
                               PixelRange pixels);

  // For a source over [low, high), padded with one zero on each side; see kernels::region_taps.
  const SampleAxis& over_region(float low, float high, std::ptrdiff_t source_length,
                                PixelRange pixels);

 private:
  const SampleAxis& cut_taps(float items_per_pixel, std::ptrdiff_t source_length);
  void add_spans(std::size_t begin, std::size_t end);

  std::size_t longest_;
  SampleAxis axis_;
};

}  // namespace hpip
