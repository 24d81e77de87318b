// SPDX-License-Identifier: Apache-2.0
#include "ops/mask_encoder.h"

#include <algorithm>
#include <utility>

#include "kernels/kernel_table.h"

namespace hpip {

void MaskEncoder::load(SourceColumns& source, std::int32_t index, const SampleAxis& ys, float limit,
                       Column* column) const {
  const auto end = static_cast<std::size_t>(ys.items_end);
  column->items.resize(end + kCellReadAhead);
  column->sides.resize(end + kCellReadAhead);
  source.load(index, {ys.items_begin, ys.items_end}, column->items.data() + ys.items_begin);
  column->is_finite = active_kernels().column_sides(column->items.data() + ys.items_begin,
                                                    end - static_cast<std::size_t>(ys.items_begin),
                                                    limit, column->sides.data() + ys.items_begin);
  column->index = index;
}

void MaskEncoder::reserve_changes(const SampleAxis& ys, bool is_finite) {
  const std::ptrdiff_t height = ys.spans.back().end;
  const auto spans = static_cast<std::ptrdiff_t>(ys.spans.size());
  const std::ptrdiff_t capacity = 1 + (is_finite ? std::min(height, 2 * spans) : height);
  const std::size_t size = kCellColumns * static_cast<std::size_t>(capacity);
  if (rows_.size() < size) {
    rows_.resize(size);
  }
  changes_.rows = rows_.data();
  changes_.capacity = capacity;
}

std::string MaskEncoder::encode(SourceColumns& source, const SampleAxis& xs, const SampleAxis& ys,
                                float limit) {
  const StripRows rows{ys.spans.data(), static_cast<std::ptrdiff_t>(ys.spans.size()),
                       ys.table.second_weight(), ys.bend_pixels};
  const auto encode_strip = active_kernels().encode_strip;
  runs_.start(ys.spans.back().end);
  right_.index = -1;
  for (const SampleSpan& strip : xs.spans) {
    if (strip.first == right_.index) {
      std::swap(left_, right_);
    } else {
      load(source, strip.first, ys, limit, &left_);
    }
    load(source, strip.second, ys, limit, &right_);
    reserve_changes(ys, left_.is_finite && right_.is_finite);
    const auto columns = static_cast<std::size_t>(strip.end - strip.begin);
    encode_strip({left_.items.data(), right_.items.data(), left_.sides.data(), right_.sides.data(),
                  xs.table.second_weight() + strip.begin, columns},
                 rows, limit, &changes_);
    for (std::size_t x = 0; x < columns; ++x) {
      runs_.add_column(changes_.rows + static_cast<std::ptrdiff_t>(x) * changes_.capacity,
                       changes_.ends[x]);
    }
  }
  return runs_.finish();
}

}  // namespace hpip
