// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hpip/dcheck.h"
#include "hpip/rle.h"

namespace hpip {

// Collects a mask's runs, column by column from the left. Each column starts and ends with
// background: if its last pixel is foreground, there is a change after it, which the first change
// of the next column may cancel.
class ColumnRuns {
 public:
  explicit ColumnRuns(std::int64_t height) : height_(height) {}

  // Adds a column that changes at the rows [rows, end), ascending and even in number.
  void add_column(const std::uint32_t* rows, const std::uint32_t* end) {
    HPIP_DCHECK((end - rows) % 2, ==, 0);
    if (ends_in_foreground_) {
      if (rows != end && *rows == 0) {
        ++rows;
      } else {
        add(first_position_);
      }
      ends_in_foreground_ = false;
    }
    for (; rows != end; ++rows) {
      HPIP_DCHECK(*rows, <=, height_);
      if (*rows == static_cast<std::uint32_t>(height_)) {
        ends_in_foreground_ = true;
        break;
      }
      add(first_position_ + *rows);
    }
    first_position_ += static_cast<std::uint32_t>(height_);
  }

  // Appends the columns of another part of the mask, to the right of this part.
  void append(const ColumnRuns& other);

  // Encodes all columns as COCO's compressed string.
  std::string finish();

 private:
  void add(std::uint32_t position) {
    HPIP_DCHECK(position, >=, previous_);
    runs_.push_back(position - previous_);
    previous_ = position;
  }

  std::int64_t height_;
  std::uint32_t first_position_ = 0;  // first position of the next column
  std::uint32_t previous_ = 0;        // end of the last run
  bool ends_in_foreground_ = false;
  Runs runs_;
};

}  // namespace hpip
