// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/pack_columns_inl.h"

// From packed columns (see pack_columns) to the positions at which a mask, read column by column,
// changes value: work per row and per change, not per pixel.
namespace hpip::kernels {

// Turns words of pixels into words of changes, in place: bit x of words[y] becomes 1 where pixel
// (y, x) differs from the one above it or, in row 0, from the last one of the column before.
// `before` is that pixel for column 0. height >= 1; only `columns` columns are looked at.
inline void mark_changes(std::uint64_t* words, std::size_t height, std::ptrdiff_t columns,
                         bool before) noexcept {
  std::uint64_t above = (words[height - 1] << 1) | static_cast<std::uint64_t>(before);
  for (std::size_t y = 0; y < height; ++y) {
    const std::uint64_t pixels = words[y];
    words[y] = pixels ^ above;
    above = pixels;
  }
  words[0] &= ~std::uint64_t{0} >> (kWordColumns - columns);
}

// counts[x] += changes in column x.
inline void count_changes(const std::uint64_t* words, std::size_t height,
                          std::uint32_t* counts) noexcept {
  for (std::size_t y = 0; y < height; ++y) {
    for (std::uint64_t rest = words[y]; rest != 0; rest &= rest - 1) {
      ++counts[__builtin_ctzll(rest)];
    }
  }
}

// Writes each change's position, first_position + x * height + y, to positions[next[x]++].
inline void list_changes(const std::uint64_t* words, std::size_t height,
                         std::uint32_t first_position, std::uint32_t* next,
                         std::uint32_t* positions) noexcept {
  for (std::size_t y = 0; y < height; ++y) {
    for (std::uint64_t rest = words[y]; rest != 0; rest &= rest - 1) {
      const auto x = static_cast<std::size_t>(__builtin_ctzll(rest));
      positions[next[x]++] = static_cast<std::uint32_t>(first_position + x * height + y);
    }
  }
}

}  // namespace hpip::kernels
