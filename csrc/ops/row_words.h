// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hpip/rle.h"

namespace hpip {

// Converts column-major runs to rows: for each block of 64 columns, one word per row of a band, in
// which bit x is pixel x of the block. The cost is proportional to the number of runs and words.
class RowWords {
 public:
  // Rows [first_row, end_row) of a mask of `height` rows. `runs` must outlive this.
  RowWords(const Runs& runs, std::int64_t height, std::int64_t first_row, std::int64_t end_row);

  // The words of the next block.
  const std::uint64_t* next();

 private:
  void mark(std::int64_t column, std::int64_t begin, std::int64_t end);

  const Runs& runs_;
  std::int64_t height_;
  std::int64_t first_row_;
  std::int64_t row_count_;
  std::int64_t first_column_ = 0;
  // The current foreground run; positions before begin_ have been processed.
  std::size_t next_run_ = 0;
  std::int64_t begin_ = 0;
  std::int64_t end_ = 0;
  std::vector<std::uint64_t> words_;
};

}  // namespace hpip
