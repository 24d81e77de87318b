// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/lanes_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Writes the positions of values above the threshold to `out` in ascending order, and returns their
// number; `out` has room for `count`. Few values are above it, so 64 at a time are compared without
// branches first.
inline std::ptrdiff_t collect_above(const float* values, std::ptrdiff_t count, float limit,
                                    std::int32_t* out) noexcept {
  HPIP_DCHECK(count, >=, 0);
  HPIP_DCHECK(count, <=, std::ptrdiff_t{INT32_MAX});  // positions are 32 bits wide
  constexpr std::ptrdiff_t kBlock = 64;
  std::ptrdiff_t found = 0;
  std::ptrdiff_t begin = 0;
  for (; begin + kBlock <= count; begin += kBlock) {
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < kBlock; i += kLanes) {
      bits |= lane_bits(load_lanes(values + begin + i) > limit) << i;
    }
    for (; bits != 0; bits &= bits - 1) {
      out[found++] = static_cast<std::int32_t>(begin + __builtin_ctzll(bits));
    }
  }
  for (; begin < count; ++begin) {
    out[found] = static_cast<std::int32_t>(begin);
    found += static_cast<std::ptrdiff_t>(values[begin] > limit);
  }
  return found;
}

}  // namespace hpip::HPIP_TARGET
