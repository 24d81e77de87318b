// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip::kernels {

// out[i] = predicate(in[i * stride]).
template <typename T, typename Predicate>
void threshold_row(const T* in, std::ptrdiff_t stride, std::size_t count, Predicate predicate,
                   std::uint8_t* out) noexcept {
  if (stride == 1) {  // a case of its own, which the compiler can vectorise
    for (std::size_t i = 0; i < count; ++i) {
      out[i] = predicate(in[i]) ? 1 : 0;
    }
    return;
  }
  for (std::size_t i = 0; i < count; ++i, in += stride) {
    out[i] = predicate(*in) ? 1 : 0;
  }
}

}  // namespace hpip::kernels
