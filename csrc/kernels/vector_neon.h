// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

// The vector operations of filter_taps_simd_inl.h with 4 lanes.
namespace hpip::neon {

struct Vector {
  static constexpr std::ptrdiff_t kLanes = 4;
  using Floats = float32x4_t;
  using Ints = int32x4_t;

  static Floats set(float value) noexcept { return vdupq_n_f32(value); }
  static Floats load(const float* from) noexcept { return vld1q_f32(from); }
  static void store(float* to, Floats values) noexcept { vst1q_f32(to, values); }
  static Floats add(Floats a, Floats b) noexcept { return vaddq_f32(a, b); }
  static Floats mul(Floats a, Floats b) noexcept { return vmulq_f32(a, b); }
  static Floats sub(Floats a, Floats b) noexcept { return vsubq_f32(a, b); }
  static Floats multiply_add(Floats a, Floats b, Floats c) noexcept { return vfmaq_f32(c, a, b); }
  static Floats to_floats(Ints values) noexcept { return vcvtq_f32_s32(values); }

  template <int kByte>
  static Ints byte(Ints words) noexcept {
    const uint32x4_t bits = vreinterpretq_u32_s32(words);
    if constexpr (kByte == 0) {
      return vreinterpretq_s32_u32(vandq_u32(bits, vdupq_n_u32(255)));
    } else {
      return vreinterpretq_s32_u32(vandq_u32(vshrq_n_u32(bits, 8 * kByte), vdupq_n_u32(255)));
    }
  }

  // The 16 bytes of one pixel.
  static Ints load_quarter(const std::uint8_t* pixels, const std::int32_t* begin) noexcept {
    return vreinterpretq_s32_u8(vld1q_u8(pixels + begin[0]));
  }

  static Ints zip_low_32(Ints a, Ints b) noexcept { return vzip1q_s32(a, b); }
  static Ints zip_high_32(Ints a, Ints b) noexcept { return vzip2q_s32(a, b); }
  static Ints zip_low_64(Ints a, Ints b) noexcept {
    return vreinterpretq_s32_s64(vzip1q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
  }
  static Ints zip_high_64(Ints a, Ints b) noexcept {
    return vreinterpretq_s32_s64(vzip2q_s64(vreinterpretq_s64_s32(a), vreinterpretq_s64_s32(b)));
  }

  static Ints spread_pairs(Ints quarter) noexcept {
    static constexpr std::uint8_t kOrder[16] = {0, 99, 3, 99, 1,  99, 4,  99,
                                                2, 99, 5, 99, 99, 99, 99, 99};
    return vreinterpretq_s32_u8(vqtbl1q_u8(vreinterpretq_u8_s32(quarter), vld1q_u8(kOrder)));
  }

  static Ints load_ints(const std::int16_t* from) noexcept {
    return vreinterpretq_s32_s16(vld1q_s16(from));
  }

  static Ints multiply_pairs(Ints a, Ints b) noexcept {
    const int16x8_t x = vreinterpretq_s16_s32(a);
    const int16x8_t y = vreinterpretq_s16_s32(b);
    return vpaddq_s32(vmull_s16(vget_low_s16(x), vget_low_s16(y)), vmull_high_s16(x, y));
  }

  // sums >> 4, which fit an int16.
  static void store_shifted(std::int16_t* to, Ints first, Ints second) noexcept {
    vst1q_s16(to, vcombine_s16(vshrn_n_s32(first, 4), vshrn_n_s32(second, 4)));
  }
};

}  // namespace hpip::neon
