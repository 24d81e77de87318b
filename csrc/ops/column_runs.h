// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hpip {

// Positions, in column-major order, of pixels that differ from the one before, collected column by
// column: each column starts and ends with background, so that one that ends with foreground adds
// the position behind it, which the next column's first pixel then repeats.
class ColumnRuns {
 public:
  explicit ColumnRuns(std::int64_t height) : height_(height) {}

  // Change at row y of `column`, one of the next block of at most 64 columns. Rows of a column come
  // in ascending order, columns in any.
  void add(std::uint32_t column, std::uint32_t y) {
    events_.push_back(static_cast<std::uint64_t>(column) << 32 | y);
  }

  // Changes at row y of those columns whose bit is set.
  void add_changes(std::uint64_t columns, std::int64_t y) {
    for (; columns != 0; columns &= columns - 1) {
      add(static_cast<std::uint32_t>(__builtin_ctzll(columns)), static_cast<std::uint32_t>(y));
    }
  }

  // Ends a block whose column 0 is `first_column` of the mask.
  void end_block(std::int64_t first_column);

  // Adds the ended blocks of another part of the mask, to the right of all of ours.
  void append(const ColumnRuns& other) {
    positions_.insert(positions_.end(), other.positions_.begin(), other.positions_.end());
  }

  // COCO's string of a mask of `width` columns, all of whose blocks are ended.
  std::string finish(std::int64_t width);

 private:
  std::int64_t height_;
  std::vector<std::uint64_t> events_;
  std::vector<std::uint32_t> positions_;
};

}  // namespace hpip
