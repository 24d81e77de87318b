// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// The vector operations of filter_taps_simd_inl.h with 8 lanes.
namespace hpip::avx2 {

struct Vector {
  static constexpr std::ptrdiff_t kLanes = 8;
  using Floats = __m256;
  using Ints = __m256i;

  static Floats set(float value) noexcept { return _mm256_set1_ps(value); }
  static Floats load(const float* from) noexcept { return _mm256_loadu_ps(from); }
  static void store(float* to, Floats values) noexcept { _mm256_storeu_ps(to, values); }
  static Floats add(Floats a, Floats b) noexcept { return _mm256_add_ps(a, b); }
  static Floats mul(Floats a, Floats b) noexcept { return _mm256_mul_ps(a, b); }
  static Floats sub(Floats a, Floats b) noexcept { return _mm256_sub_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) noexcept {
    return _mm256_fmadd_ps(a, b, c);
  }
  static Floats to_floats(Ints values) noexcept { return _mm256_cvtepi32_ps(values); }

  template <int kByte>
  static Ints byte(Ints words) noexcept {
    if constexpr (kByte == 3) {
      return _mm256_srli_epi32(words, 24);
    } else {
      return _mm256_and_si256(_mm256_srli_epi32(words, 8 * kByte), _mm256_set1_epi32(255));
    }
  }

  // The 16 bytes of pixels i and i + 4.
  static Ints load_quarter(const std::uint8_t* pixels, const std::int32_t* begin) noexcept {
    const auto* low = reinterpret_cast<const __m128i*>(pixels + begin[0]);
    const auto* high = reinterpret_cast<const __m128i*>(pixels + begin[4]);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)),
                                   _mm_loadu_si128(high), 1);
  }

  static Ints zip_low_32(Ints a, Ints b) noexcept { return _mm256_unpacklo_epi32(a, b); }
  static Ints zip_high_32(Ints a, Ints b) noexcept { return _mm256_unpackhi_epi32(a, b); }
  static Ints zip_low_64(Ints a, Ints b) noexcept { return _mm256_unpacklo_epi64(a, b); }
  static Ints zip_high_64(Ints a, Ints b) noexcept { return _mm256_unpackhi_epi64(a, b); }

  static Ints spread_pairs(Ints quarter) noexcept {
    const Ints order = _mm256_broadcastsi128_si256(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    return _mm256_shuffle_epi8(quarter, order);
  }

  static Ints load_ints(const std::int16_t* from) noexcept {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  }

  static Ints multiply_pairs(Ints a, Ints b) noexcept { return _mm256_madd_epi16(a, b); }

  // For twice as many lanes of int16.
  static Ints set_shorts(std::int16_t value) noexcept { return _mm256_set1_epi16(value); }
  static Ints add_shorts(Ints a, Ints b) noexcept { return _mm256_add_epi16(a, b); }
  static Ints shift_shorts_by_2(Ints a) noexcept { return _mm256_srai_epi16(a, 2); }
  static Ints multiply_high(Ints a, Ints b) noexcept { return _mm256_mulhi_epi16(a, b); }

  // sums >> 4, which fit an int16, in the order of the packing instruction, which processes groups
  // of 16 bytes; after the two instructions that follow, values are in the order of pixels again.
  static void store_shifted(std::int16_t* to, Ints first, Ints second) noexcept {
    const Ints packed =
        _mm256_packs_epi32(_mm256_srai_epi32(first, 4), _mm256_srai_epi32(second, 4));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), packed);
  }
  static Floats first_to_floats(Ints levels) noexcept {
    return to_floats(_mm256_unpacklo_epi16(levels, _mm256_setzero_si256()));
  }
  static Floats second_to_floats(Ints levels) noexcept {
    return to_floats(_mm256_unpackhi_epi16(levels, _mm256_setzero_si256()));
  }
};

}  // namespace hpip::avx2
