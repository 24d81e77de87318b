// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace hpip {

// A key whose ascending order is descending order of the scores, and ascending order of the numbers
// for equal scores; -0 equals +0. The score must not be NaN.
std::uint64_t score_key(float score, std::uint32_t number);

// The number in a key.
inline std::uint32_t number_of(std::uint64_t key) { return static_cast<std::uint32_t>(key); }

// Sorts keys whose numbers ascend. Same result as std::sort, in a fifth of its time for at least a
// hundred keys.
void sort_keys(std::vector<std::uint64_t>& keys);

}  // namespace hpip
