// SPDX-License-Identifier: Apache-2.0
#include "ops/column_runs.h"

#include <array>
#include <cstddef>

#include "hpip/rle.h"

namespace hpip {

void ColumnRuns::end_block(std::int64_t first_column) {
  std::array<std::uint32_t, 65> next{};
  for (const std::uint64_t event : events_) {
    ++next[(event >> 32) + 1];
  }
  for (std::size_t column = 1; column < next.size(); ++column) {
    next[column] += next[column - 1];
  }
  const std::size_t before = positions_.size();
  positions_.resize(before + events_.size());
  for (const std::uint64_t event : events_) {
    const auto column = static_cast<std::int64_t>(event >> 32);
    const auto y = static_cast<std::int64_t>(event & 0xFFFFFFFF);
    positions_[before + next[static_cast<std::size_t>(column)]++] =
        static_cast<std::uint32_t>((first_column + column) * height_ + y);
  }
  events_.clear();
}

std::string ColumnRuns::finish(std::int64_t width) {
  const auto pixel_count = static_cast<std::uint32_t>(width * height_);
  Runs runs;
  runs.reserve(positions_.size() + 1);
  std::uint32_t previous = 0;
  for (std::size_t i = 0; i < positions_.size(); ++i) {
    if (i + 1 < positions_.size() && positions_[i] == positions_[i + 1]) {
      ++i;
      continue;
    }
    runs.push_back(positions_[i] - previous);
    previous = positions_[i];
  }
  if (previous < pixel_count || runs.empty()) {
    runs.push_back(pixel_count - previous);
  }
  return rle_to_string(runs);
}

}  // namespace hpip
