// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include "hpip/dcheck.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Nearest integer, ties to even, clamped to 0..255; |value| < 2^22.
// After adding 1.5 * 2^23, a float has no fractional bits: the addition rounds, and the low bits
// are the integer. Unlike lrintf and a clamp of floats, this can be vectorised.
inline std::int32_t round_to_level(float value) noexcept {
  HPIP_DCHECK(value, >, -4194304.0F);
  HPIP_DCHECK(value, <, 4194304.0F);
  const float shifted = value + 12582912.0F;
  std::int32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof bits);
  const std::int32_t rounded = bits - 0x4B400000;  // the bits of 12582912.0F
  const std::int32_t at_most_255 = rounded > 255 ? 255 : rounded;
  return at_most_255 < 0 ? 0 : at_most_255;
}

inline std::uint8_t round_to_u8(float value) noexcept {
  return static_cast<std::uint8_t>(round_to_level(value));
}

}  // namespace hpip::HPIP_TARGET
