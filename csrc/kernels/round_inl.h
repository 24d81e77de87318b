// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

namespace hpip::kernels {

// Nearest integer, ties to even, clamped to 0..255. `value` is not NaN.
// Adding 2^23 leaves a float no bits for a fraction, so the addition itself rounds and the result
// stands in the low byte: this vectorises everywhere, where lrintf does not.
inline std::uint8_t round_to_u8(float value) noexcept {
  const float clamped = value < 0.0F ? 0.0F : (value > 255.0F ? 255.0F : value);
  const float shifted = clamped + 8388608.0F;
  std::uint32_t bits = 0;
  std::memcpy(&bits, &shifted, sizeof bits);
  return static_cast<std::uint8_t>(bits & 0xFFU);
}

}  // namespace hpip::kernels
