// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hpip/dcheck.h"

namespace hpip::kernels {

// Byte i of the result is 1 if bit i of the low byte is set: each byte keeps one bit, and the
// addition of 0x7F carries it to the highest bit of the byte.
inline std::uint64_t spread_bits(std::uint64_t byte) noexcept {
  const std::uint64_t own = ((byte & 0xFF) * 0x0101010101010101U) & 0x8040201008040201U;
  return ((own + 0x7F7F7F7F7F7F7F7FU) >> 7) & 0x0101010101010101U;
}

// out[x] = bit x of the word, for 1 to 64 columns.
inline void unpack_word(std::uint64_t word, std::size_t columns, std::uint8_t* out) noexcept {
  HPIP_DCHECK(columns, >=, 1U);
  HPIP_DCHECK(columns, <=, 64U);
  std::size_t x = 0;
  for (; x + 8 <= columns; x += 8, word >>= 8) {
    const std::uint64_t bytes = spread_bits(word);
    std::memcpy(out + x, &bytes, sizeof bytes);
  }
  for (; x < columns; ++x, word >>= 1) {
    out[x] = static_cast<std::uint8_t>(word & 1);
  }
}

}  // namespace hpip::kernels
