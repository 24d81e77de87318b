// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hpip/dcheck.h"
#include "kernels/multiply_add_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// The horizontal pass of a separable resize: output pixel x is the sum over k of
// source[index[x * kTaps + k]] * weight[x * kTaps + k]. Integer arithmetic follows OpenCV, floating
// point IPP: a cubic filter adds its products in the order of k with fused multiply-adds, and a
// linear filter is left + (right - left) * weight. Indices count pixels of kChannels values, and
// must be inside the row. Sum is the type of the weights, too.
template <int kTaps, int kChannels, typename T, typename Sum>
void filter_row_hwc(const T* __restrict source, const std::int32_t* __restrict index,
                    const Sum* __restrict weight, std::ptrdiff_t width,
                    Sum* __restrict out) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x, index += kTaps, weight += kTaps, out += kChannels) {
    HPIP_DCHECK(index[0], >=, 0);
    for (int c = 0; c < kChannels; ++c) {
      const auto value = [&](int k) {
        return static_cast<Sum>(source[std::ptrdiff_t{index[k]} * kChannels + c]);
      };
      if constexpr (std::is_integral_v<Sum>) {
        out[c] = value(0) * weight[0] + value(1) * weight[1];
      } else if constexpr (kTaps == 2) {
        out[c] = multiply_add(value(1) - value(0), weight[1], value(0));
      } else {
        Sum sum = value(0) * weight[0];
        for (int k = 1; k < kTaps; ++k) {
          sum = multiply_add(value(k), weight[k], sum);
        }
        out[c] = sum;
      }
    }
  }
}

}  // namespace hpip::HPIP_TARGET
