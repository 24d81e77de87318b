// SPDX-License-Identifier: Apache-2.0
#include "ops/sample_axis.h"

namespace hpip {
namespace {

using kernels::AxisTap;

bool are_between_same_items(const AxisTap& a, const AxisTap& b) {
  return a.first == b.first && a.second == b.second;
}

}  // namespace

SampleAxis sample_axis(const std::vector<AxisTap>& taps, std::ptrdiff_t longest) {
  SampleAxis axis;
  axis.second_weights.reserve(taps.size() + SampleAxis::kReadAhead);
  for (std::size_t i = 0; i < taps.size(); ++i) {
    const AxisTap& tap = taps[i];
    const auto pixel = static_cast<std::ptrdiff_t>(i);
    axis.second_weights.push_back(tap.second_weight);
    const bool continues =
        i > 0 && are_between_same_items(tap, taps[i - 1]) &&
        pixel - axis.spans.back().begin < longest &&
        // Positions before the first source item are clamped to it: weights are 0, then rise.
        !(tap.second_weight != 0.0F && taps[i - 1].second_weight == 0.0F &&
          pixel - axis.spans.back().begin > 1);
    if (continues) {
      axis.spans.back().end = pixel + 1;
    } else {
      axis.spans.push_back({tap.first, tap.second, pixel, pixel + 1});
    }
  }
  axis.second_weights.resize(taps.size() + SampleAxis::kReadAhead);
  return axis;
}

}  // namespace hpip
