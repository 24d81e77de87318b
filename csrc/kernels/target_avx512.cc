// SPDX-License-Identifier: Apache-2.0
// The kernels that are faster with AVX-512. CMakeLists.txt has the compiler flags.
#define HPIP_TARGET avx512

#include "kernels/kernel_table.h"
#include "kernels/widen_row_inl.h"

namespace hpip {

KernelTable avx512_kernels() {
  KernelTable table = avx2_kernels();
  table.isa = Isa::kAvx512;
  table.widen_row = avx512::widen_row;
  return table;
}

}  // namespace hpip
