// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace hpip::kernels {

// Where a pixel's value comes from along one axis: the source items at `first` and `second`,
// weighted 1 - second_weight and second_weight.
struct AxisTap {
  std::int32_t first;
  std::int32_t second;
  float second_weight;
};

// Taps of pixels first_pixel, first_pixel + 1, ... of an image of `image_length`, from a source of
// `source_length` over the whole image. float32 in the order of Paddle's bilinear_interp kernel.
inline void image_taps(std::ptrdiff_t source_length, std::ptrdiff_t image_length,
                       std::ptrdiff_t first_pixel, std::size_t count, AxisTap* taps) noexcept {
  const float ratio = static_cast<float>(source_length) / static_cast<float>(image_length);
  const auto last = static_cast<std::int32_t>(source_length - 1);
  for (std::size_t i = 0; i < count; ++i) {
    const auto pixel = static_cast<float>(first_pixel + static_cast<std::ptrdiff_t>(i));
    const float position = std::max(0.0F, ratio * (pixel + 0.5F) - 0.5F);
    const std::int32_t first = std::min(last, static_cast<std::int32_t>(position));
    taps[i] = {first, std::min(last, first + 1), position - static_cast<float>(first)};
  }
}

// Taps of pixels first_pixel, ... from a source of `source_length` over [low, high) that was padded
// with one zero on either side (so item 0 is a zero). float32 in the order of PaddleDetection's
// mask pasting and Paddle's grid_sample kernel. Pixels that see only zeros, and all pixels when
// low == high, get {0, 0, 0}.
inline void region_taps(float low, float high, std::ptrdiff_t source_length,
                        std::ptrdiff_t first_pixel, std::size_t count, AxisTap* taps) noexcept {
  const auto length = static_cast<float>(source_length);
  constexpr std::size_t kChunk = 64;
  float positions[kChunk];
  for (std::size_t begin = 0; begin < count; begin += kChunk) {
    const auto first = static_cast<std::int32_t>(first_pixel) + static_cast<std::int32_t>(begin);
    // Apart from what follows, so that the compiler can vectorise the divisions.
    const std::size_t end = begin + kChunk < count ? begin + kChunk : count;
    for (std::size_t i = 0; i < end - begin; ++i) {
      const auto pixel = static_cast<float>(first + static_cast<std::int32_t>(i));
      const float normalized = (pixel + 0.5F - low) / (high - low) * 2.0F - 1.0F;
      positions[i] = ((normalized + 1.0F) * length - 1.0F) * 0.5F;
    }
    for (std::size_t i = begin; i < end; ++i) {
      const float position = positions[i - begin];
      const bool sees_source = position > -1.0F && position < length;  // not NaN and infinities
      const float seen = sees_source ? position : -1.0F;
      // std::floor, which is a call where the processor may lack the instruction.
      const auto truncated = static_cast<std::int32_t>(seen);
      const std::int32_t below = truncated - (static_cast<float>(truncated) > seen ? 1 : 0);
      taps[i] = {below + 1, below + (sees_source ? 2 : 1), seen - static_cast<float>(below)};
    }
  }
}

}  // namespace hpip::kernels
