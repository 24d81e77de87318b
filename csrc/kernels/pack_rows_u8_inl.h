// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Bit i is set if bytes[i] is at least `limit`, for 64 bytes.
inline std::uint64_t bytes_at_least(const std::uint8_t* bytes, std::uint8_t limit) noexcept {
#if defined(__AVX512BW__)
  return _mm512_cmpge_epu8_mask(_mm512_loadu_si512(bytes),
                                _mm512_set1_epi8(static_cast<char>(limit)));
#elif defined(__AVX2__)
  const __m256i limits = _mm256_set1_epi8(static_cast<char>(limit));
  std::uint64_t word = 0;
  for (std::ptrdiff_t half = 0; half < 2; ++half) {
    const __m256i part = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes + 32 * half));
    const __m256i passes = _mm256_cmpeq_epi8(_mm256_max_epu8(part, limits), part);
    const auto bits = static_cast<std::uint32_t>(_mm256_movemask_epi8(passes));
    word |= static_cast<std::uint64_t>(bits) << (32 * half);
  }
  return word;
#elif defined(__SSE2__)
  const __m128i limits = _mm_set1_epi8(static_cast<char>(limit));
  std::uint64_t word = 0;
  for (std::ptrdiff_t quarter = 0; quarter < 4; ++quarter) {
    const __m128i part = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + 16 * quarter));
    const __m128i passes = _mm_cmpeq_epi8(_mm_max_epu8(part, limits), part);
    const auto bits = static_cast<std::uint32_t>(_mm_movemask_epi8(passes));
    word |= static_cast<std::uint64_t>(bits) << (16 * quarter);
  }
  return word;
#elif defined(__ARM_NEON)
  // Each byte keeps one bit at its own position; three pairwise additions combine eight bytes to
  // one.
  const uint8x16_t limits = vdupq_n_u8(limit);
  const uint8x16_t own_bits = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201U));
  uint8x16_t parts[4];
  for (std::ptrdiff_t quarter = 0; quarter < 4; ++quarter) {
    parts[quarter] = vandq_u8(vcgeq_u8(vld1q_u8(bytes + 16 * quarter), limits), own_bits);
  }
  const uint8x16_t fours = vpaddq_u8(vpaddq_u8(parts[0], parts[1]), vpaddq_u8(parts[2], parts[3]));
  return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(fours, fours)), 0);
#else
  std::uint64_t word = 0;
  for (int i = 0; i < 64; ++i) {
    word |= static_cast<std::uint64_t>(bytes[i] >= limit) << i;
  }
  return word;
#endif
}

// pack_columns for complete words of contiguous uint8 rows: bit x of words[block * height + y] is
// set if item (y, 64 * block + x) is at least `limit`.
//
// Encoding a contiguous 1080p mask, Zen 4: 0.117 ms with SSE2, 0.086 ms with AVX2, 0.070 ms with
// AVX-512.
inline void pack_rows_u8(const std::uint8_t* items, std::ptrdiff_t height, std::ptrdiff_t blocks,
                         std::ptrdiff_t row_stride, std::uint8_t limit,
                         std::uint64_t* words) noexcept {
  for (std::ptrdiff_t y = 0; y < height; ++y, items += row_stride) {
    for (std::ptrdiff_t block = 0; block < blocks; ++block) {
      words[block * height + y] = bytes_at_least(items + 64 * block, limit);
    }
  }
}

}  // namespace hpip::HPIP_TARGET
