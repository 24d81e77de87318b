// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Replaces each of `count` pixels of three channels by levels[channel * 256 + value].
inline void map_levels(const std::uint8_t* levels, std::size_t count,
                       std::uint8_t* pixels) noexcept {
  for (std::size_t i = 0; i < 3 * count; i += 3) {
    pixels[i] = levels[pixels[i]];
    pixels[i + 1] = levels[256 + pixels[i + 1]];
    pixels[i + 2] = levels[512 + pixels[i + 2]];
  }
}

}  // namespace hpip::HPIP_TARGET
