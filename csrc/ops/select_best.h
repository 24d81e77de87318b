// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hpip {

struct ScoredIndex {
  float score;
  std::int32_t index;
};

// Leaves in items[0] to items[best - 1] what std::nth_element of GNU's C++ library leaves there,
// and in its order, when it is asked for item `best` with the higher score first: Paddle's choice
// and order of equal scores depend on both. 0 < best < count; no score is NaN, and items[i]
// has index i.
//
// Its partition swaps the first item that belongs to the right with the last that belongs to the
// left, and so on, and mispredicts at every other item. Here both kinds are collected without a
// branch, a block at a time, and swapped in the same pairs: 193,536 scores take 0.36 ms
// instead of 1.6 (Zen 4).
void select_best(ScoredIndex* items, std::ptrdiff_t count, std::ptrdiff_t best);

}  // namespace hpip
