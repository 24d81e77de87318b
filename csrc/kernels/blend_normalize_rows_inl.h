// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/multiply_add_inl.h"
#include "kernels/round_inl.h"
#include "kernels/tap_limits.h"
#include "kernels/target.h"

// The vertical pass of the fused resize for one channel: blends filtered rows to a row of the
// network's input, level * factor + offset, where level is the value of the resized uint8 image.
namespace hpip::HPIP_TARGET {

// The order of the additions is that of blend_rows_cubic.
inline void blend_normalize_cubic_u8(const float* const rows[4], const float* weight, float factor,
                                     float offset, std::ptrdiff_t count,
                                     float* __restrict out) noexcept {
  const float* __restrict row0 = rows[0];
  const float* __restrict row1 = rows[1];
  const float* __restrict row2 = rows[2];
  const float* __restrict row3 = rows[3];
  const float weight0 = weight[0];
  const float weight1 = weight[1];
  const float weight2 = weight[2];
  const float weight3 = weight[3];
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const float sum = multiply_add(row0[i], weight0, row1[i] * weight1) +
                      multiply_add(row2[i], weight2, row3[i] * weight3);
    const float scaled = static_cast<float>(round_to_level(sum)) * factor;
    out[i] = scaled + offset;
  }
}

// OpenCV's fixed-point arithmetic, as in blend_rows_linear_u8. The horizontal pass has removed the
// low 4 bits, so one instruction per 16-bit lane computes the upper half of a product.
inline void blend_normalize_linear_u8(const std::int16_t* __restrict upper,
                                      const std::int16_t* __restrict lower,
                                      std::int16_t upper_weight, std::int16_t lower_weight,
                                      float factor, float offset, std::ptrdiff_t count,
                                      float* __restrict out) noexcept {
  HPIP_DCHECK(upper_weight, >=, 0);
  HPIP_DCHECK(lower_weight, >=, 0);
  HPIP_DCHECK(upper_weight + lower_weight, <=, kLinearWeightOne);
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const auto upper_part = static_cast<std::int16_t>((upper[i] * upper_weight) >> 16);
    const auto lower_part = static_cast<std::int16_t>((lower[i] * lower_weight) >> 16);
    const auto level = static_cast<std::int16_t>((upper_part + lower_part + 2) >> 2);
    const float scaled = static_cast<float>(level) * factor;
    out[i] = scaled + offset;
  }
}

}  // namespace hpip::HPIP_TARGET
