// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "hpip/exported.h"

namespace hpip HPIP_EXPORTED {

// Instruction sets that kernels are compiled for, in ascending order. kAvx2 includes FMA, F16C, BMI
// and BMI2; kAvx512 adds F, BW, DQ and VL. On AArch64, NEON is part of the baseline, so the
// compiler uses it in kScalar's code already; kNeon adds kernels with intrinsics.
enum class Isa { kScalar, kAvx2, kAvx512, kNeon };

// "scalar", "avx2", "avx512", "neon".
const char* isa_name(Isa isa);

// The instruction sets that both this build and this processor support, in ascending order.
std::vector<Isa> supported_isas();

// The highest supported instruction set, or the one in the environment variable HPIP_FORCE_ISA.
// Selected at the first call. Throws InvalidInput if the one in HPIP_FORCE_ISA is not supported.
Isa active_isa();

}  // namespace hpip HPIP_EXPORTED
