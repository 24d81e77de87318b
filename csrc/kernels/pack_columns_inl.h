// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hpip/strided_array.h"

namespace hpip::kernels {

// Columns that one word holds.
inline constexpr std::ptrdiff_t kWordColumns = 64;

// Bit i of the result is bytes[i], each 0 or 1. Read as a little-endian number, the product moves
// bit 8 i to bit 56 + i; no two of its terms meet below, so nothing carries into the top byte.
inline std::uint64_t gather_bits(const std::uint8_t* bytes) noexcept {
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "gather_bits reads bytes in order");
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return (word * 0x0102040810204080U) >> 56;
}

// One row of up to 64 neighbouring items.
template <typename T, typename Predicate>
std::uint64_t pack_dense_row(const T* row, std::size_t columns, Predicate predicate) noexcept {
  std::uint8_t passes[kWordColumns] = {};
  for (std::size_t x = 0; x < columns; ++x) {
    passes[x] = predicate(row[x]) ? 1 : 0;
  }
  std::uint64_t word = 0;
  for (std::size_t byte = 0; byte < sizeof word; ++byte) {
    word |= gather_bits(passes + 8 * byte) << (8 * byte);
  }
  return word;
}

// Bit x of words[y] tells whether item (y, x) of the plane passes; the plane has at most 64
// columns, further bits are 0. Walks along whichever axis is denser in memory.
template <typename T, typename Predicate>
void pack_columns(const Plane<T>& plane, Predicate predicate, std::uint64_t* words) noexcept {
  if (plane.column_stride == 1) {
    for (std::ptrdiff_t y = 0; y < plane.height; ++y) {
      words[y] = pack_dense_row(plane.at(y, 0), static_cast<std::size_t>(plane.width), predicate);
    }
    return;
  }
  std::memset(words, 0, static_cast<std::size_t>(plane.height) * sizeof *words);
  for (std::ptrdiff_t x = 0; x < plane.width; ++x) {
    const T* item = plane.at(0, x);
    for (std::ptrdiff_t y = 0; y < plane.height; ++y, item += plane.row_stride) {
      words[y] |= static_cast<std::uint64_t>(predicate(*item)) << x;
    }
  }
}

}  // namespace hpip::kernels
