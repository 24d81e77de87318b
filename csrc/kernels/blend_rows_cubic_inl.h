// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/multiply_add_inl.h"
#include "kernels/round_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// The vertical pass of a cubic resize: blends four filtered rows to one output row of `count`
// values of T, which is float or uint8_t (rounded to nearest, ties to even, and clamped). As in
// IPP, each outer row is combined with its inner neighbour by a fused multiply-add.
template <typename T>
void blend_rows_cubic(const float* const rows[4], const float* weight, std::ptrdiff_t count,
                      T* __restrict out) noexcept {
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
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      out[i] = round_to_u8(sum);
    } else {
      out[i] = sum;
    }
  }
}

}  // namespace hpip::HPIP_TARGET
