// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// Where pixels' values come from along one axis: pixel i is made of the source items first[i] and
// second[i], weighted 1 - second_weight[i] and second_weight[i].
template <typename Index, typename Weight>
struct BasicAxisTaps {
  Index* first;
  Index* second;
  Weight* second_weight;
};
using AxisTaps = BasicAxisTaps<const std::int32_t, const float>;
using MutableAxisTaps = BasicAxisTaps<std::int32_t, float>;

// Items by which kernels may write beyond the last tap.
inline constexpr std::size_t kTapPadding = 16;

}  // namespace hpip
