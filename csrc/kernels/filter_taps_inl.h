// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/multiply_add_inl.h"
#include "kernels/tap_limits.h"
#include "kernels/target.h"

// The horizontal half of the fused resize: one interleaved uint8 row to planes, so that everything
// after it runs along dense rows. Target pixel x of `count`, a multiple of kTapBlock, reads kTaps
// neighbouring source pixels from byte `begin[x]` of `pixels` on; nothing is clamped here. Weights
// of tap k start at `weight + k * plane`, values of channel c at `out + c * plane`.
namespace hpip::HPIP_TARGET {

// Floats, added as filter_row_hwc adds them; with kAffine of value * factor[c] + offset[c] in place
// of the value, which is normalization before the resize.
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

// The second of four taps alone, its weight being 1 and the others 0: what a cubic filter is where
// every target pixel lies on a source pixel, as from 1920 columns to 640.
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

// Two taps with weights of 11 bits that add up to at most 2048. Of the sum's 19 bits OpenCV's
// fixed point uses all but the low 4, and what is left fits an int16.
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
