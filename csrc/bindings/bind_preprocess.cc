// SPDX-License-Identifier: Apache-2.0
#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "array_args.h"
#include "bindings.h"
#include "hpip/preprocess_ops.h"
#include "released_gil.h"

namespace py = pybind11;

namespace hpip::bindings {
namespace {

Interpolation interpolation_of(const std::string& name) {
  if (name == "nearest") return Interpolation::kNearest;
  if (name == "linear") return Interpolation::kLinear;
  if (name == "cubic") return Interpolation::kCubic;
  if (name == "area") return Interpolation::kArea;
  throw InvalidInput(concat(
      "interpolation: expected 'nearest', 'linear', 'cubic' or 'area', received '", name, "'"));
}

ChannelAffine affine_of(const std::vector<float>& factor, const std::vector<float>& offset,
                        std::size_t channels) {
  HPIP_REQUIRE(factor.size() == channels && offset.size() == channels, "mean, std: expected ",
               channels, " numbers each, one per channel, received ", offset.size(), " and ",
               factor.size());
  ChannelAffine affine;
  std::copy(factor.begin(), factor.end(), affine.factor.begin());
  std::copy(offset.begin(), offset.end(), affine.offset.begin());
  return affine;
}

template <typename T>
void resize_array(py::array image, const std::string& interpolation, py::array out, int threads) {
  const ImageView<const T> source = image_view<const T>("image", image);
  const ImageView<T> target = image_view<T>("out", out);
  const Interpolation kind = interpolation_of(interpolation);
  const ReleasedGil no_gil;
  resize<T>(source, kind, target, threads);
}

template <typename T>
void normalize_array(py::array image, const std::vector<float>& factor,
                     const std::vector<float>& offset, py::array out, int threads) {
  const ImageView<const T> source = image_view<const T>("image", image);
  const ImageView<float> target = image_view<float>("out", out);
  const std::size_t channels = static_cast<std::size_t>(source.channels);
  HPIP_REQUIRE(channels <= kMaxChannels, "image: expected 1, 3 or 4 channels, received ", channels);
  const ChannelAffine affine = affine_of(factor, offset, channels);
  const ReleasedGil no_gil;
  normalize<T>(source, affine, target, threads);
}

ChannelOrder channel_order_of(const std::string& name) {
  if (name == "bgr") return ChannelOrder::kBgr;
  if (name == "rgb") return ChannelOrder::kRgb;
  throw InvalidInput(concat("channel_order: expected 'bgr' or 'rgb', received '", name, "'"));
}

TensorLayout layout_of(const std::string& name) {
  if (name == "nchw") return TensorLayout::kNchw;
  if (name == "nhwc") return TensorLayout::kNhwc;
  throw InvalidInput(concat("layout: expected 'nchw' or 'nhwc', received '", name, "'"));
}

// The tensor in `out`, which is an array of T; float16 is passed as uint16.
template <typename T>
BatchView<T> batch_view(py::array& out, TensorLayout layout) {
  if (layout == TensorLayout::kNhwc) {
    require_array<T>("out", out, {kAnyLength, kAnyLength, kAnyLength, 3}, Layout::kContiguous);
    return {array_data<T>(out), out.shape(0), out.shape(1), out.shape(2), layout};
  }
  require_array<T>("out", out, {kAnyLength, 3, kAnyLength, kAnyLength}, Layout::kContiguous);
  return {array_data<T>(out), out.shape(0), out.shape(2), out.shape(3), layout};
}

template <typename T>
void preprocess_arrays(std::vector<py::array> images,
                       const std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>& resized_hw,
                       const std::string& interpolation, const std::vector<float>& factor,
                       const std::vector<float>& offset, bool normalize_first,
                       const std::string& channel_order, py::array out, const std::string& layout,
                       int threads) {
  const BatchView<T> batch = batch_view<T>(out, layout_of(layout));
  HPIP_REQUIRE(images.size() == resized_hw.size(), "resized_hw: expected ", images.size(),
               " sizes, one per image, received ", resized_hw.size());
  std::vector<PreprocessItem> items;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::string name = concat("images[", i, "]");
    items.push_back({image_view<const std::uint8_t>(name.c_str(), images[i]), resized_hw[i].first,
                     resized_hw[i].second});
  }
  const PreprocessParams params{interpolation_of(interpolation), affine_of(factor, offset, 3),
                                normalize_first, channel_order_of(channel_order)};
  const ReleasedGil no_gil;
  preprocess<T>(items, params, batch, threads);
}

template <typename T>
void register_preprocess_of(py::module_& module, const char* name) {
  module.def(name, &preprocess_arrays<T>, py::arg("images"), py::arg("resized_hw"),
             py::arg("interpolation"), py::arg("factor"), py::arg("offset"),
             py::arg("normalize_first"), py::arg("channel_order"), py::arg("out"),
             py::arg("layout"), py::arg("threads"));
}

}  // namespace

void register_preprocess(py::module_& module) {
  module.def("resize_u8", &resize_array<std::uint8_t>, py::arg("image"), py::arg("interpolation"),
             py::arg("out"), py::arg("threads"));
  module.def("resize_f32", &resize_array<float>, py::arg("image"), py::arg("interpolation"),
             py::arg("out"), py::arg("threads"));
  module.def("normalize_u8", &normalize_array<std::uint8_t>, py::arg("image"), py::arg("factor"),
             py::arg("offset"), py::arg("out"), py::arg("threads"));
  module.def("normalize_f32", &normalize_array<float>, py::arg("image"), py::arg("factor"),
             py::arg("offset"), py::arg("out"), py::arg("threads"));
  register_preprocess_of<float>(module, "preprocess_f32");
  register_preprocess_of<std::uint16_t>(module, "preprocess_f16");
}

}  // namespace hpip::bindings
