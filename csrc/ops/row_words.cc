// SPDX-License-Identifier: Apache-2.0
#include "ops/row_words.h"

#include <algorithm>

#include "hpip/dcheck.h"
#include "kernels/pack_columns_inl.h"

namespace hpip {

RowWords::RowWords(const Runs& runs, std::int64_t height, std::int64_t first_row,
                   std::int64_t end_row)
    : runs_(runs),
      height_(height),
      first_row_(first_row),
      row_count_(end_row - first_row),
      words_(static_cast<std::size_t>(row_count_ + 1)) {
  HPIP_DCHECK(first_row, >=, 0);
  HPIP_DCHECK(first_row, <=, end_row);
  HPIP_DCHECK(end_row, <=, height);
}

// Foreground rows [begin, end) of a column: a change at the first row, and one after the last.
void RowWords::mark(std::int64_t column, std::int64_t begin, std::int64_t end) {
  HPIP_DCHECK(column, >=, 0);
  HPIP_DCHECK(column, <, kernels::kWordColumns);
  begin = std::max<std::int64_t>(begin - first_row_, 0);
  end = std::min(end - first_row_, row_count_);
  if (begin < end) {
    const std::uint64_t bit = std::uint64_t{1} << column;
    words_[static_cast<std::size_t>(begin)] ^= bit;
    words_[static_cast<std::size_t>(end)] ^= bit;
  }
}

const std::uint64_t* RowWords::next() {
  std::fill(words_.begin(), words_.end(), 0);
  const std::int64_t block_end = (first_column_ + kernels::kWordColumns) * height_;
  while (true) {
    if (begin_ == end_) {
      if (next_run_ + 1 >= runs_.size()) {
        break;
      }
      begin_ = end_ + runs_[next_run_];
      end_ = begin_ + runs_[next_run_ + 1];
      next_run_ += 2;
    }
    if (begin_ >= block_end) {
      break;
    }
    const std::int64_t end = std::min(end_, block_end);
    std::int64_t column = begin_ / height_;
    for (std::int64_t y = begin_ - column * height_; begin_ < end; ++column, y = 0) {
      const std::int64_t stop = std::min(height_, y + end - begin_);
      mark(column - first_column_, y, stop);
      begin_ += stop - y;
    }
  }
  std::uint64_t row = 0;
  for (std::uint64_t& word : words_) {
    row ^= word;
    word = row;
  }
  first_column_ += kernels::kWordColumns;
  return words_.data();
}

}  // namespace hpip
