// SPDX-License-Identifier: Apache-2.0
#include "ops/sample_axis.h"

#include <algorithm>
#include <cmath>

namespace hpip {
namespace {

using kernels::AxisTap;

// The end of the span that begins at `begin`.
std::size_t span_end(const std::vector<AxisTap>& taps, std::size_t begin, std::size_t longest) {
  const AxisTap& tap = taps[begin];
  const std::size_t limit = std::min(taps.size(), begin + longest);
  std::size_t end = begin + 1;
  const auto is_between_same_items = [&](std::size_t i) {
    return taps[i].first == tap.first && taps[i].second == tap.second;
  };
  if (tap.second_weight == 0.0F) {
    // Positions before the first source item are clamped to it: weights are 0, then rise.
    while (end < limit && taps[end].second_weight == 0.0F && is_between_same_items(end)) {
      ++end;
    }
    if (end > begin + 1) {
      return end;
    }
  }
  while (end < limit && is_between_same_items(end)) {
    ++end;
  }
  return end;
}

// How far the weights are from a straight line, in steps from one to the next.
float bend_of(const float* weights, std::ptrdiff_t last) {
  const float rise = weights[last] - weights[0];
  if (last < 2 || !(rise > 0.0F)) {
    return 0.0F;
  }
  const float step = rise / static_cast<float>(last);
  float bend = 0.0F;
  for (std::ptrdiff_t i = 1; i < last; ++i) {
    const float off = std::fabs(weights[i] - (weights[0] + step * static_cast<float>(i)));
    bend = off > bend ? off : bend;
  }
  // The line above is rounded too, by three roundings below 1.
  return (bend + 0x1p-22F) / step;
}

}  // namespace

SampleAxis sample_axis(const std::vector<AxisTap>& taps, std::ptrdiff_t longest) {
  SampleAxis axis;
  axis.second_weights.resize(taps.size() + SampleAxis::kReadAhead);
  float* weights = axis.second_weights.data();
  for (std::size_t i = 0; i < taps.size(); ++i) {
    weights[i] = taps[i].second_weight;
  }
  if (!taps.empty()) {
    axis.items_begin = taps[0].first;
  }
  for (std::size_t begin = 0, end = 0; begin < taps.size(); begin = end) {
    end = span_end(taps, begin, static_cast<std::size_t>(longest));
    const AxisTap& tap = taps[begin];
    const auto pixel = static_cast<std::ptrdiff_t>(begin);
    const auto pixel_end = static_cast<std::ptrdiff_t>(end);
    axis.spans.push_back(
        {tap.first, tap.second, pixel, pixel_end, bend_of(weights + pixel, pixel_end - pixel - 1)});
    axis.items_begin = std::min(axis.items_begin, tap.first);
    axis.items_end = std::max(axis.items_end, std::max(tap.first, tap.second) + 1);
  }
  return axis;
}

}  // namespace hpip
