// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/blend_normalize_rows_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// blend_normalize_linear_u8 with the instruction for a product's upper half, which GCC 12 does not
// find: it multiplies in 32 bits and packs the results again.
template <typename Vector>
void blend_normalize_linear_u8_simd(const std::int16_t* upper, const std::int16_t* lower,
                                    std::int16_t upper_weight, std::int16_t lower_weight,
                                    float factor, float offset, std::ptrdiff_t count,
                                    float* __restrict out) noexcept {
  constexpr std::ptrdiff_t kBlock = 2 * Vector::kLanes;
  const auto upper_weights = Vector::set_shorts(upper_weight);
  const auto lower_weights = Vector::set_shorts(lower_weight);
  const auto half = Vector::set_shorts(2);
  const auto factors = Vector::set(factor);
  const auto offsets = Vector::set(offset);
  std::ptrdiff_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    const auto sums =
        Vector::add_shorts(Vector::multiply_high(Vector::load_ints(upper + i), upper_weights),
                           Vector::multiply_high(Vector::load_ints(lower + i), lower_weights));
    const auto levels = Vector::shift_shorts_by_2(Vector::add_shorts(sums, half));
    Vector::store(out + i,
                  Vector::add(Vector::mul(Vector::low_to_floats(levels), factors), offsets));
    Vector::store(out + i + Vector::kLanes,
                  Vector::add(Vector::mul(Vector::high_to_floats(levels), factors), offsets));
  }
  blend_normalize_linear_u8(upper + i, lower + i, upper_weight, lower_weight, factor, offset,
                            count - i, out + i);
}

}  // namespace hpip::HPIP_TARGET
