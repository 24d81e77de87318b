// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip::kernels {

// Writes the ascending positions of values for which predicate(value) holds to `out` and returns
// how many; stops early, with -1, when fewer than 32 places are left of `capacity`.
//
// Few values pass, so 32 are first tested as one, without a branch for each.
template <typename Predicate>
std::ptrdiff_t collect_where(const float* values, std::ptrdiff_t count, Predicate predicate,
                             std::int32_t* out, std::ptrdiff_t capacity) noexcept {
  constexpr std::ptrdiff_t kBlock = 32;
  std::ptrdiff_t found = 0;
  for (std::ptrdiff_t begin = 0; begin < count; begin += kBlock) {
    const std::ptrdiff_t end = begin + kBlock < count ? begin + kBlock : count;
    if (end - begin == kBlock) {
      int any = 0;
      for (std::ptrdiff_t i = begin; i < begin + kBlock; ++i) {
        any |= static_cast<int>(predicate(values[i]));
      }
      if (any == 0) {
        continue;
      }
    }
    if (capacity - found < kBlock) {
      return -1;
    }
    for (std::ptrdiff_t i = begin; i < end; ++i) {
      out[found] = static_cast<std::int32_t>(i);
      found += static_cast<std::ptrdiff_t>(predicate(values[i]));
    }
  }
  return found;
}

}  // namespace hpip::kernels
