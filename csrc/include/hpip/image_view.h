// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "hpip/exported.h"

namespace hpip HPIP_EXPORTED {

// A non-owning view of an interleaved (height, width, channels) image. Pixels of one row are
// contiguous; the distance between rows is row_stride elements of T (negative for a flipped image).
// A copy of the view does not copy pixels; the memory must outlive the view.
template <typename T>
struct ImageView {
  T* data = nullptr;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  std::ptrdiff_t channels = 0;
  std::ptrdiff_t row_stride = 0;

  T* row(std::ptrdiff_t y) const { return data + y * row_stride; }
};

}  // namespace hpip HPIP_EXPORTED
