// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/axis_taps.h"

namespace hpip::kernels {

// out[i] = top[i] * (1 - bottom_weight) + bottom[i] * bottom_weight.
inline void blend_rows(const float* top, const float* bottom, float bottom_weight,
                       std::size_t count, float* out) noexcept {
  const float top_weight = 1.0F - bottom_weight;
  for (std::size_t i = 0; i < count; ++i) {
    out[i] = top[i] * top_weight + bottom[i] * bottom_weight;
  }
}

// out[i] = predicate(row sampled at tap i).
template <typename Predicate>
void sample_row(const float* row, const AxisTaps& taps, std::size_t count, Predicate predicate,
                std::uint8_t* out) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const float weight = taps.second_weight[i];
    const float value = row[taps.first[i]] * (1.0F - weight) + row[taps.second[i]] * weight;
    out[i] = predicate(value) ? 1 : 0;
  }
}

// out[i] = a column, `stride` items from one to the next, sampled at tap i.
inline void sample_column(const float* column, std::ptrdiff_t stride, const AxisTaps& taps,
                          std::size_t count, float* out) noexcept {
  for (std::size_t i = 0; i < count; ++i) {
    const float weight = taps.second_weight[i];
    out[i] =
        column[taps.first[i] * stride] * (1.0F - weight) + column[taps.second[i] * stride] * weight;
  }
}

}  // namespace hpip::kernels
