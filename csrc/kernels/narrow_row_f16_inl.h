// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Converts to the nearest IEEE binary16 value, ties to even; values that are too large become
// infinite, NaN stays NaN. Normal numbers (from 2^-14 on) keep 10 bits: they are rounded by adding
// half a unit in the last place, minus one if it is even. For subnormal numbers, adding 0.5 leaves
// the bits of the result at the end of the float.
inline std::uint16_t half_bits(float value) noexcept {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t sign = (bits >> 16) & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  float positive = 0.0F;
  std::memcpy(&positive, &magnitude, sizeof positive);
  const float shifted = positive + 0.5F;
  std::uint32_t shifted_bits = 0;
  std::memcpy(&shifted_bits, &shifted, sizeof shifted_bits);
  const std::uint32_t subnormal = shifted_bits - 0x3F000000U;
  const std::uint32_t rounding = 0xFFFU + ((magnitude >> 13) & 1U);
  const std::uint32_t normal = (magnitude - 0x38000000U + rounding) >> 13;
  const std::uint32_t nan = 0x7E00U | ((magnitude >> 13) & 0x1FFU);
  std::uint32_t half = magnitude < 0x38800000U ? subnormal : normal;
  half = magnitude >= 0x47800000U ? 0x7C00U : half;
  half = magnitude > 0x7F800000U ? nan : half;
  return static_cast<std::uint16_t>(sign | half);
}

inline void narrow_row_f16(const float* __restrict values, std::ptrdiff_t count,
                           std::uint16_t* __restrict out) noexcept {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    out[i] = half_bits(values[i]);
  }
}

}  // namespace hpip::HPIP_TARGET
