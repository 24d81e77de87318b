// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip::kernels {

// Sets `count` items, `row_stride` apart, to 1.
inline void fill_column(std::uint8_t* out, std::ptrdiff_t row_stride,
                        std::ptrdiff_t count) noexcept {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    out[i * row_stride] = 1;
  }
}

}  // namespace hpip::kernels
