// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "hpip/dcheck.h"
#include "hpip/strided_array.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace hpip::kernels {

// Number of columns in one word.
inline constexpr std::ptrdiff_t kWordColumns = 64;

// Bit i of the result is bytes[i], each 0 or 1, for 64 bytes.
inline std::uint64_t gather_bits(const std::uint8_t* bytes) noexcept {
  std::uint64_t word = 0;
#if defined(__SSE2__)
  for (std::size_t i = 0; i < kWordColumns; i += 16) {
    __m128i part;
    std::memcpy(&part, bytes + i, sizeof part);
    const int bits = _mm_movemask_epi8(_mm_slli_epi16(part, 7));
    word |= static_cast<std::uint64_t>(static_cast<std::uint32_t>(bits)) << i;
  }
#else
  static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "gather_bits reads bytes in order");
  // The product moves bit 8 i of a little-endian number to bit 56 + i; its terms do not overlap
  // below, so there is no carry into the top byte.
  for (std::size_t i = 0; i < kWordColumns; i += 8) {
    std::uint64_t part;
    std::memcpy(&part, bytes + i, sizeof part);
    word |= (part * 0x0102040810204080U) >> 56 << i;
  }
#endif
  return word;
}

// One row of up to 64 neighbouring items.
template <typename T, typename Predicate>
std::uint64_t pack_dense_row(const T* row, std::size_t columns, Predicate predicate) noexcept {
  HPIP_DCHECK(columns, >=, 1U);
  HPIP_DCHECK(columns, <=, std::size_t{kWordColumns});
  std::uint8_t passes[kWordColumns];
  if (columns == kWordColumns) {  // a case of its own, which the compiler can vectorise
    for (std::size_t x = 0; x < kWordColumns; ++x) {
      passes[x] = predicate(row[x]) ? 1 : 0;
    }
    return gather_bits(passes);
  }
  std::memset(passes, 0, sizeof passes);
  for (std::size_t x = 0; x < columns; ++x) {
    passes[x] = predicate(row[x]) ? 1 : 0;
  }
  return gather_bits(passes);
}

// Sets bit x of words[block * height + y] if item (y, 64 * block + x) of the plane satisfies the
// predicate; bits beyond the plane's columns are 0. Iterates along the axis with the smaller
// stride.
template <typename T, typename Predicate>
void pack_columns(const Plane<T>& plane, Predicate predicate, std::uint64_t* words) noexcept {
  if (plane.column_stride == 1) {
    for (std::ptrdiff_t y = 0; y < plane.height; ++y) {
      std::uint64_t* word = words + y;
      for (std::ptrdiff_t x = 0; x < plane.width; x += kWordColumns, word += plane.height) {
        const std::ptrdiff_t rest = plane.width - x;
        const auto columns = static_cast<std::size_t>(rest < kWordColumns ? rest : kWordColumns);
        *word = pack_dense_row(plane.at(y, x), columns, predicate);
      }
    }
    return;
  }
  for (std::ptrdiff_t x = 0; x < plane.width; ++x) {
    std::uint64_t* column_words = words + x / kWordColumns * plane.height;
    const std::ptrdiff_t bit = x % kWordColumns;
    if (bit == 0) {
      std::memset(column_words, 0, static_cast<std::size_t>(plane.height) * sizeof *words);
    }
    const T* item = plane.at(0, x);
    for (std::ptrdiff_t y = 0; y < plane.height; ++y, item += plane.row_stride) {
      column_words[y] |= static_cast<std::uint64_t>(predicate(*item)) << bit;
    }
  }
}

}  // namespace hpip::kernels
