// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/axis_taps.h"
#include "kernels/lanes_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Bit i is set if tap i uses other items than tap i + 1, for 1 to 64 taps. Reads up to kTapPadding
// further taps.
inline std::uint64_t span_ends(const AxisTaps& taps, std::size_t count) noexcept {
  HPIP_DCHECK(count, >=, 1U);
  HPIP_DCHECK(count, <=, 64U);
  std::uint64_t ends = 0;
  for (std::size_t i = 0; i < count; i += kLanes) {
    const IntLanes same = (load_lanes(taps.first + i) == load_lanes(taps.first + i + 1)) &
                          (load_lanes(taps.second + i) == load_lanes(taps.second + i + 1));
    ends |= lane_bits(~same) << i;
  }
  return ends & ~std::uint64_t{0} >> (64 - count);
}

}  // namespace hpip::HPIP_TARGET
