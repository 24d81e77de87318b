// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/axis_taps.h"

namespace hpip::kernels {

// Taps of pixels first_pixel, first_pixel + 1, ... of an image of `image_length`; the source of
// `source_length` covers the whole image. float32 arithmetic in the order of Paddle's
// bilinear_interp kernel.
inline void image_taps(std::ptrdiff_t source_length, std::ptrdiff_t image_length,
                       std::ptrdiff_t first_pixel, std::size_t count,
                       const MutableAxisTaps& taps) noexcept {
  HPIP_DCHECK(source_length, >=, 1);
  HPIP_DCHECK(image_length, >=, 1);
  HPIP_DCHECK(first_pixel, >=, 0);
  const float ratio = static_cast<float>(source_length) / static_cast<float>(image_length);
  const auto last = static_cast<std::int32_t>(source_length - 1);
  const auto pixel0 = static_cast<std::int32_t>(first_pixel);
  std::int32_t* __restrict first = taps.first;
  std::int32_t* __restrict second = taps.second;
  float* __restrict second_weight = taps.second_weight;
  for (std::size_t i = 0; i < count; ++i) {
    const auto pixel = static_cast<float>(pixel0 + static_cast<std::int32_t>(i));
    const float unclamped = ratio * (pixel + 0.5F) - 0.5F;
    const float position = unclamped > 0.0F ? unclamped : 0.0F;
    const auto below = static_cast<std::int32_t>(position);
    first[i] = below < last ? below : last;
    second[i] = below < last ? below + 1 : last;
    second_weight[i] = position - static_cast<float>(first[i]);
  }
}

}  // namespace hpip::kernels
