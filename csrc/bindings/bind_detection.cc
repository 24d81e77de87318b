// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "array_args.h"
#include "bindings.h"
#include "hpip/detection_ops.h"
#include "released_gil.h"

namespace py = pybind11;

namespace hpip::bindings {
namespace {

using Rows = std::vector<std::ptrdiff_t>;

// scores, deltas, anchors and, unless all are 1, variances.
using LevelArrays = std::tuple<py::array, py::array, py::array, std::optional<py::array>>;

// (counts[0], counts[1], ...) as the first row of each image and the end of the last one.
Rows first_rows_of(py::array& counts, py::ssize_t rows) {
  require_array<const std::int64_t>("counts", counts, {kAnyLength}, Layout::kContiguous);
  const auto* data = array_data<const std::int64_t>(counts);
  Rows first{0};
  for (py::ssize_t image = 0; image < counts.shape(0); ++image) {
    HPIP_REQUIRE(data[image] >= 0 && data[image] <= rows - first.back(), "counts[", image,
                 "]: expected 0 to ", rows - first.back(), ", the remaining number of ", rows,
                 " boxes, received ", data[image]);
    first.push_back(first.back() + static_cast<std::ptrdiff_t>(data[image]));
  }
  HPIP_REQUIRE(first.back() == rows, "counts: expected a sum of ", rows,
               ", the number of boxes, received ", first.back());
  return first;
}

template <typename T>
const T* contiguous(const char* name, const py::array& array,
                    std::initializer_list<py::ssize_t> lengths) {
  require_array<const T>(name, array, lengths, Layout::kContiguous);
  return static_cast<const T*>(array.data());
}

template <typename T>
py::array_t<T> array_of(const std::vector<T>& values, std::vector<py::ssize_t> shape) {
  py::array_t<T> array(std::move(shape));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

ProposalLevel level_view(const LevelArrays& arrays, py::ssize_t batch) {
  const auto& [scores, deltas, anchors, variances] = arrays;
  ProposalLevel level;
  level.scores = contiguous<float>("scores", scores, {batch, kAnyLength, kAnyLength, kAnyLength});
  level.anchors_per_cell = scores.shape(1);
  level.height = scores.shape(2);
  level.width = scores.shape(3);
  HPIP_REQUIRE(level.count() >= 1, "scores: expected at least one anchor and one cell, received a ",
               array_text(scores));
  level.deltas = contiguous<float>("bbox_deltas", deltas,
                                   {batch, 4 * level.anchors_per_cell, level.height, level.width});
  level.anchors = contiguous<float>("anchors", anchors, {level.count(), 4});
  if (variances) {
    level.variances = contiguous<float>("variances", *variances, {level.count(), 4});
  }
  return level;
}

// The images of one level, concatenated: boxes (R, 4), scores (R, 1), counts (B,).
py::tuple proposals_tuple(const Proposals* images, std::size_t batch) {
  std::vector<float> boxes;
  std::vector<float> scores;
  std::vector<std::int32_t> counts;
  for (std::size_t image = 0; image < batch; ++image) {
    const Proposals& found = images[image];
    boxes.insert(boxes.end(), found.boxes_xyxy.begin(), found.boxes_xyxy.end());
    scores.insert(scores.end(), found.scores.begin(), found.scores.end());
    counts.push_back(static_cast<std::int32_t>(found.scores.size()));
  }
  const auto rows = static_cast<py::ssize_t>(scores.size());
  return py::make_tuple(array_of(boxes, {rows, 4}), array_of(scores, {rows, 1}),
                        array_of(counts, {static_cast<py::ssize_t>(batch)}));
}

py::list bind_generate_proposals(const std::vector<LevelArrays>& levels, const py::array& image_hw,
                                 int pre_nms_top_n, int post_nms_top_n, float nms_threshold,
                                 float min_size, float eta, bool pixel_offset, int threads) {
  const auto* sizes = contiguous<float>("image_hw", image_hw, {kAnyLength, 2});
  const py::ssize_t batch = image_hw.shape(0);
  std::vector<ProposalLevel> views;
  views.reserve(levels.size());
  for (const LevelArrays& level : levels) {
    views.push_back(level_view(level, batch));
  }
  std::vector<Proposals> found;
  {
    ReleasedGil released;
    found = generate_proposals(
        views, batch, sizes,
        {pre_nms_top_n, post_nms_top_n, nms_threshold, min_size, eta, pixel_offset}, threads);
  }
  py::list proposals;
  for (std::size_t level = 0; level < levels.size(); ++level) {
    const auto count = static_cast<std::size_t>(batch);
    proposals.append(proposals_tuple(found.data() + level * count, count));
  }
  return proposals;
}

py::array_t<std::int64_t> bind_top_scores(const py::array& scores, std::ptrdiff_t top_n) {
  const auto* data = contiguous<float>("scores", scores, {kAnyLength});
  HPIP_REQUIRE(top_n >= 1, "top_n: expected at least 1, received ", top_n);
  const std::ptrdiff_t count = scores.shape(0);
  std::vector<std::int64_t> indices;
  {
    ReleasedGil released;
    indices = top_scores(data, count, top_n);
  }
  return array_of(indices, {static_cast<py::ssize_t>(indices.size())});
}

ScoredBoxes scored_boxes(const py::array& boxes, const py::array& scores,
                         std::optional<py::array>& counts) {
  ScoredBoxes view;
  if (counts) {
    view.form = ScoredBoxes::Form::kPerClass;
    view.scores = contiguous<float>("scores", scores, {kAnyLength, kAnyLength});
    view.classes = scores.shape(1);
    view.boxes_xyxy = contiguous<float>("boxes_xyxy", boxes, {scores.shape(0), view.classes, 4});
    view.first_rows = first_rows_of(*counts, scores.shape(0));
    return view;
  }
  view.scores = contiguous<float>("scores", scores, {kAnyLength, kAnyLength, kAnyLength});
  view.classes = scores.shape(1);
  view.boxes_xyxy = contiguous<float>("boxes_xyxy", boxes, {scores.shape(0), scores.shape(2), 4});
  for (py::ssize_t image = 0; image <= scores.shape(0); ++image) {
    view.first_rows.push_back(image * scores.shape(2));
  }
  return view;
}

// rows (K, 6) of label, score and box; index (K, 1); counts (B,).
py::tuple detections_tuple(const std::vector<std::vector<Detection>>& images,
                           const ScoredBoxes& boxes) {
  const bool is_per_class = boxes.form == ScoredBoxes::Form::kPerClass;
  std::vector<float> rows;
  std::vector<std::int32_t> index;
  std::vector<std::int32_t> counts;
  for (const std::vector<Detection>& detections : images) {
    counts.push_back(static_cast<std::int32_t>(detections.size()));
    for (const Detection& item : detections) {
      rows.push_back(static_cast<float>(item.label));
      rows.push_back(item.score);
      rows.insert(rows.end(), item.box_xyxy, item.box_xyxy + 4);
      index.push_back(static_cast<std::int32_t>(is_per_class ? item.row * boxes.classes + item.label
                                                             : item.row));
    }
  }
  const auto count = static_cast<py::ssize_t>(index.size());
  return py::make_tuple(array_of(rows, {count, 6}), array_of(index, {count, 1}),
                        array_of(counts, {static_cast<py::ssize_t>(counts.size())}));
}

py::tuple bind_multiclass_nms(const py::array& boxes, const py::array& scores,
                              std::optional<py::array> counts, float score_threshold, int nms_top_k,
                              int keep_top_k, float nms_threshold, bool normalized, float nms_eta,
                              int background_label, int threads) {
  const ScoredBoxes view = scored_boxes(boxes, scores, counts);
  std::vector<std::vector<Detection>> images;
  {
    ReleasedGil released;
    images = multiclass_nms(view,
                            {score_threshold, nms_top_k, keep_top_k, nms_threshold, normalized,
                             nms_eta, background_label},
                            threads);
  }
  return detections_tuple(images, view);
}

py::tuple bind_assign_fpn_levels(const py::array& boxes, py::array counts, int min_level,
                                 int max_level, int refer_level, int refer_scale,
                                 bool pixel_offset) {
  const auto* data = contiguous<float>("boxes_xyxy", boxes, {kAnyLength, 4});
  const Rows first_rows = first_rows_of(counts, boxes.shape(0));
  FpnAssignment found;
  {
    ReleasedGil released;
    found = assign_fpn_levels(data, first_rows,
                              {min_level, max_level, refer_level, refer_scale, pixel_offset});
  }
  py::list level_rows;
  py::list level_counts;
  for (std::size_t level = 0; level < found.rows.size(); ++level) {
    level_rows.append(
        array_of(found.rows[level], {static_cast<py::ssize_t>(found.rows[level].size())}));
    level_counts.append(array_of(found.counts[level], {counts.shape(0)}));
  }
  return py::make_tuple(level_rows, level_counts,
                        array_of(found.restore_index, {boxes.shape(0), 1}));
}

const std::int64_t* out_rows_of(const py::array& rows, py::ssize_t boxes, py::ssize_t out_length) {
  const auto* data = contiguous<std::int64_t>("out_rows", rows, {boxes});
  std::vector<bool> is_taken(static_cast<std::size_t>(out_length));
  for (py::ssize_t i = 0; i < boxes; ++i) {
    HPIP_REQUIRE(
        data[i] >= 0 && data[i] < out_length && !is_taken[static_cast<std::size_t>(data[i])],
        "out_rows[", i, "]: expected a row of out from 0 to below ", out_length,
        " that no other box uses, received ", data[i]);
    is_taken[static_cast<std::size_t>(data[i])] = true;
  }
  return data;
}

void bind_roi_align(const py::array& features, const py::array& boxes, py::array counts,
                    float spatial_scale, int sampling_ratio, bool aligned,
                    const std::optional<py::array>& out_rows, py::array out, int threads) {
  const FeatureMaps maps{
      contiguous<float>("features", features, {kAnyLength, kAnyLength, kAnyLength, kAnyLength}),
      features.shape(1), features.shape(2), features.shape(3)};
  const auto* box_data = contiguous<float>("boxes_xyxy", boxes, {kAnyLength, 4});
  const py::ssize_t count = boxes.shape(0);
  const Rows first_rows = first_rows_of(counts, count);
  HPIP_REQUIRE(counts.shape(0) == features.shape(0), "counts: expected one for each of ",
               features.shape(0), " images of features, received ", counts.shape(0));
  require_array<float>("out", out,
                       {out_rows ? kAnyLength : count, features.shape(1), kAnyLength, kAnyLength},
                       Layout::kContiguous);
  const std::int64_t* rows = out_rows ? out_rows_of(*out_rows, count, out.shape(0)) : nullptr;
  const RoiAlignRules rules{out.shape(2), out.shape(3), spatial_scale, sampling_ratio, aligned};
  auto* target = array_data<float>(out);
  ReleasedGil released;
  roi_align(maps, box_data, first_rows, rules, rows, target, threads);
}

}  // namespace

void register_detection(py::module_& module) {
  using py::arg;
  module.def("generate_proposals", &bind_generate_proposals, arg("levels"), arg("image_hw"),
             arg("pre_nms_top_n"), arg("post_nms_top_n"), arg("nms_threshold"), arg("min_size"),
             arg("eta"), arg("pixel_offset"), arg("threads"));
  module.def("top_scores", &bind_top_scores, arg("scores"), arg("top_n"));
  module.def("multiclass_nms", &bind_multiclass_nms, arg("boxes_xyxy"), arg("scores"),
             arg("counts"), arg("score_threshold"), arg("nms_top_k"), arg("keep_top_k"),
             arg("nms_threshold"), arg("normalized"), arg("nms_eta"), arg("background_label"),
             arg("threads"));
  module.def("assign_fpn_levels", &bind_assign_fpn_levels, arg("boxes_xyxy"), arg("counts"),
             arg("min_level"), arg("max_level"), arg("refer_level"), arg("refer_scale"),
             arg("pixel_offset"));
  module.def("roi_align", &bind_roi_align, arg("features"), arg("boxes_xyxy"), arg("counts"),
             arg("spatial_scale"), arg("sampling_ratio"), arg("aligned"), arg("out_rows"),
             arg("out"), arg("threads"));
}

}  // namespace hpip::bindings
