// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "hpip/check.h"
#include "hpip/detection_ops.h"

namespace hpip {

std::vector<std::int64_t> top_scores(const float* scores, std::ptrdiff_t count,
                                     std::ptrdiff_t top_n) {
  using Item = std::pair<float, std::int64_t>;
  std::vector<Item> items(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < items.size(); ++i) {
    HPIP_REQUIRE(!std::isnan(scores[i]), "scores: expected numbers, received NaN at row ", i);
    items[i] = {scores[i], static_cast<std::int64_t>(i)};
  }
  if (count > top_n) {
    const auto comes_first = [](const Item& a, const Item& b) { return a.first > b.first; };
    // The same algorithms as in Paddle's topk, which determine the order of ties.
    const auto last = items.begin() + top_n;
    if (top_n * 64 < count) {
      std::partial_sort(items.begin(), last, items.end(), comes_first);
    } else {
      std::nth_element(items.begin(), last - 1, items.end(), comes_first);
      std::sort(items.begin(), last - 1, comes_first);
    }
    items.erase(last, items.end());
  }
  std::vector<std::int64_t> indices;
  indices.reserve(items.size());
  for (const Item& item : items) {
    indices.push_back(item.second);
  }
  return indices;
}

}  // namespace hpip
