// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cell_inl.h"
#include "kernels/strip.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// The columns of a strip on their way down.
class StripWalker {
 public:
  StripWalker(const Strip& strip, const StripRows& rows, float limit,
              ColumnChanges* changes) noexcept
      : strip_(strip), rows_(rows), limit_(limit), changes_(changes) {
    for (std::size_t x = 0; x < strip.columns; ++x) {
      changes->ends[x] = changes->rows + static_cast<std::ptrdiff_t>(x) * changes->capacity;
    }
  }

  // From row y on, bit x of `state` tells whether pixels of column x are foreground.
  void set_state(std::uint64_t state, std::ptrdiff_t y) noexcept {
    for (std::uint64_t rest = state_ ^ state; rest != 0; rest &= rest - 1) {
      add(static_cast<std::size_t>(__builtin_ctzll(rest)), y);
    }
    state_ = state;
  }

  void walk_cell(const SampleSpan& span) noexcept {
    const Cell cell{strip_.left[span.first], strip_.left[span.second], strip_.right[span.first],
                    strip_.right[span.second]};
    const CellRows rows{rows_.bottom_weights + span.begin, span.end - span.begin - 1,
                        rows_.bend_rows};
    // Not a number as soon as one of them is, or infinite.
    const float zero =
        (cell.top_left + cell.top_right + cell.bottom_left + cell.bottom_right) * 0.0F;
    if (rows.last == 0 || zero != 0.0F) {
      for (std::ptrdiff_t y = 0; y <= rows.last; ++y) {
        set_state(cell_row_bits(cell, strip_.right_weights, strip_.columns, rows.bottom_weights[y],
                                limit_),
                  span.begin + y);
      }
      return;
    }
    CellColumns found;
    cell_columns(cell, strip_.right_weights, strip_.columns, rows, limit_, &found);
    set_state(found.first, span.begin);
    const std::uint64_t crossing = found.first ^ found.last;
    for (std::uint64_t rest = crossing & ~found.sure; rest != 0; rest &= rest - 1) {
      const auto x = static_cast<std::size_t>(__builtin_ctzll(rest));
      found.crossings[x] = static_cast<std::int32_t>(
          search_crossing(cell, strip_.right_weights[x], rows, found.crossings[x],
                          (found.last >> x & 1) != 0, limit_));
    }
    for (std::uint64_t rest = crossing; rest != 0; rest &= rest - 1) {
      const auto x = static_cast<std::size_t>(__builtin_ctzll(rest));
      add(x, span.begin + found.crossings[x]);
    }
    state_ = found.last;
  }

 private:
  void add(std::size_t x, std::ptrdiff_t y) noexcept {
    *changes_->ends[x]++ = static_cast<std::uint32_t>(y);
  }

  const Strip& strip_;
  const StripRows& rows_;
  float limit_;
  ColumnChanges* changes_;
  std::uint64_t state_ = 0;
};

// Finds the changes of a strip's columns. Pixels between four source items form a cell, in which
// the values along a column lie on a straight line: a cell whose items are on one side of the limit
// is done with, in the others columns change at most once. Room is needed for two changes per span,
// or, where items are not finite, for one more than there are rows of pixels.
inline void encode_strip(const Strip& strip, const StripRows& rows, float limit,
                         ColumnChanges* changes) noexcept {
  StripWalker walker(strip, rows, limit, changes);
  const std::uint64_t all = ~std::uint64_t{0} >> (kCellColumns - strip.columns);
  for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
    const SampleSpan& span = rows.spans[i];
    const int side = strip.left_sides[span.first] & strip.left_sides[span.second] &
                     strip.right_sides[span.first] & strip.right_sides[span.second];
    if (side != 0) {
      walker.set_state(side == kAbove ? all : 0, span.begin);
    } else {
      walker.walk_cell(span);
    }
  }
  walker.set_state(0, rows.spans[rows.count - 1].end);
}

}  // namespace hpip::HPIP_TARGET
