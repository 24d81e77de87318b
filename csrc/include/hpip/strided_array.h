// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "hpip/dcheck.h"
#include "hpip/exported.h"

namespace hpip HPIP_EXPORTED {

enum class DType {
  kInt8,
  kUInt8,
  kInt16,
  kUInt16,
  kInt32,
  kUInt32,
  kInt64,
  kUInt64,
  kFloat32,
  kFloat64,
};

// A non-owning view of an array whose element type is known only at run time. Strides are in items,
// one per axis, positive or negative. The memory must outlive the view.
struct StridedArray {
  const void* data = nullptr;
  DType dtype = DType::kUInt8;
  std::vector<std::ptrdiff_t> shape;
  std::vector<std::ptrdiff_t> strides;
};

// One (height, width) plane with strides in items.
template <typename T>
struct Plane {
  const T* data = nullptr;
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
  std::ptrdiff_t row_stride = 0;
  std::ptrdiff_t column_stride = 0;

  const T* at(std::ptrdiff_t y, std::ptrdiff_t x) const {
    return data + y * row_stride + x * column_stride;
  }
};

struct ImageSize {
  std::ptrdiff_t height = 0;
  std::ptrdiff_t width = 0;
};

// Whole pixels, half-open: x0 <= x < x1 and y0 <= y < y1.
struct PixelBox {
  std::int64_t x0 = 0;
  std::int64_t y0 = 0;
  std::int64_t x1 = 0;
  std::int64_t y1 = 0;

  std::ptrdiff_t height() const { return static_cast<std::ptrdiff_t>(y1 - y0); }
  std::ptrdiff_t width() const { return static_cast<std::ptrdiff_t>(x1 - x0); }
};

// The part of `plane` inside `window`, which must lie within it.
template <typename T>
Plane<T> crop_plane(const Plane<T>& plane, const PixelBox& window) {
  HPIP_DCHECK(window.x0, >=, 0);
  HPIP_DCHECK(window.y0, >=, 0);
  HPIP_DCHECK(window.x0, <=, window.x1);
  HPIP_DCHECK(window.y0, <=, window.y1);
  HPIP_DCHECK(window.x1, <=, plane.width);
  HPIP_DCHECK(window.y1, <=, plane.height);
  const T* origin =
      plane.at(static_cast<std::ptrdiff_t>(window.y0), static_cast<std::ptrdiff_t>(window.x0));
  return {origin, window.height(), window.width(), plane.row_stride, plane.column_stride};
}

// The last two axes of `array` as a plane; for a stack of planes, the one at `index`.
template <typename T>
Plane<T> plane_of(const StridedArray& array, std::ptrdiff_t index = 0) {
  HPIP_DCHECK(array.shape.size(), >=, 2U);
  const std::size_t y = array.shape.size() - 2;
  const std::ptrdiff_t offset = y == 0 ? 0 : index * array.strides[0];
  return {static_cast<const T*>(array.data) + offset, array.shape[y], array.shape[y + 1],
          array.strides[y], array.strides[y + 1]};
}

// Calls visitor(T{}) with the C++ type behind `dtype`, and returns what it returns.
template <typename Visitor>
auto visit_dtype(DType dtype, Visitor&& visitor) {
  switch (dtype) {
    case DType::kInt8:
      return visitor(std::int8_t{});
    case DType::kUInt8:
      return visitor(std::uint8_t{});
    case DType::kInt16:
      return visitor(std::int16_t{});
    case DType::kUInt16:
      return visitor(std::uint16_t{});
    case DType::kInt32:
      return visitor(std::int32_t{});
    case DType::kUInt32:
      return visitor(std::uint32_t{});
    case DType::kInt64:
      return visitor(std::int64_t{});
    case DType::kUInt64:
      return visitor(std::uint64_t{});
    case DType::kFloat32:
      return visitor(float{});
    case DType::kFloat64:
      return visitor(double{});
  }
  throw std::logic_error("visit_dtype: a DType without a case");
}

}  // namespace hpip HPIP_EXPORTED
