// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace hpip {

struct SuppressionRules {
  float threshold = 0.5F;
  float eta = 1.0F;              // below 1: lowers a threshold above 0.5 with every box kept
  bool with_last_pixel = false;  // a box of equal corners has one pixel
  std::ptrdiff_t most = -1;      // stop after so many; negative: never
};

// Greedy non-maximum suppression: goes through `order` and keeps a box that overlaps none of those
// kept before by more than the threshold. `order` holds rows of `boxes_xyxy`, which lie `stride`
// floats apart. Returns positions in `order`, ascending.
std::vector<std::size_t> suppress_boxes(const float* boxes_xyxy, std::ptrdiff_t stride,
                                        const std::vector<std::ptrdiff_t>& order,
                                        const SuppressionRules& rules);

}  // namespace hpip
