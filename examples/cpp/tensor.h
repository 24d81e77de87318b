// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

// A float32 array in C order.
struct Tensor {
  std::vector<std::ptrdiff_t> shape;
  std::vector<float> data;
};
