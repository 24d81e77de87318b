// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "hpip/dcheck.h"
#include "kernels/region_taps.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// out[x] = the weighted sum of kCount rows of `plane`, plus out[x] if kAdd.
template <std::size_t kCount, bool kAdd>
void blend_row_group(const float* __restrict plane, std::ptrdiff_t row_stride,
                     const RegionTap* __restrict taps, std::ptrdiff_t width,
                     float* __restrict out) noexcept {
  const float* rows[kCount];
  float weights[kCount];
  for (std::size_t t = 0; t < kCount; ++t) {
    HPIP_DCHECK(taps[t].index, >=, 0);
    rows[t] = plane + taps[t].index * row_stride;
    weights[t] = taps[t].weight;
  }
  for (std::ptrdiff_t x = 0; x < width; ++x) {
    float sum = kAdd ? out[x] : 0.0F;
    for (std::size_t t = 0; t < kCount; ++t) {
      sum += rows[t][x] * weights[t];
    }
    out[x] = sum;
  }
}

template <bool kAdd>
void blend_rest(const float* plane, std::ptrdiff_t row_stride, const RegionTap* taps,
                std::ptrdiff_t count, std::ptrdiff_t width, float* out) noexcept {
  HPIP_DCHECK(count, >=, 0);
  HPIP_DCHECK(count, <=, 3);
  switch (count) {
    case 3:
      return blend_row_group<3, kAdd>(plane, row_stride, taps, width, out);
    case 2:
      return blend_row_group<2, kAdd>(plane, row_stride, taps, width, out);
    case 1:
      return blend_row_group<1, kAdd>(plane, row_stride, taps, width, out);
    default:
      return;
  }
}

// Requires at least one tap. Four rows at a time, which fit into registers; most bins do not have
// more.
inline void blend_region_rows(const float* plane, std::ptrdiff_t row_stride, const RegionTap* taps,
                              std::ptrdiff_t count, std::ptrdiff_t width, float* out) noexcept {
  HPIP_DCHECK(count, >=, 1);
  if (count < 4) {
    blend_rest<false>(plane, row_stride, taps, count, width, out);
    return;
  }
  blend_row_group<4, false>(plane, row_stride, taps, width, out);
  for (taps += 4, count -= 4; count >= 4; taps += 4, count -= 4) {
    blend_row_group<4, true>(plane, row_stride, taps, width, out);
  }
  blend_rest<true>(plane, row_stride, taps, count, width, out);
}

// kTaps taps per bin; 0 for columns.taps_per_bin. The compiler unrolls loops of a constant, small
// length, which makes bins of two to four taps fast.
template <int kTaps>
void blend_region_columns(const float* __restrict row, const RegionColumns& columns,
                          float* __restrict out) noexcept {
  const std::ptrdiff_t count = kTaps == 0 ? columns.taps_per_bin : kTaps;
  const RegionTap* __restrict tap = columns.taps;
  for (std::ptrdiff_t bin = 0; bin < columns.bins; ++bin, tap += count) {
    float sum = 0.0F;
    for (std::ptrdiff_t t = 0; t < count; ++t) {
      HPIP_DCHECK(tap[t].index, >=, 0);
      HPIP_DCHECK(tap[t].index, <, columns.length);
      sum += row[tap[t].index] * tap[t].weight;
    }
    out[bin] = sum;
  }
}

// Computes the mean of the bilinear samples in each bin of a region, in two passes: the samples of
// a bin form a grid, so each weight is the product of a row weight and a column weight. The first
// pass blends the rows of a bin along contiguous memory, the second pass its columns. `row` has
// room for columns.length floats.
inline void pool_region(const float* plane, std::ptrdiff_t row_stride, const RegionRows& rows,
                        const RegionColumns& columns, float* row, float* out) noexcept {
  const RegionTap* taps = rows.taps;
  for (std::ptrdiff_t bin = 0; bin < rows.bins; ++bin, out += columns.bins) {
    const std::ptrdiff_t count = rows.counts[bin];
    if (count == 0 || columns.length == 0) {
      for (std::ptrdiff_t x = 0; x < columns.bins; ++x) {
        out[x] = 0.0F;
      }
      continue;
    }
    blend_region_rows(plane + columns.low, row_stride, taps, count, columns.length, row);
    taps += count;
    switch (columns.taps_per_bin) {
      case 2:
        blend_region_columns<2>(row, columns, out);
        break;
      case 3:
        blend_region_columns<3>(row, columns, out);
        break;
      case 4:
        blend_region_columns<4>(row, columns, out);
        break;
      case 5:
        blend_region_columns<5>(row, columns, out);
        break;
      default:
        blend_region_columns<0>(row, columns, out);
    }
  }
}

}  // namespace hpip::HPIP_TARGET
