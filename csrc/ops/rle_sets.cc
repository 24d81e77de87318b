// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include "hpip/rle.h"

namespace hpip {
namespace {

// Calls visit(length, in_a, in_b) for each interval in which neither mask changes; lengths may be
// 0.
template <typename Visitor>
void for_each_stretch(const Runs& a, const Runs& b, Visitor&& visit) {
  std::size_t i = 0;
  std::size_t j = 0;
  std::uint32_t rest_a = a.empty() ? 0 : a[0];
  std::uint32_t rest_b = b.empty() ? 0 : b[0];
  while (i < a.size() && j < b.size()) {
    const std::uint32_t length = std::min(rest_a, rest_b);
    visit(length, i % 2 == 1, j % 2 == 1);
    rest_a -= length;
    rest_b -= length;
    if (rest_a == 0 && ++i < a.size()) {
      rest_a = a[i];
    }
    if (rest_b == 0 && ++j < b.size()) {
      rest_b = b[j];
    }
  }
}

// Collects intervals as runs, without empty runs.
class StretchJoiner {
 public:
  void add(std::uint32_t length, bool is_foreground) {
    if (length == 0) {
      return;
    }
    if (is_foreground == (runs_.size() % 2 == 0)) {
      runs_.back() += length;
    } else {
      runs_.push_back(length);
    }
  }

  Runs finish() && { return std::move(runs_); }

 private:
  Runs runs_{0};
};

template <typename Combine>
Runs combined(const Runs& a, const Runs& b, Combine&& combine) {
  StretchJoiner joiner;
  for_each_stretch(a, b, [&](std::uint32_t length, bool in_a, bool in_b) {
    joiner.add(length, combine(in_a, in_b));
  });
  return std::move(joiner).finish();
}

}  // namespace

Runs unite_runs(const Runs& a, const Runs& b) {
  return combined(a, b, [](bool in_a, bool in_b) { return in_a || in_b; });
}

Runs intersect_runs(const Runs& a, const Runs& b) {
  return combined(a, b, [](bool in_a, bool in_b) { return in_a && in_b; });
}

std::uint64_t shared_area(const Runs& a, const Runs& b) {
  std::uint64_t area = 0;
  for_each_stretch(
      a, b, [&](std::uint32_t length, bool in_a, bool in_b) { area += in_a && in_b ? length : 0; });
  return area;
}

}  // namespace hpip
