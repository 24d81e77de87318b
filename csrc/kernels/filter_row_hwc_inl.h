// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/multiply_add_inl.h"

namespace hpip::kernels {

// The horizontal half of a separable resize: output pixel x is the sum over k of
// source[index[x * kTaps + k]] * weight[x * kTaps + k], in the order of k, and of a cubic filter
// with fused multiply-adds, as in IPP. Indices count pixels of kChannels values and are inside the
// row already. Sum is also the weights' type.
template <int kTaps, int kChannels, typename T, typename Sum>
void filter_row_hwc(const T* __restrict source, const std::int32_t* __restrict index,
                    const Sum* __restrict weight, std::ptrdiff_t width,
                    Sum* __restrict out) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    Sum sums[static_cast<std::size_t>(kChannels)] = {};
    for (int k = 0; k < kTaps; ++k) {
      const T* pixel = source + std::ptrdiff_t{index[x * kTaps + k]} * kChannels;
      for (int c = 0; c < kChannels; ++c) {
        const Sum value = static_cast<Sum>(pixel[c]);
        if constexpr (kTaps == 4) {
          sums[c] = multiply_add(value, weight[x * kTaps + k], sums[c]);
        } else {
          sums[c] += value * weight[x * kTaps + k];
        }
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      out[x * kChannels + c] = sums[c];
    }
  }
}

}  // namespace hpip::kernels
