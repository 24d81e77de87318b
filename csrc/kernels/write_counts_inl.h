// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/dcheck.h"
#include "kernels/target.h"

namespace hpip::HPIP_TARGET {

// Maximum number of characters per number: 33 bits and a sign fit into 7 groups of 5 bits.
inline constexpr std::size_t kMostGroups = 7;

// The lowest byte comes first.
inline void store_characters(std::uint32_t characters, char* text) noexcept {
  for (int i = 0; i < 4; ++i) {
    text[i] = static_cast<char>(characters >> (8 * i));
  }
}

// Writes the number and returns the end of its output; up to kMostGroups characters beyond it may
// be overwritten. Most numbers of a mask have one or two groups, which is unpredictable: four
// groups are always computed, so that no branch is mispredicted.
inline char* write_number(std::int64_t number, char* text) noexcept {
  HPIP_DCHECK(number, <, std::int64_t{1} << 33);
  HPIP_DCHECK(number, >=, -(std::int64_t{1} << 33));
  // The characters of the number's four lowest groups, and the bits for "another group follows".
  constexpr std::uint32_t kZeros = 0x30303030U;
  constexpr std::uint32_t kMore[5] = {0, 0, 0x20U, 0x2020U, 0x202020U};
  const auto magnitude = static_cast<std::uint64_t>(number ^ (number >> 63));
  const auto bits = static_cast<std::uint32_t>(64 - __builtin_clzll(magnitude << 1 | 1));
  const std::uint32_t groups = (bits + 4) / 5;  // the sign requires one bit
  const auto low = static_cast<std::uint32_t>(number);
  const std::uint32_t spread =
      (low & 0x1FU) | (low & 0x3E0U) << 3 | (low & 0x7C00U) << 6 | (low & 0xF8000U) << 9;
  if (groups <= 4) {
    store_characters(spread + kZeros + kMore[groups], text);
    return text + groups;
  }
  store_characters(spread + kZeros + 0x20202020U, text);
  // Right shifts preserve the sign with every supported compiler, and by definition since C++20.
  for (std::uint32_t i = 4; i < groups; ++i) {
    const std::uint32_t more = i + 1 < groups ? 0x20U : 0;
    const std::uint32_t group = static_cast<std::uint32_t>(number >> (5 * i)) & 0x1FU;
    text[i] = static_cast<char>('0' + group + more);
  }
  return text + groups;
}

// Writes runs [begin, end) of `runs` as COCO does, from the fourth run on as the difference from
// the run two before, and returns the end of the output.
inline char* write_counts(const std::uint32_t* runs, std::size_t begin, std::size_t end,
                          char* text) noexcept {
  for (std::size_t i = begin; i < end; ++i) {
    const std::int64_t base = i > 2 ? runs[i - 2] : 0;
    text = write_number(runs[i] - base, text);
  }
  return text;
}

}  // namespace hpip::HPIP_TARGET
