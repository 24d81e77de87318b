// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// a * b + c, rounded once: one instruction where the target has it, else the C library's function.
// Not emulated in double: GCC 12 at -O3 then drops the rounding between two of them (SSE2).
inline float multiply_add(float a, float b, float c) noexcept { return __builtin_fmaf(a, b, c); }

}  // namespace hpip::HPIP_TARGET
