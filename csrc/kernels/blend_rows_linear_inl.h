// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/multiply_add_inl.h"
#include "kernels/tap_limits.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// The vertical pass of a linear resize: blends two filtered rows to one output row of `count`
// values.

// Both passes have 11 fractional bits. OpenCV removes 4 of them before and 16 after the product of
// each row, and rounds the remaining 2; this kernel is bit-exact to it.
inline void blend_rows_linear_u8(const std::int32_t* __restrict upper,
                                 const std::int32_t* __restrict lower, const std::int32_t* weight,
                                 std::ptrdiff_t count, std::uint8_t* __restrict out) noexcept {
  const std::int32_t upper_weight = weight[0];
  const std::int32_t lower_weight = weight[1];
  HPIP_DCHECK(upper_weight, >=, 0);
  HPIP_DCHECK(lower_weight, >=, 0);
  HPIP_DCHECK(upper_weight + lower_weight, <=, kLinearWeightOne);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const std::int32_t sum =
        (((upper[i] >> 4) * upper_weight) >> 16) + (((lower[i] >> 4) * lower_weight) >> 16);
    out[i] = static_cast<std::uint8_t>((sum + 2) >> 2);
  }
}

// IPP's formula with fused multiply-adds; bit-exact to it.
inline void blend_rows_linear_f32(const float* __restrict upper, const float* __restrict lower,
                                  const float* weight, std::ptrdiff_t count,
                                  float* __restrict out) noexcept {
  const float lower_weight = weight[1];
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    out[i] = multiply_add(lower[i] - upper[i], lower_weight, upper[i]);
  }
}

}  // namespace hpip::HPIP_TARGET
