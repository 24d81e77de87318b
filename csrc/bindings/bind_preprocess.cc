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
  const py::gil_scoped_release no_gil;
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
  const py::gil_scoped_release no_gil;
  normalize<T>(source, affine, target, threads);
}

void preprocess_arrays(std::vector<py::array> images,
                       const std::vector<std::pair<std::ptrdiff_t, std::ptrdiff_t>>& resized_hw,
                       const std::string& interpolation, const std::vector<float>& factor,
                       const std::vector<float>& offset, bool normalize_first, py::array out,
                       int threads) {
  require_array<float>("out", out, {kAnyLength, 3, kAnyLength, kAnyLength}, Layout::kContiguous);
  HPIP_REQUIRE(images.size() == resized_hw.size(), "resized_hw: expected ", images.size(),
               " sizes, one per image, received ", resized_hw.size());
  std::vector<PreprocessItem> items;
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::string name = concat("images[", i, "]");
    items.push_back({image_view<const std::uint8_t>(name.c_str(), images[i]), resized_hw[i].first,
                     resized_hw[i].second});
  }
  const PreprocessParams params{interpolation_of(interpolation), affine_of(factor, offset, 3),
                                normalize_first};
  const BatchView batch{array_data<float>(out), out.shape(0), out.shape(2), out.shape(3)};
  const py::gil_scoped_release no_gil;
  preprocess(items, params, batch, threads);
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
  module.def("preprocess", &preprocess_arrays, py::arg("images"), py::arg("resized_hw"),
             py::arg("interpolation"), py::arg("factor"), py::arg("offset"),
             py::arg("normalize_first"), py::arg("out"), py::arg("threads"));
}

}  // namespace hpip::bindings
