// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

// The size of the planes that filter_taps_* write is a multiple of this: the number of 16-bit
// values in the widest vector. The kernels may read this many bytes from the start of a target
// pixel's taps.
inline constexpr std::ptrdiff_t kTapBlock = 32;
inline constexpr std::ptrdiff_t kTapBytes = 128;

// The weight 1 in OpenCV's 11-bit fixed-point format: the two linear weights of a target pixel are
// at least 0, and their sum is at most this.
inline constexpr std::int32_t kLinearWeightOne = 2048;

}  // namespace hpip
