// SPDX-License-Identifier: Apache-2.0
#include "ops/mask_encoder.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "hpip/dcheck.h"
#include "hpip/rle.h"
#include "kernels/kernel_table.h"

namespace hpip {

void MaskEncoder::load(SourceColumns& source, std::int32_t index, const SampleAxis& ys, float limit,
                       Column* column) {
  const auto count = static_cast<std::size_t>(ys.items_end - ys.items_begin);
  column->items.resize(static_cast<std::size_t>(ys.items_end) + kCellReadAhead);
  column->sides.resize(count / kSidesItems + 1);
  float* items = column->items.data() + ys.items_begin;
  source.load(index, {ys.items_begin, ys.items_end}, items);
  column->is_finite = active_kernels().column_sides(items, count, limit, column->sides.data());
  column->index = index;
}

void MaskEncoder::reserve_changes(const SampleAxis& ys, bool is_finite) {
  const auto height = static_cast<std::size_t>(ys.spans.back().end);
  const std::size_t most = is_finite ? std::min(height, 2 * ys.spans.size()) : height;
  if (changes_.size() < most + 2) {
    changes_.resize(most + 2);
  }
}

void MaskEncoder::reserve_positions(std::size_t count) {
  if (positions_.size() < count) {
    positions_.resize(count + count / 2);
  }
}

std::string MaskEncoder::encode(SourceColumns& source, const SampleAxis& xs, const SampleAxis& ys,
                                float limit) {
  HPIP_DCHECK(xs.spans.empty() || ys.spans.empty(), ==, false);
  const StripRows rows{ys.spans.data(),
                       static_cast<std::ptrdiff_t>(ys.spans.size()),
                       ys.regular,
                       ys.items_begin,
                       ys.table.second_weight(),
                       ys.bend_pixels};
  const auto encode_strip = active_kernels().encode_strip;
  const auto list_positions = active_kernels().list_positions;
  const auto height = static_cast<std::uint32_t>(ys.spans.back().end);
  reserve_positions(1);  // the item before the first change must not equal any position
  positions_[0] = std::numeric_limits<std::uint32_t>::max();
  std::size_t count = 1;
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
    const ColumnChanges* changes_end =
        encode_strip({left_.items.data(), right_.items.data(), left_.sides.data(),
                      right_.sides.data(), xs.table.second_weight() + strip.begin, columns},
                     rows, limit, changes_.data());
    HPIP_DCHECK(changes_end - changes_.data(), <, static_cast<std::ptrdiff_t>(changes_.size()));
    reserve_positions(count + columns * static_cast<std::size_t>(changes_end - changes_.data()) +
                      1);
    const std::uint32_t* positions_end = list_positions(
        changes_.data(), changes_end, columns, static_cast<std::uint32_t>(strip.begin) * height,
        height, positions_.data() + count);
    count = static_cast<std::size_t>(positions_end - positions_.data());
    HPIP_DCHECK(count, <=, positions_.size());
  }
  return finish(count, static_cast<std::uint32_t>(xs.spans.back().end) * height);
}

std::string MaskEncoder::finish(std::size_t count, std::uint32_t pixels) {
  reserve_positions(count + 1);
  std::uint32_t previous = 0;
  for (std::size_t i = 1; i < count; ++i) {
    previous = std::exchange(positions_[i], positions_[i] - previous);
  }
  if (previous < pixels) {
    positions_[count++] = pixels - previous;
  }
  return rle_to_string(positions_.data() + 1, count - 1);
}

}  // namespace hpip
