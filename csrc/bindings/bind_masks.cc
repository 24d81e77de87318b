// SPDX-License-Identifier: Apache-2.0
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "array_args.h"
#include "bindings.h"
#include "hpip/mask_ops.h"
#include "hpip/rle.h"

namespace py = pybind11;

namespace hpip::bindings {
namespace {

using Boxes = std::vector<PixelBox>;

// (height, width) or (y, x), as Python passes them.
using Pair = std::pair<std::ptrdiff_t, std::ptrdiff_t>;

ImageSize size_of(const Pair& hw) { return {hw.first, hw.second}; }

DType dtype_of(const char* name, const py::array& array) {
  const auto is = [&](auto tag) { return py::isinstance<py::array_t<decltype(tag)>>(array); };
  if (is(bool{}) || is(std::uint8_t{})) return DType::kUInt8;
  if (is(std::int8_t{})) return DType::kInt8;
  if (is(std::int16_t{})) return DType::kInt16;
  if (is(std::uint16_t{})) return DType::kUInt16;
  if (is(std::int32_t{})) return DType::kInt32;
  if (is(std::uint32_t{})) return DType::kUInt32;
  if (is(std::int64_t{})) return DType::kInt64;
  if (is(std::uint64_t{})) return DType::kUInt64;
  if (is(float{})) return DType::kFloat32;
  if (is(double{})) return DType::kFloat64;
  throw InvalidInput(concat(name,
                            ": expected bool, (u)int8 to (u)int64, float32 or float64 in native "
                            "byte order, received a ",
                            array_text(array), "; pass .astype(...)"));
}

// `rank` is kAnyLength for arrays of any rank.
StridedArray strided_array(const char* name, const py::array& array, py::ssize_t rank) {
  HPIP_REQUIRE(rank == kAnyLength || array.ndim() == rank, name, ": expected ", rank,
               " axes, received a ", array_text(array));
  StridedArray view{array.data(), dtype_of(name, array), {}, {}};
  HPIP_REQUIRE(has_whole_strides(array), name,
               ": expected an aligned array whose strides are whole items, received a ",
               array_text(array), "; pass numpy.ascontiguousarray(...)");
  for (py::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    view.shape.push_back(array.shape(axis));
    view.strides.push_back(item_stride(array, axis));
  }
  return view;
}

const float* boxes_data(py::array& boxes, py::ssize_t count) {
  require_array<const float>("boxes_xyxy", boxes, {count, 4}, Layout::kContiguous);
  return array_data<const float>(boxes);
}

Boxes crops_of(const float* boxes_xyxy, py::ssize_t count, ImageSize image) {
  Boxes crops(static_cast<std::size_t>(count));
  crop_boxes(boxes_xyxy, count, image, crops.data());
  return crops;
}

py::array_t<std::int64_t> boxes_array(const Boxes& boxes) {
  static_assert(sizeof(PixelBox) == 4 * sizeof(std::int64_t), "PixelBox is copied as four items");
  py::array_t<std::int64_t> array({static_cast<py::ssize_t>(boxes.size()), py::ssize_t{4}});
  if (!boxes.empty()) {
    std::memcpy(array.mutable_data(), boxes.data(), boxes.size() * sizeof(PixelBox));
  }
  return array;
}

PasteConvention convention_of(std::string_view name) {
  if (name == "region") return PasteConvention::kRegion;
  if (name == "image") return PasteConvention::kImage;
  if (name == "pasted") return PasteConvention::kPasted;
  throw InvalidInput(
      concat("convention: expected 'region', 'image' or 'pasted', received '", name, "'"));
}

StridedArray masks_view(const py::array& masks, PasteConvention convention) {
  if (convention != PasteConvention::kPasted) {
    require_array<const float>("masks", masks, {kAnyLength, kAnyLength, kAnyLength},
                               Layout::kContiguous);
  }
  return strided_array("masks", masks, 3);
}

py::array_t<std::int64_t> bind_crop_boxes(py::array boxes, const Pair& image_hw) {
  const float* data = boxes_data(boxes, kAnyLength);
  return boxes_array(crops_of(data, boxes.shape(0), size_of(image_hw)));
}

void bind_threshold_masks(const py::array& values, double mask_threshold, bool inclusive,
                          py::array out, int threads) {
  const StridedArray view = strided_array("values", values, kAnyLength);
  const bool fits = out.ndim() == values.ndim() &&
                    std::equal(out.shape(), out.shape() + out.ndim(), values.shape());
  HPIP_REQUIRE(fits && is_contiguous(out) && out.writeable() &&
                   py::isinstance<py::array_t<std::uint8_t>>(out),
               "out: expected a writeable, C-contiguous uint8 array of the values' shape ",
               std::string(py::str(values.attr("shape"))), ", received a ", array_text(out));
  auto* target = array_data<std::uint8_t>(out);
  py::gil_scoped_release released;
  threshold_masks(view, {mask_threshold, inclusive}, target, threads);
}

// Boxes may be None where the convention does not read them: whole images of it.
void bind_paste_masks(const py::array& masks, std::optional<py::array> boxes, const Pair& image_hw,
                      const std::string& convention, double mask_threshold, bool inclusive,
                      py::array out, int threads) {
  const ImageSize image = size_of(image_hw);
  const PasteConvention how = convention_of(convention);
  const StridedArray view = masks_view(masks, how);
  const std::ptrdiff_t count = view.shape[0];
  const float* box_data = nullptr;
  if (boxes) {
    box_data = boxes_data(*boxes, count);
    crops_of(box_data, count, image);  // for its checks
  }
  HPIP_REQUIRE(boxes || how != PasteConvention::kRegion,
               "boxes_xyxy: expected boxes for convention 'region', received None");
  require_array<std::uint8_t>("out", out, {count, image.height, image.width}, Layout::kContiguous);
  auto* first = array_data<std::uint8_t>(out);
  Boxes windows(static_cast<std::size_t>(count), {0, 0, image.width, image.height});
  std::vector<std::uint8_t*> targets;
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    targets.push_back(first + n * image.height * image.width);
  }
  py::gil_scoped_release released;
  paste_masks(view, how, box_data, image, {mask_threshold, inclusive}, windows.data(),
              targets.data(), threads);
}

py::list bind_paste_mask_crops(const py::array& masks, py::array boxes, const Pair& image_hw,
                               const std::string& convention, double mask_threshold, bool inclusive,
                               int threads) {
  const ImageSize image = size_of(image_hw);
  const PasteConvention how = convention_of(convention);
  const StridedArray view = masks_view(masks, how);
  const float* box_data = boxes_data(boxes, view.shape[0]);
  const Boxes windows = crops_of(box_data, view.shape[0], image);
  py::list crops;
  std::vector<std::uint8_t*> targets;
  for (const PixelBox& window : windows) {
    py::array_t<std::uint8_t> crop({window.height(), window.width()});
    targets.push_back(crop.mutable_data());
    crops.append(std::move(crop));
  }
  {
    py::gil_scoped_release released;
    paste_masks(view, how, box_data, image, {mask_threshold, inclusive}, windows.data(),
                targets.data(), threads);
  }
  return crops;
}

py::bytes bind_encode_rle(const py::array& mask, int threads) {
  const StridedArray view = strided_array("mask", mask, 2);
  std::string counts;
  {
    py::gil_scoped_release released;
    counts = encode_rle(view, threads);
  }
  return counts;
}

py::tuple bind_encode_mask_crops(const py::array& masks, py::array boxes, py::array indices,
                                 double mask_threshold, bool inclusive, int threads) {
  const StridedArray view = strided_array("masks", masks, 3);
  require_array<const std::int64_t>("indices", indices, {kAnyLength}, Layout::kContiguous);
  const py::ssize_t count = indices.shape(0);
  const auto* rows = array_data<const std::int64_t>(indices);
  for (py::ssize_t n = 0; n < count; ++n) {
    HPIP_REQUIRE(rows[n] >= 0 && rows[n] < view.shape[0], "indices[", n,
                 "]: expected an index from 0 to below ", view.shape[0], ", received ", rows[n]);
  }
  const float* box_data = boxes_data(boxes, count);
  // No boxes, no image: an empty stack may have any size.
  const Boxes windows =
      count == 0 ? Boxes{} : crops_of(box_data, count, {view.shape[1], view.shape[2]});
  std::vector<std::string> counts;
  {
    py::gil_scoped_release released;
    counts =
        encode_mask_crops(view, rows, windows.data(), count, {mask_threshold, inclusive}, threads);
  }
  py::list strings;
  for (const std::string& text : counts) {
    strings.append(py::bytes(text));
  }
  return py::make_tuple(strings, boxes_array(windows));
}

py::array_t<std::uint8_t> bind_decode_rle(const py::bytes& counts, const Pair& size_hw,
                                          int threads) {
  const ImageSize size = size_of(size_hw);
  const auto text = static_cast<std::string_view>(counts);
  Runs runs;
  {
    py::gil_scoped_release released;
    runs = rle_from_string(text, size);
  }
  py::array_t<std::uint8_t> mask({size.height, size.width});
  std::uint8_t* out = mask.mutable_data();
  {
    py::gil_scoped_release released;
    decode_runs(runs, size, out, threads);
  }
  return mask;
}

std::uint64_t bind_rle_area(const py::bytes& counts) {
  const auto text = static_cast<std::string_view>(counts);
  py::gil_scoped_release released;
  return rle_area(rle_from_string(text));
}

py::tuple bind_rle_to_bbox(const py::bytes& counts, const Pair& size_hw) {
  const auto text = static_cast<std::string_view>(counts);
  const ImageSize size = size_of(size_hw);
  PixelBox box;
  {
    py::gil_scoped_release released;
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
    py::gil_scoped_release released;
    const Runs runs = rle_from_string(text, {height, width});
    merged = rle_to_string(merge_runs(runs, crop, size_of(image_hw)));
  }
  return merged;
}

}  // namespace

void register_masks(py::module_& module) {
  using py::arg;
  module.def("crop_boxes", &bind_crop_boxes, arg("boxes_xyxy"), arg("image_hw"));
  module.def("threshold_masks", &bind_threshold_masks, arg("values"), arg("mask_threshold"),
             arg("inclusive"), arg("out"), arg("threads"));
  module.def("paste_masks", &bind_paste_masks, arg("masks"), arg("boxes_xyxy"), arg("image_hw"),
             arg("convention"), arg("mask_threshold"), arg("inclusive"), arg("out"),
             arg("threads"));
  module.def("paste_mask_crops", &bind_paste_mask_crops, arg("masks"), arg("boxes_xyxy"),
             arg("image_hw"), arg("convention"), arg("mask_threshold"), arg("inclusive"),
             arg("threads"));
  module.def("encode_rle", &bind_encode_rle, arg("mask"), arg("threads"));
  module.def("encode_mask_crops", &bind_encode_mask_crops, arg("masks"), arg("boxes_xyxy"),
             arg("indices"), arg("mask_threshold"), arg("inclusive"), arg("threads"));
  module.def("decode_rle", &bind_decode_rle, arg("counts"), arg("size_hw"), arg("threads"));
  module.def("rle_area", &bind_rle_area, arg("counts"));
  module.def("rle_to_bbox", &bind_rle_to_bbox, arg("counts"), arg("size_hw"));
  module.def("merge_rle", &bind_merge_rle, arg("counts"), arg("crop_hw"), arg("offset_yx"),
             arg("image_hw"));
}

}  // namespace hpip::bindings
