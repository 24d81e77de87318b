// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "array_args.h"
#include "hpip/mask_ops.h"

// Converts the arguments that the mask operators have in common. Everything here requires the GIL.
namespace hpip::bindings {

using Boxes = std::vector<PixelBox>;

// (height, width) or (y, x), as Python passes them.
using Pair = std::pair<std::ptrdiff_t, std::ptrdiff_t>;

inline ImageSize size_of(const Pair& hw) { return {hw.first, hw.second}; }

inline DType dtype_of(const char* name, const pybind11::array& array) {
  const auto is = [&](auto tag) {
    return pybind11::isinstance<pybind11::array_t<decltype(tag)>>(array);
  };
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
inline StridedArray strided_array(const char* name, const pybind11::array& array,
                                  pybind11::ssize_t rank) {
  HPIP_REQUIRE(rank == kAnyLength || array.ndim() == rank, name, ": expected ", rank,
               " axes, received a ", array_text(array));
  StridedArray view{array.data(), dtype_of(name, array), {}, {}};
  HPIP_REQUIRE(
      has_whole_strides(array), name,
      ": expected an aligned array whose strides are multiples of the item size, received a ",
      array_text(array), "; pass numpy.ascontiguousarray(...)");
  for (pybind11::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    view.shape.push_back(array.shape(axis));
    view.strides.push_back(item_stride(array, axis));
  }
  return view;
}

inline const float* boxes_data(pybind11::array& boxes, pybind11::ssize_t count) {
  require_array<const float>("boxes_xyxy", boxes, {count, 4}, Layout::kContiguous);
  return array_data<const float>(boxes);
}

inline Boxes crops_of(const float* boxes_xyxy, pybind11::ssize_t count, ImageSize image) {
  Boxes crops(static_cast<std::size_t>(count));
  crop_boxes(boxes_xyxy, count, image, crops.data());
  return crops;
}

inline pybind11::array_t<std::int64_t> boxes_array(const Boxes& boxes) {
  static_assert(sizeof(PixelBox) == 4 * sizeof(std::int64_t), "PixelBox is copied as four items");
  pybind11::array_t<std::int64_t> array(
      {static_cast<pybind11::ssize_t>(boxes.size()), pybind11::ssize_t{4}});
  if (!boxes.empty()) {
    std::memcpy(array.mutable_data(), boxes.data(), boxes.size() * sizeof(PixelBox));
  }
  return array;
}

inline PasteConvention convention_of(std::string_view name) {
  if (name == "region") return PasteConvention::kRegion;
  if (name == "image") return PasteConvention::kImage;
  if (name == "pasted") return PasteConvention::kPasted;
  throw InvalidInput(
      concat("convention: expected 'region', 'image' or 'pasted', received '", name, "'"));
}

}  // namespace hpip::bindings
