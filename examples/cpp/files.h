// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tensor.h"

// An interleaved image of three channels, RGB.
struct Picture {
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  std::vector<std::uint8_t> pixels;
};

// Reads a binary PPM file (P6, 8 bits). Throws std::runtime_error if it is none.
Picture read_ppm(const std::string& path);

// Reads a .npy file with little-endian float32 in C order. Throws std::runtime_error otherwise.
Tensor read_npy(const std::string& path);
