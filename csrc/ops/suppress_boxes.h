// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace hpip {

struct SuppressionRules {
  float threshold = 0.5F;
  float eta = 1.0F;              // if below 1: every kept box lowers a threshold above 0.5
  bool with_last_pixel = false;  // a box with equal corners has one pixel
  std::ptrdiff_t most = -1;      // maximum number of kept boxes; negative: no maximum
};

// Greedy non-maximum suppression: processes the boxes in `order`, and keeps a box if its IoU with
// every box kept before does not exceed the threshold. `order` contains row numbers of
// `boxes_xyxy`, whose rows have a stride of `stride` floats. Returns the kept positions in `order`,
// ascending.
std::vector<std::size_t> suppress_boxes(const float* boxes_xyxy, std::ptrdiff_t stride,
                                        const std::vector<std::ptrdiff_t>& order,
                                        const SuppressionRules& rules);

}  // namespace hpip
