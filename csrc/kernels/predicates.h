// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <limits>
#include <type_traits>

#include "hpip/mask_ops.h"

namespace hpip::kernels {

template <typename T>
struct NonZero {
  bool operator()(T value) const noexcept { return value != T{0}; }
};

// Both are false for NaN.
template <typename T>
struct Above {
  T limit;
  bool operator()(T value) const noexcept { return value > limit; }
};

template <typename T>
struct AtLeast {
  T limit;
  bool operator()(T value) const noexcept { return value >= limit; }
};

// Calls visitor(predicate) with the comparison on T that is equivalent to `threshold`.
template <typename T, typename Visitor>
auto visit_threshold(const Threshold& threshold, Visitor&& visitor) {
  if constexpr (std::is_floating_point_v<T>) {
    const T limit = static_cast<T>(threshold.value);
    return threshold.inclusive ? visitor(AtLeast<T>{limit}) : visitor(Above<T>{limit});
  } else {
    using Limits = std::numeric_limits<T>;
    const double lowest =
        threshold.inclusive ? std::ceil(threshold.value) : std::floor(threshold.value) + 1;
    if (lowest >= std::ldexp(1.0, Limits::digits)) {  // above every T: 2^digits is max + 1
      return visitor(Above<T>{Limits::max()});
    }
    const bool below_all = lowest <= static_cast<double>(Limits::min());
    return visitor(AtLeast<T>{below_all ? Limits::min() : static_cast<T>(lowest)});
  }
}

}  // namespace hpip::kernels
