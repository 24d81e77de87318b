// SPDX-License-Identifier: Apache-2.0
// The kernels that need NEON intrinsics. Every AArch64 processor has NEON, which the compiler also
// uses for the portable kernels; these are the kernels that it can't vectorise.
#define HPIP_TARGET neon

#include "kernels/filter_taps_simd_inl.h"
#include "kernels/kernel_table.h"
#include "kernels/vector_neon.h"

namespace hpip {

KernelTable neon_kernels() {
  KernelTable table = scalar_kernels();
  table.isa = Isa::kNeon;
  table.filter_taps_u8 = neon::filter_taps_u8<neon::Vector>;
  table.filter_cubic_f32 = neon::filter_taps_f32<neon::Vector, 4, false>;
  table.pick_taps_f32 = neon::pick_taps_f32<neon::Vector>;
  table.filter_affine_linear_f32 = neon::filter_taps_f32<neon::Vector, 2, true>;
  table.filter_affine_cubic_f32 = neon::filter_taps_f32<neon::Vector, 4, true>;
  return table;
}

}  // namespace hpip
