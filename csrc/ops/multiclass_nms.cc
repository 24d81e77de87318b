// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "hpip/check.h"
#include "hpip/detection_ops.h"
#include "hpip/parallel.h"
#include "kernels/kernel_table.h"
#include "ops/sort_keys.h"
#include "ops/suppress_boxes.h"

namespace hpip {
namespace {

using Form = ScoredBoxes::Form;

// Minimum number of candidates per thread: the start of a thread takes about 20 us.
constexpr std::ptrdiff_t kGrainCandidates = 512;

// Row numbers within an image.
using Rows = std::vector<std::int32_t>;

// The parts of the arrays that belong to one image.
struct ImageBoxes {
  Form form;
  const float* scores;
  const float* boxes_xyxy;
  std::ptrdiff_t classes;
  std::ptrdiff_t first_row;
  std::ptrdiff_t rows;

  float score(std::ptrdiff_t row, std::ptrdiff_t label) const {
    return form == Form::kShared ? scores[label * rows + row] : scores[row * classes + label];
  }
  std::ptrdiff_t box_stride() const { return form == Form::kShared ? 4 : 4 * classes; }
  const float* boxes_of(std::ptrdiff_t label) const {
    return form == Form::kShared ? boxes_xyxy : boxes_xyxy + 4 * label;
  }
};

ImageBoxes image_boxes(const ScoredBoxes& boxes, std::size_t image) {
  const std::ptrdiff_t first = boxes.first_rows[image];
  const std::ptrdiff_t stride = boxes.form == Form::kShared ? 4 : 4 * boxes.classes;
  return {boxes.form,
          boxes.scores + first * boxes.classes,
          boxes.boxes_xyxy + first * stride,
          boxes.classes,
          first,
          boxes.first_rows[image + 1] - first};
}

// Positions of the scores above the threshold.
std::vector<std::int32_t> passing_scores(const float* scores, std::ptrdiff_t count,
                                         float score_threshold) {
  // Not a vector, which would initialise memory that is mostly unused.
  const std::unique_ptr<std::int32_t[]> found(new std::int32_t[static_cast<std::size_t>(count)]);
  const std::ptrdiff_t length =
      active_kernels().collect_above(scores, count, score_threshold, found.get());
  return {found.get(), found.get() + length};
}

// For each class of one image, the rows with a score above the threshold, ascending.
std::vector<Rows> candidates_of(const ImageBoxes& image, const NmsRules& rules) {
  std::vector<Rows> candidates(static_cast<std::size_t>(image.classes));
  if (image.form == Form::kShared) {
    for (std::ptrdiff_t label = 0; label < image.classes; ++label) {
      candidates[static_cast<std::size_t>(label)] =
          passing_scores(image.scores + label * image.rows, image.rows, rules.score_threshold);
    }
    return candidates;
  }
  const auto classes = static_cast<std::int32_t>(image.classes);
  const Rows passing =
      passing_scores(image.scores, image.rows * image.classes, rules.score_threshold);
  std::vector<std::size_t> counts(candidates.size());
  for (const std::int32_t i : passing) {
    ++counts[static_cast<std::size_t>(i % classes)];
  }
  for (std::size_t label = 0; label < candidates.size(); ++label) {
    candidates[label].reserve(counts[label]);
  }
  for (const std::int32_t i : passing) {
    candidates[static_cast<std::size_t>(i % classes)].push_back(i / classes);
  }
  return candidates;
}

void require_boxes(const ImageBoxes& image, std::ptrdiff_t label,
                   const std::vector<std::ptrdiff_t>& rows) {
  for (const std::ptrdiff_t row : rows) {
    const float* box = image.boxes_of(label) + image.box_stride() * row;
    HPIP_REQUIRE(std::all_of(box, box + 4, [](float value) { return std::isfinite(value); }),
                 "boxes_xyxy: expected finite numbers, received (", box[0], ", ", box[1], ", ",
                 box[2], ", ", box[3], ") for box ", image.first_row + row, " of class ", label);
  }
}

// The rows with the highest scores; for ties, the earlier row is first.
std::vector<std::ptrdiff_t> best_rows(const ImageBoxes& image, std::ptrdiff_t label,
                                      const Rows& rows, int top_k) {
  std::vector<std::uint64_t> keys;
  keys.reserve(rows.size());
  for (const std::int32_t row : rows) {
    keys.push_back(score_key(image.score(row, label), static_cast<std::uint32_t>(row)));
  }
  sort_keys(keys);
  if (top_k >= 0 && static_cast<std::size_t>(top_k) < keys.size()) {
    keys.resize(static_cast<std::size_t>(top_k));
  }
  std::vector<std::ptrdiff_t> best;
  best.reserve(keys.size());
  for (const std::uint64_t key : keys) {
    best.push_back(static_cast<std::ptrdiff_t>(number_of(key)));
  }
  return best;
}

// Suppresses rows, given in descending order of the scores. Returns the kept rows in this order for
// kShared, ascending for kPerClass.
std::vector<std::ptrdiff_t> kept_rows(const ImageBoxes& image, std::ptrdiff_t label,
                                      const std::vector<std::ptrdiff_t>& rows,
                                      const NmsRules& rules) {
  require_boxes(image, label, rows);
  std::vector<std::ptrdiff_t> kept;
  for (const std::size_t i :
       suppress_boxes(image.boxes_of(label), image.box_stride(), rows,
                      {rules.nms_threshold, rules.eta, !rules.normalized, -1})) {
    kept.push_back(rows[i]);
  }
  if (image.form == Form::kPerClass) {
    std::sort(kept.begin(), kept.end());
  }
  return kept;
}

// The `most` detections with the highest scores, in their original order; of ties, the earlier
// ones.
void keep_best(std::ptrdiff_t most, std::vector<Detection>& detections) {
  if (most < 0 || static_cast<std::size_t>(most) >= detections.size()) {
    return;
  }
  std::vector<std::uint64_t> keys;
  keys.reserve(detections.size());
  for (const Detection& detection : detections) {
    keys.push_back(score_key(detection.score, static_cast<std::uint32_t>(keys.size())));
  }
  std::vector<std::uint64_t> ordered = keys;
  const auto first_dropped = ordered.begin() + most;
  std::nth_element(ordered.begin(), first_dropped, ordered.end());
  auto end = detections.begin();
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (keys[i] < *first_dropped) {
      *end++ = detections[i];
    }
  }
  detections.erase(end, detections.end());
}

std::vector<Detection> detections_of(const ImageBoxes& image, const NmsRules& rules, int threads) {
  const std::vector<Rows> candidates = candidates_of(image, rules);
  std::ptrdiff_t total = 1;
  for (const Rows& rows : candidates) {
    total += static_cast<std::ptrdiff_t>(rows.size());
  }
  std::vector<std::vector<std::ptrdiff_t>> kept(candidates.size());
  const std::ptrdiff_t grain = 1 + image.classes * kGrainCandidates / total;
  parallel_for(image.classes, grain, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (std::ptrdiff_t label = begin; label < end; ++label) {
      const auto slot = static_cast<std::size_t>(label);
      if (label != rules.background_label && !candidates[slot].empty()) {
        kept[slot] = kept_rows(image, label,
                               best_rows(image, label, candidates[slot], rules.nms_top_k), rules);
      }
    }
  });
  std::vector<Detection> detections;
  for (std::ptrdiff_t label = 0; label < image.classes; ++label) {
    for (const std::ptrdiff_t row : kept[static_cast<std::size_t>(label)]) {
      detections.push_back({image.first_row + row, label, image.score(row, label),
                            image.boxes_of(label) + image.box_stride() * row});
    }
  }
  keep_best(rules.keep_top_k, detections);
  return detections;
}

void require_rules(const ScoredBoxes& boxes, const NmsRules& rules) {
  HPIP_REQUIRE(boxes.classes >= 1, "scores: expected at least one class, received none");
  HPIP_REQUIRE(boxes.first_rows.back() <= std::numeric_limits<std::int32_t>::max() / boxes.classes,
               "scores: expected fewer than 2^31 items, received ", boxes.first_rows.back(), " x ",
               boxes.classes);
  HPIP_REQUIRE(!std::isnan(rules.score_threshold), "score_threshold: expected a number, received ",
               rules.score_threshold);
  HPIP_REQUIRE(rules.nms_threshold >= 0.0F, "nms_threshold: expected at least 0, received ",
               rules.nms_threshold);
  HPIP_REQUIRE(rules.eta > 0.0F, "nms_eta: expected a number above 0, received ", rules.eta);
}

}  // namespace

std::vector<std::vector<Detection>> multiclass_nms(const ScoredBoxes& boxes, const NmsRules& rules,
                                                   int threads) {
  require_rules(boxes, rules);
  std::vector<std::vector<Detection>> images;
  for (std::size_t image = 0; image + 1 < boxes.first_rows.size(); ++image) {
    images.push_back(detections_of(image_boxes(boxes, image), rules, threads));
  }
  return images;
}

}  // namespace hpip
