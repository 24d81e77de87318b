// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// The taps of linear interpolation along one axis: pixel i is source item first[i] with the weight
// 1 - second_weight[i], plus source item second[i] with the weight second_weight[i].
template <typename Index, typename Weight>
struct BasicAxisTaps {
  Index* first;
  Index* second;
  Weight* second_weight;
};
using AxisTaps = BasicAxisTaps<const std::int32_t, const float>;
using MutableAxisTaps = BasicAxisTaps<std::int32_t, float>;

// Number of items that kernels may write beyond the last tap.
inline constexpr std::size_t kTapPadding = 16;

}  // namespace hpip
