// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/cpu_isa.h"

namespace hpip {

// The kernels that gain from an instruction set, one pointer each. What they do is said where the
// portable one is defined. A table starts as a copy of the next narrower one, so a kernel is
// written for an instruction set only where that was measured to be faster.
struct KernelTable {
  Isa isa = Isa::kScalar;

  // Preprocessing
  void (*widen_row)(const std::uint8_t* source, std::ptrdiff_t count, float* out) noexcept;
};

// Each may only be called where is_supported(isa), and exists only where it can be.
KernelTable scalar_kernels();
#if defined(__x86_64__)
KernelTable avx2_kernels();
KernelTable avx512_kernels();
#endif

// The table of active_isa().
const KernelTable& active_kernels();

}  // namespace hpip
