// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Three planar rows into one row of pixels.
template <typename T>
void interleave_rows(const T* const rows[3], std::ptrdiff_t width, T* __restrict out) noexcept {
  const T* __restrict first = rows[0];
  const T* __restrict second = rows[1];
  const T* __restrict third = rows[2];
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    out[3 * x] = first[x];
    out[3 * x + 1] = second[x];
    out[3 * x + 2] = third[x];
  }
}

}  // namespace hpip::HPIP_TARGET
