// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <numeric>
#include <vector>

#include "hpip/check.h"
#include "hpip/detection_ops.h"
#include "hpip/parallel.h"
#include "kernels/decode_anchor_inl.h"
#include "ops/select_best.h"
#include "ops/sort_keys.h"
#include "ops/suppress_boxes.h"

namespace hpip {
namespace {

// Not initialised, because there are hundreds of thousands of items.
struct ScoredAnchors {
  std::ptrdiff_t count;
  std::unique_ptr<ScoredIndex[]> items;  // indices are in the order of the anchors, cell by cell
};

ScoredAnchors scores_by_cell(const ProposalLevel& level, const float* scores) {
  ScoredAnchors anchors{
      level.count(),
      std::unique_ptr<ScoredIndex[]>(new ScoredIndex[static_cast<std::size_t>(level.count())])};
  int not_numbers = 0;
  for (std::ptrdiff_t anchor = 0; anchor < level.anchors_per_cell; ++anchor) {
    ScoredIndex* item = anchors.items.get() + anchor;
    auto index = static_cast<std::int32_t>(anchor);
    for (std::ptrdiff_t cell = 0; cell < level.cells(); ++cell) {
      const float score = *scores++;
      not_numbers |= static_cast<int>(std::isnan(score));
      *item = {score, index};
      item += level.anchors_per_cell;
      index += static_cast<std::int32_t>(level.anchors_per_cell);
    }
  }
  if (not_numbers != 0) {
    const float* first = scores - level.count();
    const std::ptrdiff_t at =
        std::find_if(first, scores, [](float s) { return std::isnan(s); }) - first;
    throw InvalidInput(concat("scores: expected numbers, received NaN for anchor ",
                              at / level.cells(), " of cell ", at % level.cells()));
  }
  return anchors;
}

// Returns the anchors to decode in descending order of the scores. The best thousand of 193,536
// scores often contain ties, and Paddle's order of ties is that of the C++ library's unstable
// algorithms on this exact sequence. Items contain their score, because a lookup takes longer.
std::vector<ScoredIndex> top_anchors(const ProposalLevel& level, const float* scores,
                                     int pre_nms_top_n) {
  const ScoredAnchors anchors = scores_by_cell(level, scores);
  ScoredIndex* items = anchors.items.get();
  std::ptrdiff_t count = anchors.count;
  if (pre_nms_top_n <= 0 || pre_nms_top_n >= count) {
    std::sort(items, items + count,
              [](const ScoredIndex& a, const ScoredIndex& b) { return a.score > b.score; });
  } else {
    count = pre_nms_top_n;
    select_best(items, anchors.count, count);
  }
  // Suppression processes the last one of equal scores first.
  std::vector<std::uint64_t> keys;
  keys.reserve(static_cast<std::size_t>(count));
  for (std::ptrdiff_t i = count - 1; i >= 0; --i) {
    keys.push_back(score_key(items[i].score, static_cast<std::uint32_t>(count - 1 - i)));
  }
  sort_keys(keys);
  std::vector<ScoredIndex> best;
  best.reserve(keys.size());
  for (const std::uint64_t key : keys) {
    best.push_back(items[count - 1 - static_cast<std::ptrdiff_t>(number_of(key))]);
  }
  return best;
}

// Decodes the selected anchors of one image, and removes boxes that are too small.
Proposals decode(const ProposalLevel& level, std::ptrdiff_t image,
                 const std::vector<ScoredIndex>& chosen, const kernels::ProposalBounds& bounds) {
  const float* deltas = level.deltas + 4 * image * level.count();
  Proposals decoded;
  for (const ScoredIndex& item : chosen) {
    const std::ptrdiff_t anchor = item.index % level.anchors_per_cell;
    const std::ptrdiff_t cell = item.index / level.anchors_per_cell;
    float delta[4];
    for (std::ptrdiff_t i = 0; i < 4; ++i) {
      delta[i] = deltas[(4 * anchor + i) * level.cells() + cell];
    }
    const std::ptrdiff_t row = 4 * static_cast<std::ptrdiff_t>(item.index);
    float box[4];
    kernels::decode_anchor(level.anchors + row, delta,
                           level.variances == nullptr ? nullptr : level.variances + row, bounds,
                           box);
    HPIP_REQUIRE(std::none_of(box, box + 4, [](float value) { return std::isnan(value); }),
                 "bbox_deltas: expected numbers that decode to a finite box, received (", delta[0],
                 ", ", delta[1], ", ", delta[2], ", ", delta[3], ") for anchor ", anchor,
                 " of cell ", cell);
    if (kernels::is_proposal(box, bounds)) {
      decoded.boxes_xyxy.insert(decoded.boxes_xyxy.end(), box, box + 4);
      decoded.scores.push_back(item.score);
    }
  }
  return decoded;
}

Proposals propose(const ProposalLevel& level, std::ptrdiff_t image, const float* image_hw,
                  const ProposalRules& rules) {
  const std::vector<ScoredIndex> chosen =
      top_anchors(level, level.scores + image * level.count(), rules.pre_nms_top_n);
  const Proposals decoded = decode(
      level, image, chosen,
      {image_hw[0], image_hw[1], std::max(rules.min_size, 1.0F), rules.pixel_offset ? 1.0F : 0.0F});
  if (decoded.scores.empty()) {
    return {{0.0F, 0.0F, 0.0F, 0.0F}, {0.0F}};
  }
  std::vector<std::ptrdiff_t> order(decoded.scores.size());
  std::iota(order.begin(), order.end(), std::ptrdiff_t{0});
  const std::ptrdiff_t most = rules.post_nms_top_n > 0 ? rules.post_nms_top_n : -1;
  Proposals kept;
  for (const std::size_t i :
       suppress_boxes(decoded.boxes_xyxy.data(), 4, order,
                      {rules.nms_threshold, rules.eta, rules.pixel_offset, most})) {
    const float* box = decoded.boxes_xyxy.data() + 4 * i;
    kept.boxes_xyxy.insert(kept.boxes_xyxy.end(), box, box + 4);
    kept.scores.push_back(decoded.scores[i]);
  }
  return kept;
}

void require_arguments(const std::vector<ProposalLevel>& levels, std::ptrdiff_t batch,
                       const float* image_hw, const ProposalRules& rules) {
  for (const ProposalLevel& level : levels) {
    HPIP_REQUIRE(level.count() <= std::numeric_limits<std::int32_t>::max(),
                 "scores: expected fewer than 2^31 anchors, received ", level.count());
  }
  HPIP_REQUIRE(std::isfinite(rules.nms_threshold) && rules.nms_threshold > 0.0F,
               "nms_threshold: expected a finite number above 0, received ", rules.nms_threshold);
  HPIP_REQUIRE(!std::isnan(rules.min_size), "min_size: expected a number, received NaN");
  HPIP_REQUIRE(rules.eta > 0.0F, "eta: expected a number above 0, received ", rules.eta);
  for (std::ptrdiff_t i = 0; i < 2 * batch; ++i) {
    HPIP_REQUIRE(std::isfinite(image_hw[i]) && image_hw[i] > 0.0F, "image_hw[", i / 2,
                 "]: expected a finite height and width above 0, received ", image_hw[i]);
  }
}

}  // namespace

std::vector<Proposals> generate_proposals(const std::vector<ProposalLevel>& levels,
                                          std::ptrdiff_t batch, const float* image_hw,
                                          const ProposalRules& rules, int threads) {
  require_arguments(levels, batch, image_hw, rules);
  std::vector<Proposals> proposals(levels.size() * static_cast<std::size_t>(batch));
  parallel_for(static_cast<std::ptrdiff_t>(proposals.size()), 1, threads,
               [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                 for (std::ptrdiff_t i = begin; i < end; ++i) {
                   const std::ptrdiff_t image = i % batch;
                   proposals[static_cast<std::size_t>(i)] =
                       propose(levels[static_cast<std::size_t>(i / batch)], image,
                               image_hw + 2 * image, rules);
                 }
               });
  return proposals;
}

}  // namespace hpip
