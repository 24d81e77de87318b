// SPDX-License-Identifier: Apache-2.0
// The portable kernels: the reference for all others, compiled for the oldest processor of the
// architecture.
#include "kernels/kernel_table.h"
#include "kernels/widen_row_inl.h"

namespace hpip {

KernelTable scalar_kernels() {
  KernelTable table{};
  table.isa = Isa::kScalar;
  table.widen_row = kernels::widen_row;
  return table;
}

}  // namespace hpip
