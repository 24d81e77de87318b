// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hpip/dcheck.h"
#include "kernels/axis_taps.h"
#include "kernels/cell.h"

namespace hpip {

// Memory for the taps of an axis; weights are readable up to kCellReadAhead items beyond the last
// one.
class AxisTable {
 public:
  std::size_t size() const { return count_; }
  const std::int32_t* first() const { return first_.data(); }
  const std::int32_t* second() const { return second_.data(); }
  const float* second_weight() const { return second_weight_.data(); }

  // The taps from pixel `begin` on.
  AxisTaps taps(std::size_t begin) const {
    HPIP_DCHECK(begin, <=, count_);
    return {first() + begin, second() + begin, second_weight() + begin};
  }

  // Resizes the table; the caller writes the taps to the returned pointers.
  MutableAxisTaps resize(std::size_t count) {
    static_assert(kCellReadAhead <= kTapPadding, "kernels must not read unwritten items");
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
