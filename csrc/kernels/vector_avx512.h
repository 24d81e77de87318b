// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

// The vector operations of filter_taps_simd_inl.h with 16 lanes.
namespace hpip::avx512 {

struct Vector {
  static constexpr std::ptrdiff_t kLanes = 16;
  using Floats = __m512;
  using Ints = __m512i;

  static Floats set(float value) noexcept { return _mm512_set1_ps(value); }
  static Floats load(const float* from) noexcept { return _mm512_loadu_ps(from); }
  static void store(float* to, Floats values) noexcept { _mm512_storeu_ps(to, values); }
  static Floats add(Floats a, Floats b) noexcept { return _mm512_add_ps(a, b); }
  static Floats mul(Floats a, Floats b) noexcept { return _mm512_mul_ps(a, b); }
  static Floats sub(Floats a, Floats b) noexcept { return _mm512_sub_ps(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) noexcept {
    return _mm512_fmadd_ps(a, b, c);
  }
  static Floats to_floats(Ints values) noexcept { return _mm512_cvtepi32_ps(values); }

  template <int kByte>
  static Ints byte(Ints words) noexcept {
    if constexpr (kByte == 3) {
      return _mm512_srli_epi32(words, 24);
    } else {
      return _mm512_and_si512(_mm512_srli_epi32(words, 8 * kByte), _mm512_set1_epi32(255));
    }
  }

  static __m128i load_one(const std::uint8_t* from) noexcept {
    return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  }

  // The 16 bytes of pixels i, i + 4, i + 8 and i + 12.
  static Ints load_quarter(const std::uint8_t* pixels, const std::int32_t* begin) noexcept {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(load_one(pixels + begin[0])),
                                                load_one(pixels + begin[4]), 1);
    const __m256i high = _mm256_inserti128_si256(
        _mm256_castsi128_si256(load_one(pixels + begin[8])), load_one(pixels + begin[12]), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
  }

  static Ints zip_low_32(Ints a, Ints b) noexcept { return _mm512_unpacklo_epi32(a, b); }
  static Ints zip_high_32(Ints a, Ints b) noexcept { return _mm512_unpackhi_epi32(a, b); }
  static Ints zip_low_64(Ints a, Ints b) noexcept { return _mm512_unpacklo_epi64(a, b); }
  static Ints zip_high_64(Ints a, Ints b) noexcept { return _mm512_unpackhi_epi64(a, b); }

  static Ints spread_pairs(Ints quarter) noexcept {
    const Ints order = _mm512_broadcast_i32x4(
        _mm_setr_epi8(0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1));
    return _mm512_shuffle_epi8(quarter, order);
  }

  static Ints load_ints(const std::int16_t* from) noexcept { return _mm512_loadu_si512(from); }

  static Ints multiply_pairs(Ints a, Ints b) noexcept { return _mm512_madd_epi16(a, b); }

  // For twice as many lanes of int16.
  static Ints set_shorts(std::int16_t value) noexcept { return _mm512_set1_epi16(value); }
  static Ints add_shorts(Ints a, Ints b) noexcept { return _mm512_add_epi16(a, b); }
  static Ints shift_shorts_by_2(Ints a) noexcept { return _mm512_srai_epi16(a, 2); }
  static Ints multiply_high(Ints a, Ints b) noexcept { return _mm512_mulhi_epi16(a, b); }

  // sums >> 4, which fit an int16, in the order of the packing instruction, which processes groups
  // of 16 bytes; after the two instructions that follow, values are in the order of pixels again.
  static void store_shifted(std::int16_t* to, Ints first, Ints second) noexcept {
    const Ints packed =
        _mm512_packs_epi32(_mm512_srai_epi32(first, 4), _mm512_srai_epi32(second, 4));
    _mm512_storeu_si512(to, packed);
  }
  static Floats first_to_floats(Ints levels) noexcept {
    return to_floats(_mm512_unpacklo_epi16(levels, _mm512_setzero_si512()));
  }
  static Floats second_to_floats(Ints levels) noexcept {
    return to_floats(_mm512_unpackhi_epi16(levels, _mm512_setzero_si512()));
  }
};

}  // namespace hpip::avx512
