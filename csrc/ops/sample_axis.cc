// SPDX-License-Identifier: Apache-2.0
#include "ops/sample_axis.h"

#include <algorithm>

#include "kernels/image_taps_inl.h"
#include "kernels/kernel_table.h"

namespace hpip {
namespace {

// The end of the span that begins at `begin`.
std::size_t span_end(const AxisTable& table, std::size_t begin, std::size_t longest) {
  const std::size_t limit = std::min(table.size(), begin + longest);
  const std::int32_t* first = table.first();
  const std::int32_t* second = table.second();
  std::size_t end = begin + 1;
  const auto is_between_same_items = [=](std::size_t i) {
    return first[i] == first[begin] && second[i] == second[begin];
  };
  if (first[begin] == 0 && table.second_weight()[begin] == 0.0F) {
    // Positions before the first source item are clamped to it: weights are 0, then rise.
    while (end < limit && table.second_weight()[end] == 0.0F && is_between_same_items(end)) {
      ++end;
    }
    return end;
  }
  while (end < limit && is_between_same_items(end)) {
    ++end;
  }
  return end;
}

}  // namespace

const SampleAxis& AxisMaker::over_image(std::ptrdiff_t source_length, std::ptrdiff_t image_length,
                                        PixelRange pixels) {
  const auto count = static_cast<std::size_t>(pixels.count);
  kernels::image_taps(source_length, image_length, static_cast<std::ptrdiff_t>(pixels.first), count,
                      axis_.table.resize(count));
  return cut_taps(static_cast<float>(source_length) / static_cast<float>(image_length),
                  source_length);
}

const SampleAxis& AxisMaker::over_region(float low, float high, std::ptrdiff_t source_length,
                                         PixelRange pixels) {
  const auto count = static_cast<std::size_t>(pixels.count);
  active_kernels().region_taps(low, high, static_cast<std::int32_t>(source_length),
                               static_cast<std::int32_t>(pixels.first), count,
                               axis_.table.resize(count));
  return cut_taps(static_cast<float>(source_length) / (high - low), source_length);
}

const SampleAxis& AxisMaker::cut_taps(float items_per_pixel, std::ptrdiff_t source_length) {
  const AxisTable& table = axis_.table;
  axis_.spans.clear();
  axis_.items_begin = table.size() == 0 ? 0 : table.first()[0];
  axis_.items_end = 0;
  for (std::size_t begin = 0, end = 0; begin < table.size(); begin = end) {
    end = span_end(table, begin, longest_);
    const std::int32_t first = table.first()[begin];
    const std::int32_t second = table.second()[begin];
    axis_.spans.push_back(
        {first, second, static_cast<std::ptrdiff_t>(begin), static_cast<std::ptrdiff_t>(end)});
    axis_.items_begin = std::min(axis_.items_begin, first);
    axis_.items_end = std::max(axis_.items_end, std::max(first, second) + 1);
  }
  // A position in [-1, source_length] comes of at most seven roundings, which together move it by
  // less than 2^-21 (source_length + 2); what is constant along the axis bends nothing. The line
  // goes through two weights that are as far off.
  axis_.bend_pixels = 0x1p-20F * static_cast<float>(source_length + 2) / items_per_pixel;
  return axis_;
}

}  // namespace hpip
