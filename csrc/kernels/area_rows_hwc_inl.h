// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hpip/dcheck.h"
#include "kernels/round_inl.h"

namespace hpip::kernels {

// Area downscaling, one source row at a time: each source row adds its weighted pixels to `sums`,
// and the last step converts the sums of an output row to values.

// Cells of any size. Output pixel x covers entries first[x] .. first[x + 1] of `index` and
// `weight`. The row's own weighted sum is rounded before `row_weight` is applied, as OpenCV does.
template <int kChannels, typename T>
void area_add_row_hwc(const T* __restrict source, const std::int32_t* __restrict first,
                      const std::int32_t* __restrict index, const float* __restrict weight,
                      float row_weight, std::ptrdiff_t width, float* __restrict sums) noexcept {
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    HPIP_DCHECK(first[x], <=, first[x + 1]);
    float row_sums[static_cast<std::size_t>(kChannels)] = {};
    for (std::int32_t entry = first[x]; entry < first[x + 1]; ++entry) {
      HPIP_DCHECK(index[entry], >=, 0);
      const T* pixel = source + std::ptrdiff_t{index[entry]} * kChannels;
      for (int c = 0; c < kChannels; ++c) {
        row_sums[c] += static_cast<float>(pixel[c]) * weight[entry];
      }
    }
    for (int c = 0; c < kChannels; ++c) {
      sums[x * kChannels + c] += row_sums[c] * row_weight;
    }
  }
}

// Cells of exactly `cell_width` pixels, in integer arithmetic.
template <int kChannels>
void area_add_row_hwc_u8(const std::uint8_t* __restrict source, std::ptrdiff_t cell_width,
                         std::ptrdiff_t width, std::int32_t* __restrict sums) noexcept {
  HPIP_DCHECK(cell_width, >=, 1);
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    const std::uint8_t* pixel = source + x * cell_width * kChannels;
    for (std::ptrdiff_t i = 0; i < cell_width; ++i, pixel += kChannels) {
      for (int c = 0; c < kChannels; ++c) {
        sums[x * kChannels + c] += pixel[c];
      }
    }
  }
}

template <typename T>
void area_store(const float* __restrict sums, std::ptrdiff_t count, T* __restrict out) noexcept {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    if constexpr (std::is_same_v<T, std::uint8_t>) {
      out[i] = round_to_u8(sums[i]);
    } else {
      out[i] = sums[i];
    }
  }
}

// The mean over cells of exactly `cell_area` pixels; as in OpenCV, ties are rounded up for 2 x 2
// cells, and to even for all others.
inline void area_store_cells_u8(const std::int32_t* __restrict sums, bool is_2x2, float cell_area,
                                std::ptrdiff_t count, std::uint8_t* __restrict out) noexcept {
  HPIP_DCHECK(cell_area, >=, 1.0F);
  if (is_2x2) {
    HPIP_DCHECK(cell_area, ==, 4.0F);
    for (std::ptrdiff_t i = 0; i < count; ++i) {
      out[i] = static_cast<std::uint8_t>((sums[i] + 2) >> 2);
    }
    return;
  }
  const float factor = 1.0F / cell_area;
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    out[i] = round_to_u8(static_cast<float>(sums[i]) * factor);
  }
}

}  // namespace hpip::kernels
