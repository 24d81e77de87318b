// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "kernels/narrow_row_f16_inl.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// narrow_row_f16 with the processor's conversion instruction, eight values at a time.
inline void narrow_row_f16_f16c(const float* values, std::ptrdiff_t count,
                                std::uint16_t* out) noexcept {
  std::ptrdiff_t i = 0;
  for (; i + 8 <= count; i += 8) {
    const __m128i halves =
        _mm256_cvtps_ph(_mm256_loadu_ps(values + i), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + i), halves);
  }
  narrow_row_f16(values + i, count - i, out + i);
}

}  // namespace hpip::HPIP_TARGET
