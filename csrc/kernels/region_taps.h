// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// A source cell and its weight in a bin.
struct RegionTap {
  std::int32_t index;
  float weight;
};

// Rows of bins of a region: row i blends the next counts[i] of `taps`; 0 outside the feature map.
struct RegionRows {
  const RegionTap* taps;
  const std::int32_t* counts;
  std::ptrdiff_t bins;
};

// Maximum number of cells and bins of a region in registers, and tap number t of all its bins.
inline constexpr std::ptrdiff_t kLaneCells = 32;
inline constexpr std::ptrdiff_t kLaneBins = 16;
struct LaneTaps {
  std::int32_t indices[kLaneBins];
  float weights[kLaneBins];
};

// Columns of bins: each blends the next `taps_per_bin` of `taps`, some with weight 0. Indices are
// relative to cell `low` and less than `length`; if `length` is 0, no cell is read.
struct RegionColumns {
  const RegionTap* taps;
  std::ptrdiff_t taps_per_bin;
  std::ptrdiff_t bins;
  std::ptrdiff_t low;
  std::ptrdiff_t length;
  const LaneTaps* lane_taps;  // the same taps for registers, taps_per_bin items; null if too many
};

}  // namespace hpip
