// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

// The filter tables of a resize along one axis, computed once per call, so that the inner loops
// neither branch nor clamp. `source` and `target` are lengths in pixels, from 1 to kMaxSide.
namespace hpip {

// taps * target entries; the entries of target pixel i start at i * taps. Indices are inside the
// source.
template <typename Weight>
struct FilterTable {
  std::vector<std::int32_t> index;
  std::vector<Weight> weight;
};

// How linear weights are computed: from pixel centres, or by OpenCV's rule for enlarging with
// "area", in which a target pixel inside one source pixel has the value of this pixel.
enum class LinearRule { kCentre, kArea };

// Two taps with 11-bit weights from a float32 position: OpenCV's fixed-point arithmetic. With
// `snap_ends`, the first source pixel has the whole weight if the position is beyond the ends;
// OpenCV does this along x only, which affects the rounding.
FilterTable<std::int32_t> linear_table_u8(std::ptrdiff_t source, std::ptrdiff_t target,
                                          LinearRule rule, bool snap_ends);

// Two taps from a float64 position.
FilterTable<float> linear_table_f32(std::ptrdiff_t source, std::ptrdiff_t target, LinearRule rule);

// Four taps of the cubic convolution with a = -0.75 from a float64 position.
FilterTable<float> cubic_table(std::ptrdiff_t source, std::ptrdiff_t target);

// The source pixel of each target pixel: floor(i * source / target).
std::vector<std::int32_t> nearest_table(std::ptrdiff_t source, std::ptrdiff_t target);

// Cells of the area average; target pixel i has the entries first[i] .. first[i + 1].
struct AreaTable {
  std::vector<std::int32_t> first;
  std::vector<std::int32_t> index;
  std::vector<float> weight;
};

// Requires source >= target.
AreaTable area_table(std::ptrdiff_t source, std::ptrdiff_t target);

}  // namespace hpip
