// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// A source cell and its share of a bin.
struct RegionTap {
  std::int32_t index;
  float weight;
};

// Rows of bins of a region: row i blends the next counts[i] of `taps`, none where it lies outside
// of the map.
struct RegionRows {
  const RegionTap* taps;
  const std::int32_t* counts;
  std::ptrdiff_t bins;
};

// Cells and bins of a region that fit into registers, and the taps number t of all its bins.
inline constexpr std::ptrdiff_t kLaneCells = 32;
inline constexpr std::ptrdiff_t kLaneBins = 16;
struct LaneTaps {
  std::int32_t indices[kLaneBins];
  float weights[kLaneBins];
};

// Columns of bins: each blends the next `taps_per_bin` of `taps`, some of weight 0, whose indices
// count from cell `low` and stay below `length`. No cell is read where that is 0.
struct RegionColumns {
  const RegionTap* taps;
  std::ptrdiff_t taps_per_bin;
  std::ptrdiff_t bins;
  std::ptrdiff_t low;
  std::ptrdiff_t length;
  const LaneTaps* lane_taps;  // the same taps once more, taps_per_bin of these; null if too many
};

}  // namespace hpip
