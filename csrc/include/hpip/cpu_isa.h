// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace hpip {

// Instruction sets that kernels are compiled for, narrow to wide. kAvx2 includes FMA, F16C, BMI and
// BMI2; kAvx512 is F, BW, DQ and VL on top. On AArch64 the compiler uses NEON in kScalar's code
// already, being part of the baseline there; kNeon adds what it can't find by itself.
enum class Isa { kScalar, kAvx2, kAvx512, kNeon };

// "scalar", "avx2", "avx512", "neon".
const char* isa_name(Isa isa);

// What this build and this processor can run, narrow to wide.
std::vector<Isa> supported_isas();

// The widest supported one, or the one named by the environment variable HPIP_FORCE_ISA. Decided at
// the first call. Throws InvalidInput when HPIP_FORCE_ISA names none that is supported.
Isa active_isa();

}  // namespace hpip
