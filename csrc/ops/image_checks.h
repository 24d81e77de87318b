// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "hpip/check.h"
#include "hpip/image_view.h"
#include "hpip/preprocess_ops.h"

namespace hpip {

inline void require_sides(const char* name, std::ptrdiff_t height, std::ptrdiff_t width) {
  HPIP_REQUIRE(height >= 1 && width >= 1 && height <= kMaxSide && width <= kMaxSide, name,
               ": expected a height and a width of 1 to ", kMaxSide, " pixels, received ", height,
               " x ", width);
}

template <typename T>
void require_image(const char* name, const ImageView<T>& image) {
  require_sides(name, image.height, image.width);
  HPIP_REQUIRE(image.channels == 1 || image.channels == 3 || image.channels == 4, name,
               ": expected 1, 3 or 4 channels, received ", image.channels);
}

inline void require_threads(int threads) {
  HPIP_REQUIRE(threads >= 1, "threads: expected at least 1, received ", threads);
}

// Minimum number of rows per thread: the start of a thread takes about 20 us, in which the slowest
// of these kernels computes about 16,000 values.
inline std::ptrdiff_t row_grain(std::ptrdiff_t values_per_row) {
  constexpr std::ptrdiff_t kValuesPerThread = 1 << 15;
  return 1 + kValuesPerThread / std::max<std::ptrdiff_t>(1, values_per_row);
}

}  // namespace hpip
