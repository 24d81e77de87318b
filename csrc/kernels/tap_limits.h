// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// Planes that filter_taps_* write hold a multiple of this many values: the widest vector's of 16
// bits. They may read this many bytes from where a target pixel's taps begin.
inline constexpr std::ptrdiff_t kTapBlock = 32;
inline constexpr std::ptrdiff_t kTapBytes = 128;

// The weight 1 in OpenCV's fixed point of 11 bits: the two linear weights of a target pixel are at
// least 0 and add up to at most this.
inline constexpr std::int32_t kLinearWeightOne = 2048;

}  // namespace hpip
