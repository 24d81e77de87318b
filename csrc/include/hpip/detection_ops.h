// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hpip/exported.h"

// The detection operators of a two-stage detector, with the results of Paddle's CPU operators.
// Arrays are in C order; boxes are (x0, y0, x1, y1). All functions throw InvalidInput if an
// argument is not valid, and return the same bits for every number of threads (>= 1).
namespace hpip HPIP_EXPORTED {

// One level of a region proposal network: `anchors_per_cell` A boxes at each of height x width
// cells.
struct ProposalLevel {
  const float* scores = nullptr;     // (B, A, height, width)
  const float* deltas = nullptr;     // (B, 4 A, height, width): dx, dy, dw, dh of each anchor
  const float* anchors = nullptr;    // (height, width, A, 4)
  const float* variances = nullptr;  // as anchors; null stands for ones
  std::ptrdiff_t anchors_per_cell = 0;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;

  std::ptrdiff_t cells() const { return height * width; }
  std::ptrdiff_t count() const { return cells() * anchors_per_cell; }
};

struct ProposalRules {
  int pre_nms_top_n = 6000;   // 0 or less: all
  int post_nms_top_n = 1000;  // 0 or less: all
  float nms_threshold = 0.5F;
  float min_size = 0.1F;  // Paddle raises values below 1 to 1
  float eta = 1.0F;
  bool pixel_offset = false;  // boxes include their last pixel
};

struct Proposals {
  std::vector<float> boxes_xyxy;
  std::vector<float> scores;
};

// Returns the proposals of each image on each level in descending order of the scores, at
// result[level * batch + image]. If all boxes of an image are smaller than min_size, it gets one
// box of zeros with the score 0. `image_hw` is (batch, 2). Neither the scores nor the decoded boxes
// of the selected anchors may be NaN.
std::vector<Proposals> generate_proposals(const std::vector<ProposalLevel>& levels,
                                          std::ptrdiff_t batch, const float* image_hw,
                                          const ProposalRules& rules, int threads);

// Returns the indices of the `top_n` highest scores in descending order of the scores, with the
// order of ties of Paddle's topk; all indices in ascending order if there are at most `top_n`.
// Scores must not be NaN.
std::vector<std::int64_t> top_scores(const float* scores, std::ptrdiff_t count,
                                     std::ptrdiff_t top_n);

// The boxes of all images, with scores for every class.
struct ScoredBoxes {
  // kShared: scores (B, C, M) of boxes (B, M, 4).
  // kPerClass: scores (N, C) of boxes (N, C, 4); image b has counts[b] of the N rows, in order.
  enum class Form { kShared, kPerClass };

  Form form = Form::kShared;
  const float* scores = nullptr;
  const float* boxes_xyxy = nullptr;
  std::ptrdiff_t classes = 0;
  std::vector<std::ptrdiff_t> first_rows;  // image b has boxes [first_rows[b], first_rows[b + 1])

  std::ptrdiff_t images() const { return static_cast<std::ptrdiff_t>(first_rows.size()) - 1; }
};

struct NmsRules {
  float score_threshold = 0.0F;  // scores must exceed it
  int nms_top_k = -1;            // per class, before suppression; negative: all
  int keep_top_k = -1;           // per image, after suppression; negative: all
  float nms_threshold = 0.5F;
  bool normalized = true;  // boxes do not include their last pixel
  float eta = 1.0F;
  int background_label = -1;  // this class is ignored
};

// A box that NMS keeps. `row` is its index among the boxes of all images, for both forms.
struct Detection {
  std::ptrdiff_t row = 0;
  std::ptrdiff_t label = 0;
  float score = 0;
  const float* box_xyxy = nullptr;  // into ScoredBoxes
};

// Returns the detections of each image, sorted by label, and within a label by score (kShared) or
// by row (kPerClass). A NaN score is below every threshold; boxes with a score above the threshold
// must be finite.
std::vector<std::vector<Detection>> multiclass_nms(const ScoredBoxes& boxes, const NmsRules& rules,
                                                   int threads);

struct FpnLevels {
  int min_level = 2;
  int max_level = 5;
  int refer_level = 4;
  int refer_scale = 224;
  bool pixel_offset = false;
};

// Boxes by level, from min_level to max_level, each level in the boxes' order.
struct FpnAssignment {
  std::vector<std::vector<std::int64_t>> rows;    // [level]: rows of the input boxes
  std::vector<std::vector<std::int32_t>> counts;  // [level][image]
  std::vector<std::int32_t> restore_index;  // index of box i in the concatenation of all levels
};

// Image b has boxes [first_rows[b], first_rows[b + 1]).
FpnAssignment assign_fpn_levels(const float* boxes_xyxy,
                                const std::vector<std::ptrdiff_t>& first_rows,
                                const FpnLevels& rules);

struct RoiAlignRules {
  std::ptrdiff_t pooled_height = 0;
  std::ptrdiff_t pooled_width = 0;
  float spatial_scale = 1.0F;
  int sampling_ratio = -1;  // samples per bin and axis; 0 or less: about one per cell
  bool aligned = true;      // shift by half a cell, and allow boxes smaller than a cell
};

// Feature maps (B, channels, height, width).
struct FeatureMaps {
  const float* data = nullptr;
  std::ptrdiff_t channels = 0;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
};

// Pools boxes [first_rows[b], first_rows[b + 1]) from image b. The result of box i is written to
// row out_rows[i] of `out` (rows, channels, pooled_height, pooled_width), or to row i if out_rows
// is null.
void roi_align(const FeatureMaps& features, const float* boxes_xyxy,
               const std::vector<std::ptrdiff_t>& first_rows, const RoiAlignRules& rules,
               const std::int64_t* out_rows, float* out, int threads);

}  // namespace hpip HPIP_EXPORTED
