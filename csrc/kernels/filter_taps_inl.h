// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/multiply_add_inl.h"
#include "kernels/tap_limits.h"
#include "kernels/target.h"

// The horizontal pass of the fused resize: filters one interleaved uint8 row to planes, so that all
// later steps process contiguous rows. Target pixel x of `count`, a multiple of kTapBlock, reads
// kTaps neighbouring source pixels from byte `begin[x]` of `pixels` on, without clamping. The
// weights of tap k start at `weight + k * plane`, the values of channel c at `out + c * plane`.
namespace hpip::HPIP_TARGET {

// Floating point, in the order of filter_row_hwc. With kAffine, normalizes each value before the
// resize: value * factor[c] + offset[c].
template <int kTaps, bool kAffine>
void filter_taps_f32(const std::uint8_t* __restrict pixels, const std::int32_t* __restrict begin,
                     const float* __restrict weight, const float* factor, const float* offset,
                     std::ptrdiff_t count, std::ptrdiff_t plane, float* __restrict out) noexcept {
  HPIP_DCHECK(count % kTapBlock, ==, 0);
  HPIP_DCHECK(count, <=, plane);
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    const std::uint8_t* pixel = pixels + begin[x];
    for (int c = 0; c < 3; ++c) {
      const auto value = [&](int k) {
        const auto level = static_cast<float>(pixel[3 * k + c]);
        if constexpr (kAffine) {
          const float scaled = level * factor[c];
          return scaled + offset[c];
        }
        return level;
      };
      float sum = value(0);
      if constexpr (kTaps == 2) {
        sum = multiply_add(value(1) - sum, weight[plane + x], sum);
      } else {
        sum *= weight[x];
        for (int k = 1; k < kTaps; ++k) {
          sum = multiply_add(value(k), weight[k * plane + x], sum);
        }
      }
      out[c * plane + x] = sum;
    }
  }
}

// Copies the second of four taps, whose weight is 1: the cubic filter if every target pixel
// coincides with a source pixel, such as from 1920 columns to 640.
inline void pick_taps_f32(const std::uint8_t* __restrict pixels,
                          const std::int32_t* __restrict begin, std::ptrdiff_t count,
                          std::ptrdiff_t plane, float* __restrict out) noexcept {
  HPIP_DCHECK(count % kTapBlock, ==, 0);
  HPIP_DCHECK(count, <=, plane);
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    for (int c = 0; c < 3; ++c) {
      out[c * plane + x] = static_cast<float>(pixels[begin[x] + 3 + c]);
    }
  }
}

// Two taps with 11-bit weights whose sum is at most 2048. OpenCV's fixed-point arithmetic removes
// the low 4 of the sum's 19 bits; the remaining 15 fit an int16.
inline void filter_taps_u8(const std::uint8_t* __restrict pixels,
                           const std::int32_t* __restrict begin,
                           const std::int16_t* __restrict weight, std::ptrdiff_t count,
                           std::ptrdiff_t plane, std::int16_t* __restrict out) noexcept {
  HPIP_DCHECK(count % kTapBlock, ==, 0);
  HPIP_DCHECK(count, <=, plane);
  for (std::ptrdiff_t x = 0; x < count; ++x) {
    HPIP_DCHECK(weight[2 * x] + weight[2 * x + 1], <=, kLinearWeightOne);
    const std::uint8_t* pixel = pixels + begin[x];
    for (int c = 0; c < 3; ++c) {
      const std::int32_t sum = pixel[c] * weight[2 * x] + pixel[3 + c] * weight[2 * x + 1];
      out[c * plane + x] = static_cast<std::int16_t>(sum >> 4);
    }
  }
}

}  // namespace hpip::HPIP_TARGET
