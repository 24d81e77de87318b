// SPDX-License-Identifier: Apache-2.0
#include "ops/sample_axis.h"

#include <algorithm>

#include "kernels/image_taps_inl.h"
#include "kernels/kernel_table.h"

namespace hpip {
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

// The span of the taps [begin, end), which use the same items.
void AxisMaker::add_spans(std::size_t begin, std::size_t end) {
  const AxisTable& table = axis_.table;
  const float* weight = table.second_weight();
  const std::int32_t first = table.first()[begin];
  const std::int32_t second = table.second()[begin];
  // Positions before the first source item are clamped to it: the weights are 0 first, then
  // increase.
  std::size_t bend = begin;
  while (first == 0 && bend < end && weight[bend] == 0.0F) {
    ++bend;
  }
  for (std::size_t next = begin; begin < end; begin = next) {
    next = std::min(begin < bend ? bend : end, begin + longest_);
    axis_.spans.push_back(
        {first, second, static_cast<std::ptrdiff_t>(begin), static_cast<std::ptrdiff_t>(next)});
  }
  axis_.items_begin = std::min(axis_.items_begin, first);
  axis_.items_end = std::max(axis_.items_end, second + 1);
}

const SampleAxis& AxisMaker::cut_taps(float items_per_pixel, std::ptrdiff_t source_length) {
  constexpr std::size_t kStep = 64;
  const AxisTable& table = axis_.table;
  axis_.spans.clear();
  axis_.items_begin = table.size() == 0 ? 0 : table.first()[0];
  axis_.items_end = 0;
  std::size_t begin = 0;
  for (std::size_t step = 0; step < table.size(); step += kStep) {
    const std::size_t count = std::min(kStep, table.size() - step);
    std::uint64_t ends = active_kernels().span_ends(table.taps(step), count);
    if (step + count == table.size()) {
      ends |= std::uint64_t{1} << (count - 1);
    }
    for (; ends != 0; ends &= ends - 1) {
      const std::size_t end = step + static_cast<std::size_t>(__builtin_ctzll(ends)) + 1;
      add_spans(begin, end);
      begin = end;
    }
  }
  const std::vector<SampleSpan>& spans = axis_.spans;
  std::size_t regular = spans.empty() ? 0 : spans.size() - 1;
  while (regular > 0 && spans[regular - 1].first + 1 == spans[regular].first) {
    --regular;
  }
  axis_.regular = static_cast<std::ptrdiff_t>(regular);
  // A position in [-1, source_length] has at most seven roundings, whose total error is less than
  // 2^-21 (source_length + 2); errors that are constant along the axis do not bend the line. The
  // line goes through two weights with the same error bound.
  axis_.bend_pixels = 0x1p-20F * static_cast<float>(source_length + 2) / items_per_pixel;
  return axis_;
}

}  // namespace hpip
