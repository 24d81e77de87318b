// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "bindings.h"
#include "mask_args.h"
#include "released_gil.h"

namespace py = pybind11;

namespace hpip::bindings {
namespace {

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
  ReleasedGil released;
  threshold_masks(view, {mask_threshold, inclusive}, target, threads);
}

// Boxes may be None for the convention "image" with targets of the size of the image.
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
  targets.reserve(static_cast<std::size_t>(count));
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    targets.push_back(first + n * image.height * image.width);
  }
  ReleasedGil released;
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
    ReleasedGil released;
    paste_masks(view, how, box_data, image, {mask_threshold, inclusive}, windows.data(),
                targets.data(), threads);
  }
  return crops;
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
}

}  // namespace hpip::bindings
