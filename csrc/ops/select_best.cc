// SPDX-License-Identifier: Apache-2.0
#include "ops/select_best.h"

#include <algorithm>
#include <utility>

#include "hpip/dcheck.h"

namespace hpip {
namespace {

bool is_better(const ScoredIndex& a, const ScoredIndex& b) { return a.score > b.score; }

// Swaps the median of three items with the first one.
void move_median_to_front(ScoredIndex* items, std::ptrdiff_t count) {
  ScoredIndex* a = items + 1;
  ScoredIndex* b = items + count / 2;
  ScoredIndex* c = items + count - 1;
  if (!is_better(*a, *b)) {
    std::swap(a, b);
  }
  // For ties, these comparisons select the same item as the library.
  ScoredIndex* median = b;
  if (!is_better(*b, *c)) {
    median = is_better(*a, *c) ? c : a;
  }
  std::swap(*items, *median);
}

constexpr std::ptrdiff_t kBlock = 128;

// Positions of the items to swap within a block; those before `next` have been swapped.
struct Misplaced {
  std::uint8_t places[kBlock];
  std::ptrdiff_t next = 0;
  std::ptrdiff_t count = 0;

  bool is_empty() const { return next == count; }
};

// Items of [first, first + kBlock) that are no better than the pivot, from the left.
void collect_left(const ScoredIndex* first, float pivot, Misplaced& misplaced) {
  std::ptrdiff_t count = 0;
  for (std::ptrdiff_t i = 0; i < kBlock; ++i) {
    misplaced.places[count] = static_cast<std::uint8_t>(i);
    count += static_cast<std::ptrdiff_t>(first[i].score <= pivot);
  }
  misplaced.next = 0;
  misplaced.count = count;
}

// Items of [last - kBlock, last) that are no worse than the pivot, from the right.
void collect_right(const ScoredIndex* last, float pivot, Misplaced& misplaced) {
  std::ptrdiff_t count = 0;
  for (std::ptrdiff_t i = 0; i < kBlock; ++i) {
    misplaced.places[count] = static_cast<std::uint8_t>(i);
    count += static_cast<std::ptrdiff_t>(last[-1 - i].score >= pivot);
  }
  misplaced.next = 0;
  misplaced.count = count;
}

// Moves items that are better than the pivot to the left, and returns the start of the others. The
// range must contain an item that is no better and one that is no worse than the pivot.
ScoredIndex* partition(ScoredIndex* first, ScoredIndex* last, float pivot) {
  Misplaced left;
  Misplaced right;
  while (last - first >= 2 * kBlock) {
    if (left.is_empty()) {
      collect_left(first, pivot, left);
    }
    if (right.is_empty()) {
      collect_right(last, pivot, right);
    }
    while (!left.is_empty() && !right.is_empty()) {
      std::swap(first[left.places[left.next++]], last[-1 - right.places[right.next++]]);
    }
    first += left.is_empty() ? kBlock : 0;
    last -= right.is_empty() ? kBlock : 0;
  }
  // Skips the processed items before the next misplaced one, because ties must not be processed
  // twice.
  first += left.is_empty() ? 0 : left.places[left.next];
  last -= right.is_empty() ? 0 : right.places[right.next];
  while (true) {
    while (first->score > pivot) {
      ++first;
    }
    --last;
    while (pivot > last->score) {
      --last;
    }
    if (first >= last) {
      return first;
    }
    std::swap(*first++, *last);
  }
}

// Moves each item back to the position that its index says.
void restore_order(ScoredIndex* items, std::ptrdiff_t count) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    while (items[i].index != i) {
      std::swap(items[i], items[items[i].index]);
    }
  }
}

}  // namespace

void select_best(ScoredIndex* items, std::ptrdiff_t count, std::ptrdiff_t best) {
  HPIP_DCHECK(best, >, 0);
  HPIP_DCHECK(best, <, count);
  // As many as the library makes before it changes to a heap. Maps whose scores rise and fall
  // smoothly need more.
  std::ptrdiff_t partitions = 0;
  for (std::ptrdiff_t length = count; length > 1; length /= 2) {
    partitions += 2;
  }
  // The library sorts ranges of up to this many.
  constexpr std::ptrdiff_t kSmallRange = 3;
  ScoredIndex* first = items;
  ScoredIndex* last = items + count;
  ScoredIndex* const nth = items + best;
  while (last - first > kSmallRange) {
    if (partitions-- == 0) {
      restore_order(items, count);
      first = items;
      last = items + count;
      break;
    }
    move_median_to_front(first, last - first);
    ScoredIndex* const cut = partition(first + 1, last, first->score);
    (cut <= nth ? first : last) = cut;
  }
  std::nth_element(first, nth, last, is_better);
}

}  // namespace hpip
