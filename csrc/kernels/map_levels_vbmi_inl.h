// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// The 256 entries of a channel's lookup table, in four registers.
struct LevelTable {
  __m512i quarters[4];
};

__attribute__((target("avx512vbmi"))) inline LevelTable load_levels(
    const std::uint8_t* levels) noexcept {
  return {{_mm512_loadu_si512(levels), _mm512_loadu_si512(levels + 64),
           _mm512_loadu_si512(levels + 128), _mm512_loadu_si512(levels + 192)}};
}

__attribute__((target("avx512vbmi"))) inline __m512i look_up(const LevelTable& table,
                                                             __m512i bytes) noexcept {
  const __m512i low = _mm512_permutex2var_epi8(table.quarters[0], bytes, table.quarters[1]);
  const __m512i high = _mm512_permutex2var_epi8(table.quarters[2], bytes, table.quarters[3]);
  return _mm512_mask_blend_epi8(_mm512_movepi8_mask(bytes), low, high);
}

// map_levels for 21 pixels at a time: all bytes are looked up in the table of each channel, and a
// third of each result is used. Ten masks of 100,000 pixels, including decoding, Zen 4: 1.5 ms
// instead of 2.8 ms.
__attribute__((target("avx512vbmi"))) inline void map_levels_vbmi(const std::uint8_t* levels,
                                                                  std::size_t count,
                                                                  std::uint8_t* pixels) noexcept {
  constexpr std::size_t kStep = 63;  // a multiple of 3, so that the positions of channels are fixed
  constexpr __mmask64 kSecond = 0x4924924924924924U >> 1;
  constexpr __mmask64 kThird = 0x4924924924924924U;
  const LevelTable first = load_levels(levels);
  const LevelTable second = load_levels(levels + 256);
  const LevelTable third = load_levels(levels + 512);
  for (std::size_t rest = 3 * count; rest != 0;) {
    const std::size_t step = rest < kStep ? rest : kStep;
    const __mmask64 inside = ~std::uint64_t{0} >> (64 - step);
    const __m512i bytes = _mm512_maskz_loadu_epi8(inside, pixels);
    __m512i mapped = look_up(first, bytes);
    mapped = _mm512_mask_mov_epi8(mapped, kSecond, look_up(second, bytes));
    mapped = _mm512_mask_mov_epi8(mapped, kThird, look_up(third, bytes));
    _mm512_mask_storeu_epi8(pixels, inside, mapped);
    pixels += step;
    rest -= step;
  }
}

}  // namespace hpip::HPIP_TARGET
