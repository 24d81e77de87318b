// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bindings.h"
#include "hpip/draw_ops.h"
#include "hpip/rle.h"
#include "mask_args.h"
#include "released_gil.h"

namespace py = pybind11;

namespace hpip::bindings {
namespace {

py::bytes bind_encode_rle(const py::array& mask, int threads) {
  const StridedArray view = strided_array("mask", mask, 2);
  std::string counts;
  {
    ReleasedGil released;
    counts = encode_rle(view, threads);
  }
  return counts;
}

py::list bytes_list(const std::vector<std::string>& strings) {
  py::list list;
  for (const std::string& text : strings) {
    list.append(py::bytes(text));
  }
  return list;
}

// The indices of masks, each of them checked against `mask_count`.
const std::int64_t* indices_data(py::array& indices, py::ssize_t mask_count) {
  require_array<const std::int64_t>("indices", indices, {kAnyLength}, Layout::kContiguous);
  const auto* rows = array_data<const std::int64_t>(indices);
  for (py::ssize_t n = 0; n < indices.shape(0); ++n) {
    HPIP_REQUIRE(rows[n] >= 0 && rows[n] < mask_count, "indices[", n,
                 "]: expected an index from 0 to below ", mask_count, ", received ", rows[n]);
  }
  return rows;
}

// Boxes may be None for the convention "image" with the whole image as the frame.
py::tuple bind_encode_masks(const py::array& masks, std::optional<py::array> boxes,
                            py::array indices, const Pair& image_hw, const std::string& convention,
                            double mask_threshold, bool inclusive, bool whole_image,
                            const Pair& upsampled_hw, const Pair& kept_hw,
                            std::optional<py::array> upsampled_windows, int threads) {
  require_array<const float>("masks", masks, {kAnyLength, kAnyLength, kAnyLength},
                             Layout::kContiguous);
  const StridedArray view = strided_array("masks", masks, 3);
  const ImageSize image = size_of(image_hw);
  const PasteConvention how = convention_of(convention);
  const std::int64_t* rows = indices_data(indices, view.shape[0]);
  const py::ssize_t count = indices.shape(0);
  HPIP_REQUIRE(boxes || (how == PasteConvention::kImage && whole_image),
               "boxes_xyxy: expected boxes for convention 'region' and for crops, received None");
  const float* box_data = boxes ? boxes_data(*boxes, count) : nullptr;
  Boxes windows(static_cast<std::size_t>(count), {0, 0, image.width, image.height});
  if (box_data != nullptr) {
    Boxes crops = crops_of(box_data, count, image);
    if (!whole_image) windows = std::move(crops);
  }
  Upsampling upsampling{size_of(upsampled_hw), size_of(kept_hw), nullptr};
  Boxes kept_windows(static_cast<std::size_t>(count),
                     {0, 0, upsampling.kept.width, upsampling.kept.height});
  if (upsampled_windows) {
    require_array<const std::int64_t>("windows_xyxy", *upsampled_windows, {count, 4},
                                      Layout::kContiguous);
    if (count > 0) {
      std::memcpy(static_cast<void*>(kept_windows.data()),
                  array_data<const std::int64_t>(*upsampled_windows),
                  kept_windows.size() * sizeof(PixelBox));
    }
  }
  upsampling.windows = kept_windows.data();
  std::vector<std::string> counts;
  {
    ReleasedGil released;
    counts = encode_resampled(view, rows, how, box_data, image, upsampling, windows.data(), count,
                              {mask_threshold, inclusive}, threads);
  }
  return py::make_tuple(bytes_list(counts), boxes_array(windows));
}

py::tuple bind_encode_mask_crops(const py::array& masks, py::array boxes, py::array indices,
                                 double mask_threshold, bool inclusive, int threads) {
  const StridedArray view = strided_array("masks", masks, 3);
  const std::int64_t* rows = indices_data(indices, view.shape[0]);
  const py::ssize_t count = indices.shape(0);
  const float* box_data = boxes_data(boxes, count);
  // No boxes, no image: an empty stack may have any size.
  const Boxes windows =
      count == 0 ? Boxes{} : crops_of(box_data, count, {view.shape[1], view.shape[2]});
  std::vector<std::string> counts;
  {
    ReleasedGil released;
    counts =
        encode_mask_crops(view, rows, windows.data(), count, {mask_threshold, inclusive}, threads);
  }
  return py::make_tuple(bytes_list(counts), boxes_array(windows));
}

py::array_t<std::uint8_t> bind_decode_rle(const py::bytes& counts, const Pair& size_hw,
                                          int threads) {
  const ImageSize size = size_of(size_hw);
  const auto text = static_cast<std::string_view>(counts);
  Runs runs;
  {
    ReleasedGil released;
    runs = rle_from_string(text, size);
  }
  py::array_t<std::uint8_t> mask({size.height, size.width});
  std::uint8_t* out = mask.mutable_data();
  {
    ReleasedGil released;
    decode_runs(runs, size, out, threads);
  }
  return mask;
}

std::uint64_t bind_rle_area(const py::bytes& counts) {
  const auto text = static_cast<std::string_view>(counts);
  ReleasedGil released;
  return rle_area(rle_from_string(text));
}

py::tuple bind_rle_to_bbox(const py::bytes& counts, const Pair& size_hw) {
  const auto text = static_cast<std::string_view>(counts);
  const ImageSize size = size_of(size_hw);
  PixelBox box;
  {
    ReleasedGil released;
    box = rle_to_bbox(rle_from_string(text, size), size);
  }
  return py::make_tuple(box.x0, box.y0, box.width(), box.height());
}

py::bytes bind_merge_rle(const py::bytes& counts, const Pair& crop_hw, const Pair& offset_yx,
                         const Pair& image_hw) {
  const auto [height, width] = crop_hw;
  const auto [y, x] = offset_yx;
  const PixelBox crop{x, y, x + width, y + height};
  const auto text = static_cast<std::string_view>(counts);
  std::string merged;
  {
    ReleasedGil released;
    const Runs runs = rle_from_string(text, {height, width});
    merged = rle_to_string(merge_runs(runs, crop, size_of(image_hw)));
  }
  return merged;
}

py::bytes bind_crop_rle(const py::bytes& counts, const Pair& size_hw, const Pair& offset_yx,
                        const Pair& crop_hw) {
  const auto [y, x] = offset_yx;
  const PixelBox crop{x, y, x + crop_hw.second, y + crop_hw.first};
  const ImageSize size = size_of(size_hw);
  const auto text = static_cast<std::string_view>(counts);
  std::string cropped;
  {
    ReleasedGil released;
    cropped = rle_to_string(crop_runs(rle_from_string(text, size), size, crop));
  }
  return cropped;
}

// Views of the strings, which must outlive them.
std::vector<std::string_view> texts_of(const std::vector<py::bytes>& counts) {
  return {counts.begin(), counts.end()};
}

std::vector<Runs> runs_of(const std::vector<std::string_view>& texts, ImageSize size) {
  std::vector<Runs> runs;
  runs.reserve(texts.size());
  for (const std::string_view text : texts) {
    runs.push_back(rle_from_string(text, size));
  }
  return runs;
}

// The union, or the intersection, of one or more masks.
py::bytes bind_combine_rle(const std::vector<py::bytes>& counts, const Pair& size_hw,
                           bool intersect) {
  const ImageSize size = size_of(size_hw);
  HPIP_REQUIRE(!counts.empty(), "counts: expected at least one string, received none");
  const std::vector<std::string_view> texts = texts_of(counts);
  std::string text;
  {
    ReleasedGil released;
    std::vector<Runs> runs = runs_of(texts, size);
    // Removes empty runs, which the first mask may have anywhere.
    Runs all = unite_runs(runs[0], runs[0]);
    for (std::size_t i = 1; i < runs.size(); ++i) {
      all = intersect ? intersect_runs(all, runs[i]) : unite_runs(all, runs[i]);
    }
    text = rle_to_string(all);
  }
  return text;
}

// (N, M) foreground pixels that mask n and mask m share.
py::array_t<std::int64_t> bind_rle_shared_areas(const std::vector<py::bytes>& counts,
                                                const std::vector<py::bytes>& others,
                                                const Pair& size_hw) {
  const ImageSize size = size_of(size_hw);
  const std::vector<std::string_view> texts = texts_of(counts);
  const std::vector<std::string_view> other_texts = texts_of(others);
  py::array_t<std::int64_t> areas(
      {static_cast<py::ssize_t>(counts.size()), static_cast<py::ssize_t>(others.size())});
  std::int64_t* out = areas.mutable_data();
  {
    ReleasedGil released;
    const std::vector<Runs> masks = runs_of(texts, size);
    const std::vector<Runs> other_masks = runs_of(other_texts, size);
    for (const Runs& mask : masks) {
      for (const Runs& other : other_masks) {
        *out++ = static_cast<std::int64_t>(shared_area(mask, other));
      }
    }
  }
  return areas;
}

// The pixels under mask n become levels[n, channel, value].
void bind_map_masked_levels(py::array image, const std::vector<py::bytes>& counts,
                            const std::vector<Pair>& crop_hw, const std::vector<Pair>& offset_yx,
                            py::array levels, int threads) {
  const ImageView<std::uint8_t> view = image_view<std::uint8_t>("image", image);
  const std::vector<std::string_view> texts = texts_of(counts);
  HPIP_REQUIRE(crop_hw.size() == counts.size() && offset_yx.size() == counts.size(),
               "masks: expected as many crops and offsets as strings, received ", crop_hw.size(),
               ", ", offset_yx.size(), " and ", counts.size());
  require_array<const std::uint8_t>(
      "levels", levels, {static_cast<py::ssize_t>(counts.size()), 3, 256}, Layout::kContiguous);
  const auto* first_level = array_data<const std::uint8_t>(levels);
  ReleasedGil released;
  std::vector<MaskLayer> layers(texts.size());
  for (std::size_t n = 0; n < layers.size(); ++n) {
    const auto [height, width] = crop_hw[n];
    const auto [y, x] = offset_yx[n];
    layers[n].runs = rle_from_string(texts[n], size_of(crop_hw[n]));
    layers[n].crop = {x, y, x + width, y + height};
    std::memcpy(layers[n].levels.data(), first_level + n * sizeof layers[n].levels,
                sizeof layers[n].levels);
  }
  map_masked_levels(view, layers, threads);
}

}  // namespace

void register_rle(py::module_& module) {
  using py::arg;
  module.def("encode_rle", &bind_encode_rle, arg("mask"), arg("threads"));
  module.def("encode_mask_crops", &bind_encode_mask_crops, arg("masks"), arg("boxes_xyxy"),
             arg("indices"), arg("mask_threshold"), arg("inclusive"), arg("threads"));
  module.def("encode_masks", &bind_encode_masks, arg("masks"), arg("boxes_xyxy"), arg("indices"),
             arg("image_hw"), arg("convention"), arg("mask_threshold"), arg("inclusive"),
             arg("whole_image"), arg("upsampled_hw"), arg("kept_hw"), arg("windows_xyxy"),
             arg("threads"));
  module.def("decode_rle", &bind_decode_rle, arg("counts"), arg("size_hw"), arg("threads"));
  module.def("rle_area", &bind_rle_area, arg("counts"));
  module.def("rle_to_bbox", &bind_rle_to_bbox, arg("counts"), arg("size_hw"));
  module.def("merge_rle", &bind_merge_rle, arg("counts"), arg("crop_hw"), arg("offset_yx"),
             arg("image_hw"));
  module.def("crop_rle", &bind_crop_rle, arg("counts"), arg("size_hw"), arg("offset_yx"),
             arg("crop_hw"));
  module.def("combine_rle", &bind_combine_rle, arg("counts"), arg("size_hw"), arg("intersect"));
  module.def("rle_shared_areas", &bind_rle_shared_areas, arg("counts"), arg("others"),
             arg("size_hw"));
  module.def("map_masked_levels", &bind_map_masked_levels, arg("image"), arg("counts"),
             arg("crop_hw"), arg("offset_yx"), arg("levels"), arg("threads"));
}

}  // namespace hpip::bindings
