// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/cell_inl.h"
#include "kernels/strip.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// The state of a strip's columns during the pass from top to bottom. How many columns change in a
// cell, and whether any changes between two cells, is unpredictable, so the common path has no
// branch that depends on it.
class StripWalker {
 public:
  StripWalker(const Strip& strip, const StripRows& rows, float limit,
              ColumnChanges* changes) noexcept
      : strip_(strip),
        rows_(rows),
        limit_(limit),
        all_(~std::uint64_t{0} >> (kCellColumns - strip.columns)),
        end_(changes) {}

  ColumnChanges* end() const noexcept { return end_; }

  // From row y on, all columns are foreground, or all are background.
  void set_side(bool is_above, std::ptrdiff_t y) noexcept { set_state(is_above ? all_ : 0, y); }

  void walk_cell(const SampleSpan& span) noexcept {
    HPIP_DCHECK(span.begin, <, span.end);
    const Cell cell{strip_.left[span.first], strip_.left[span.second], strip_.right[span.first],
                    strip_.right[span.second]};
    const CellRows rows{rows_.bottom_weights + span.begin, span.begin, span.end - span.begin - 1,
                        rows_.bend_rows};
    // NaN or infinite if one of the items is.
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
    const CellColumns found =
        cell_columns(cell, strip_.right_weights, strip_.columns, rows, limit_, end_->rows);
    const std::uint64_t crossing = found.first ^ found.last;
    for (std::uint64_t rest = crossing & ~found.sure; rest != 0; rest &= rest - 1) {
      const auto x = static_cast<std::size_t>(__builtin_ctzll(rest));
      end_->rows[x] = search_crossing(cell, strip_.right_weights[x], rows, end_->rows[x],
                                      (found.last >> x & 1) != 0, limit_);
    }
    const std::uint64_t twice = crossing & (state_ ^ found.first);
    if (twice != 0) {  // columns that change at the first row and back again
      end_[1] = end_[0];
      set_rows(span.begin);
      end_++->columns = twice;
    }
    push((state_ ^ found.last) | twice);
    state_ = found.last;
  }

 private:
  void set_state(std::uint64_t state, std::ptrdiff_t y) noexcept {
    set_rows(y);
    push(state_ ^ state);
    state_ = state;
  }

  void set_rows(std::ptrdiff_t y) noexcept {
    const IntLanes row = IntLanes{} + static_cast<std::int32_t>(y);
    for (std::size_t x = 0; x < strip_.columns; x += kLanes) {
      store_lanes(end_->rows + x, row);
    }
  }

  void push(std::uint64_t columns) noexcept {
    end_->columns = columns;
    end_ += columns != 0 ? 1 : 0;
  }

  const Strip& strip_;
  const StripRows& rows_;
  float limit_;
  std::uint64_t all_;
  ColumnChanges* end_;
  std::uint64_t state_ = 0;
};

// Writes the changes of a strip's columns, from background above the first row to background below
// the last one, and returns their end; the rows of a column ascend. The pixels between four source
// items form a cell, in which the values along a column lie on a straight line: cells whose items
// are all on one side of the threshold are skipped, and in the others each column changes at most
// once. The output needs room for two changes per span plus two; if the sum of a cell's items may
// not be finite, for one change per row of pixels plus two.
inline ColumnChanges* encode_strip(const Strip& strip, const StripRows& rows, float limit,
                                   ColumnChanges* changes) noexcept {
  HPIP_DCHECK(strip.columns, >=, 1U);
  HPIP_DCHECK(strip.columns, <=, kCellColumns);
  HPIP_DCHECK(rows.count, >=, 1);
  HPIP_DCHECK(rows.regular, >=, 0);
  HPIP_DCHECK(rows.regular, <=, rows.count);
  for (std::ptrdiff_t i = 0; i < rows.count; ++i) {
    HPIP_DCHECK(rows.spans[i].first, >=, rows.items_begin);
    HPIP_DCHECK(rows.spans[i].begin, ==, i == 0 ? 0 : rows.spans[i - 1].end);
  }
  for (std::ptrdiff_t i = rows.regular + 1; i < rows.count; ++i) {
    HPIP_DCHECK(rows.spans[i].first, ==, rows.spans[i - 1].first + 1);
  }
  StripWalker walker(strip, rows, limit, changes);
  const auto sides = [&](std::ptrdiff_t word) {
    return Sides{strip.left_sides[word].above & strip.right_sides[word].above,
                 strip.left_sides[word].below & strip.right_sides[word].below};
  };
  for (const SampleSpan* span = rows.spans; span != rows.spans + rows.regular; ++span) {
    const std::ptrdiff_t item = span->first - rows.items_begin;
    const Sides near = sides(item / kSidesItems);
    if (((near.above | near.below) >> item % kSidesItems & 1) == 0) {
      walker.walk_cell(*span);
    } else {
      walker.set_side((near.above >> item % kSidesItems & 1) != 0, span->begin);
    }
  }
  const SampleSpan* next = rows.spans + rows.regular;  // the first unprocessed span
  const SampleSpan* const end = rows.spans + rows.count;
  while (next != end) {
    const std::ptrdiff_t item = next->first - rows.items_begin;
    const std::ptrdiff_t bit = item % kSidesItems;
    const Sides near = sides(item / kSidesItems);
    const std::uint64_t above = near.above >> bit;
    const std::ptrdiff_t rest = end - next;
    const std::ptrdiff_t count = kSidesItems - bit < rest ? kSidesItems - bit : rest;
    std::uint64_t mixed = ~(above | near.below >> bit) & ~std::uint64_t{0} >> (64 - count);
    const SampleSpan* const begin = next;
    const SampleSpan* const word_end = next + count;
    for (; mixed != 0; mixed &= mixed - 1) {
      const SampleSpan* span = begin + __builtin_ctzll(mixed);
      if (next != span) {
        walker.set_side((above >> (next - begin) & 1) != 0, next->begin);
      }
      walker.walk_cell(*span);
      next = span + 1;
    }
    if (next != word_end) {
      walker.set_side((above >> (next - begin) & 1) != 0, next->begin);
      next = word_end;
    }
  }
  walker.set_side(false, end[-1].end);
  return walker.end();
}

}  // namespace hpip::HPIP_TARGET
