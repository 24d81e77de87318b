// SPDX-License-Identifier: Apache-2.0
#include "ops/column_runs.h"

namespace hpip {

void ColumnRuns::append(const ColumnRuns& other) {
  std::uint32_t position = first_position_;
  std::size_t i = 0;
  if (ends_in_foreground_) {
    if (!other.runs_.empty() && other.runs_[0] == 0) {
      i = 1;
    } else {
      add(first_position_);
    }
  }
  for (; i < other.runs_.size(); ++i) {
    position += other.runs_[i];
    add(position);
  }
  first_position_ += other.first_position_;
  ends_in_foreground_ = other.ends_in_foreground_;
}

std::string ColumnRuns::finish() {
  if (previous_ < first_position_ || runs_.empty()) {
    runs_.push_back(first_position_ - previous_);
  }
  return rle_to_string(runs_);
}

}  // namespace hpip
