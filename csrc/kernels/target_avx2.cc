// SPDX-License-Identifier: Apache-2.0
// The kernels that are faster with AVX2. CMakeLists.txt has the compiler flags.
#define HPIP_TARGET avx2

#include "kernels/kernel_table.h"
#include "kernels/widen_row_inl.h"

namespace hpip {

KernelTable avx2_kernels() {
  KernelTable table = scalar_kernels();
  table.isa = Isa::kAvx2;
  table.widen_row = avx2::widen_row;
  return table;
}

}  // namespace hpip
