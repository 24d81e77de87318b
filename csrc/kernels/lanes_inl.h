// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels/target.h"

#if defined(__SSE2__)
#include <immintrin.h>
#elif defined(__ARM_NEON)
#include <arm_neon.h>
#endif

// Vectors with as many floats as a register of the instruction set, by the compiler's vector
// extension, which adds, compares and selects lane by lane on every processor.
namespace hpip::HPIP_TARGET {

#if defined(__AVX512DQ__)
inline constexpr std::size_t kLanes = 16;
#elif defined(__AVX2__)
inline constexpr std::size_t kLanes = 8;
#else
inline constexpr std::size_t kLanes = 4;
#endif

using FloatLanes __attribute__((vector_size(kLanes * sizeof(float)))) = float;
using IntLanes __attribute__((vector_size(kLanes * sizeof(float)))) = std::int32_t;

inline FloatLanes load_lanes(const float* values) noexcept {
  FloatLanes lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}

inline IntLanes load_lanes(const std::int32_t* values) noexcept {
  IntLanes lanes;
  std::memcpy(&lanes, values, sizeof lanes);
  return lanes;
}

inline void store_lanes(std::int32_t* values, IntLanes lanes) noexcept {
  std::memcpy(values, &lanes, sizeof lanes);
}

inline void store_lanes(float* values, FloatLanes lanes) noexcept {
  std::memcpy(values, &lanes, sizeof lanes);
}

inline FloatLanes to_floats(IntLanes lanes) noexcept {
  return __builtin_convertvector(lanes, FloatLanes);
}

// Rounds towards zero.
inline IntLanes to_ints(FloatLanes lanes) noexcept {
  return __builtin_convertvector(lanes, IntLanes);
}

// 0, 1, 2, ...
inline IntLanes lane_numbers() noexcept {
  IntLanes lanes{};
  for (std::size_t i = 0; i < kLanes; ++i) {
    lanes[i] = static_cast<std::int32_t>(i);
  }
  return lanes;
}

inline FloatLanes all_lanes(float value) noexcept { return FloatLanes{} + value; }

// Bit i is set if lane i of a comparison's result is true.
inline std::uint64_t lane_bits(IntLanes is_true) noexcept {
#if defined(__AVX512DQ__)
  return static_cast<std::uint32_t>(_mm512_movepi32_mask(reinterpret_cast<__m512i>(is_true)));
#elif defined(__AVX2__)
  return static_cast<std::uint32_t>(_mm256_movemask_ps(reinterpret_cast<__m256>(is_true)));
#elif defined(__SSE2__)
  return static_cast<std::uint32_t>(_mm_movemask_ps(reinterpret_cast<__m128>(is_true)));
#elif defined(__ARM_NEON)
  constexpr IntLanes kBits{1, 2, 4, 8};
  return vaddvq_u32(reinterpret_cast<uint32x4_t>(is_true & kBits));
#else
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < kLanes; ++i) {
    bits |= static_cast<std::uint64_t>(is_true[i] & 1) << i;
  }
  return bits;
#endif
}

}  // namespace hpip::HPIP_TARGET
