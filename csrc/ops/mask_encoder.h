// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/strip.h"
#include "ops/sample_axis.h"
#include "ops/source_columns.h"

namespace hpip {

// Encodes one mask after another without a pixel, in memory that is used again and again.
class MaskEncoder {
 public:
  // COCO's string of the pixels `xs` x `ys` of `source` that are above the limit. Both axes have
  // pixels; spans of `xs` are no longer than kCellColumns.
  std::string encode(SourceColumns& source, const SampleAxis& xs, const SampleAxis& ys,
                     float limit);

 private:
  // A column of the source; items before the first sampled one are not filled.
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
  // Of the changes at positions_[1] to before positions_[count].
  std::string finish(std::size_t count, std::uint32_t pixels);

  Column left_;
  Column right_;
  std::vector<ColumnChanges> changes_;
  std::vector<std::uint32_t> positions_;  // where pixels change, column by column
};

}  // namespace hpip
