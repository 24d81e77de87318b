// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/strip.h"
#include "ops/sample_axis.h"
#include "ops/source_columns.h"

namespace hpip {

// Encodes masks one after another without decoded pixels, and reuses its memory.
class MaskEncoder {
 public:
  // Encodes the pixels `xs` x `ys` of `source` that are above the threshold as COCO's compressed
  // string. Both axes must have pixels; spans of `xs` must not be longer than kCellColumns.
  std::string encode(SourceColumns& source, const SampleAxis& xs, const SampleAxis& ys,
                     float limit);

 private:
  // A column of the source; items before the first sampled one are not initialised.
  struct Column {
    std::int32_t index = -1;
    bool is_finite = true;
    std::vector<float> items;
    std::vector<Sides> sides;
  };

  static void load(SourceColumns& source, std::int32_t index, const SampleAxis& ys, float limit,
                   Column* column);
  void reserve_changes(const SampleAxis& ys, bool is_finite);
  void reserve_positions(std::size_t count);
  // Encodes the changes at positions_[1] to positions_[count - 1].
  std::string finish(std::size_t count, std::uint32_t pixels);

  Column left_;
  Column right_;
  std::vector<ColumnChanges> changes_;
  std::vector<std::uint32_t> positions_;  // positions of the changes, column by column
};

}  // namespace hpip
