// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

struct ScoredIndex {
  float score;
  std::int32_t index;
};

// Sets items[0] to items[best - 1] to the same items in the same order as std::nth_element of
// libstdc++ for position `best` in descending order of the scores: Paddle's selection and order of
// ties depend on both. Requires 0 < best < count and
// items[i].index == i; no score may be NaN.
//
// The partition of libstdc++ swaps the first item that belongs to the right with the last one that
// belongs to the left, and so on; half of its branches are mispredicted. This function collects
// both kinds without branches, one block at a time, and swaps the same pairs: 193,536 scores take
// 0.36 ms instead of 1.6 ms (Zen 4).
void select_best(ScoredIndex* items, std::ptrdiff_t count, std::ptrdiff_t best);

}  // namespace hpip
