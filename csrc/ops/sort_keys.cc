// SPDX-License-Identifier: Apache-2.0
#include "ops/sort_keys.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "hpip/dcheck.h"

namespace hpip {
namespace {

constexpr std::size_t kDigits = 4;  // bytes of a score
constexpr std::size_t kValues = 256;

std::size_t digit_of(std::uint64_t key, std::size_t digit) {
  return key >> (32 + 8 * digit) & (kValues - 1);
}

}  // namespace

std::uint64_t score_key(float score, std::uint32_t number) {
  HPIP_DCHECK(score, ==, score);     // not NaN
  const float value = score + 0.0F;  // converts -0 to +0
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  const std::uint32_t descending = (bits >> 31U) != 0 ? bits : ~bits & 0x7FFFFFFFU;
  return std::uint64_t{descending} << 32U | number;
}

// Radix sort by the bytes of the score, the lowest first. Each pass is stable, which preserves the
// order of the numbers. In a comparison sort, half of the branches would be mispredicted.
void sort_keys(std::vector<std::uint64_t>& keys) {
  constexpr std::size_t kFewKeys = 100;
  if (keys.size() < kFewKeys) {
    std::sort(keys.begin(), keys.end());
    return;
  }
  std::array<std::array<std::uint32_t, kValues>, kDigits> counts{};
  for (const std::uint64_t key : keys) {
    for (std::size_t digit = 0; digit < kDigits; ++digit) {
      ++counts[digit][digit_of(key, digit)];
    }
  }
  std::vector<std::uint64_t> sorted(keys.size());
  for (std::size_t digit = 0; digit < kDigits; ++digit) {
    std::array<std::uint32_t, kValues>& places = counts[digit];
    if (places[digit_of(keys[0], digit)] == keys.size()) {
      continue;
    }
    std::uint32_t next = 0;
    for (std::uint32_t& place : places) {
      const std::uint32_t count = place;
      place = next;
      next += count;
    }
    for (const std::uint64_t key : keys) {
      sorted[places[digit_of(key, digit)]++] = key;
    }
    keys.swap(sorted);
  }
}

}  // namespace hpip
