// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hpip/dcheck.h"
#include "kernels/axis_taps.h"
#include "kernels/cell.h"

namespace hpip {

// Memory for the taps of an axis. Weights are readable up to kCellReadAhead items beyond the last.
class AxisTable {
 public:
  std::size_t size() const { return count_; }
  const std::int32_t* first() const { return first_.data(); }
  const std::int32_t* second() const { return second_.data(); }
  const float* second_weight() const { return second_weight_.data(); }

  // From pixel `begin` on.
  AxisTaps taps(std::size_t begin) const {
    HPIP_DCHECK(begin, <=, count_);
    return {first() + begin, second() + begin, second_weight() + begin};
  }

  // To be filled through what it returns.
  MutableAxisTaps resize(std::size_t count) {
    static_assert(kCellReadAhead <= kTapPadding, "what is read must have been written");
    count_ = count;
    first_.resize(count + kTapPadding);
    second_.resize(count + kTapPadding);
    second_weight_.resize(count + kTapPadding);
    return {first_.data(), second_.data(), second_weight_.data()};
  }

 private:
  std::size_t count_ = 0;
  std::vector<std::int32_t> first_;
  std::vector<std::int32_t> second_;
  std::vector<float> second_weight_;
};

}  // namespace hpip
