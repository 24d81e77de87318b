// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/tap_limits.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// blend_normalize_linear_u8 with the instruction for the upper half of a product. GCC 12 does not
// use it: it multiplies in 32 bits and packs the results. Rows have the order that
// filter_taps_u8<Vector> writes, and are readable up to a multiple of 2 Vector::kLanes values.
template <typename Vector>
void blend_normalize_linear_u8_simd(const std::int16_t* upper, const std::int16_t* lower,
                                    std::int16_t upper_weight, std::int16_t lower_weight,
                                    float factor, float offset, std::ptrdiff_t count,
                                    float* __restrict out) noexcept {
  HPIP_DCHECK(upper_weight, >=, 0);
  HPIP_DCHECK(lower_weight, >=, 0);
  HPIP_DCHECK(upper_weight + lower_weight, <=, kLinearWeightOne);
  constexpr std::ptrdiff_t kBlock = 2 * Vector::kLanes;
  const auto upper_weights = Vector::set_shorts(upper_weight);
  const auto lower_weights = Vector::set_shorts(lower_weight);
  const auto half = Vector::set_shorts(2);
  const auto factors = Vector::set(factor);
  const auto offsets = Vector::set(offset);
  const auto blend = [&](std::ptrdiff_t i, float* to) {
    const auto sums =
        Vector::add_shorts(Vector::multiply_high(Vector::load_ints(upper + i), upper_weights),
                           Vector::multiply_high(Vector::load_ints(lower + i), lower_weights));
    const auto levels = Vector::shift_shorts_by_2(Vector::add_shorts(sums, half));
    Vector::store(to, Vector::add(Vector::mul(Vector::first_to_floats(levels), factors), offsets));
    Vector::store(to + Vector::kLanes,
                  Vector::add(Vector::mul(Vector::second_to_floats(levels), factors), offsets));
  };
  std::ptrdiff_t i = 0;
  for (; i + kBlock <= count; i += kBlock) {
    blend(i, out + i);
  }
  if (i < count) {
    float rest[2 * static_cast<std::size_t>(Vector::kLanes)];
    blend(i, rest);
    for (std::ptrdiff_t k = 0; i + k < count; ++k) {
      out[i + k] = rest[k];
    }
  }
}

}  // namespace hpip::HPIP_TARGET
