// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <initializer_list>
#include <string>
#include <type_traits>

#include "hpip/check.h"
#include "hpip/image_view.h"

// Converts NumPy arrays to raw views. Everything here requires the GIL; the views do not, but the
// array must outlive them, so a binding keeps its py::array parameter while the GIL is released.
namespace hpip::bindings {

enum class Layout {
  kStrided,     // any strides that are whole numbers of items
  kContiguous,  // C order without gaps
};

// Matches any length in a shape.
inline constexpr pybind11::ssize_t kAnyLength = -1;

// "(4, 3)"; kAnyLength is written as "any".
template <typename Lengths>
std::string shape_text(const Lengths& lengths) {
  std::string text = "(";
  const char* separator = "";
  for (const pybind11::ssize_t length : lengths) {
    text += separator;
    text += length == kAnyLength ? "any" : std::to_string(length);
    separator = ", ";
  }
  return text + (lengths.size() == 1 ? ",)" : ")");
}

// "uint8 array of shape (4, 3)"
inline std::string array_text(const pybind11::array& array) {
  const std::string shape = pybind11::str(array.attr("shape"));
  return concat(std::string(pybind11::str(array.dtype())), " array of shape ", shape);
}

inline bool has_shape(const pybind11::array& array,
                      std::initializer_list<pybind11::ssize_t> lengths) {
  if (array.ndim() != static_cast<pybind11::ssize_t>(lengths.size())) {
    return false;
  }
  pybind11::ssize_t axis = 0;
  for (const pybind11::ssize_t length : lengths) {
    if (length != kAnyLength && array.shape(axis) != length) {
      return false;
    }
    ++axis;
  }
  return true;
}

inline bool is_contiguous(const pybind11::array& array) {
  return (array.flags() & pybind11::array::c_style) != 0;
}

// Whether the array is aligned and all strides are multiples of the item size; a field of a
// structured array may violate both.
inline bool has_whole_strides(const pybind11::array& array) {
  if ((array.flags() & pybind11::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0) {
    return false;
  }
  for (pybind11::ssize_t axis = 0; axis < array.ndim(); ++axis) {
    if (array.strides(axis) % array.itemsize() != 0) {
      return false;
    }
  }
  return true;
}

// Checks dtype (T, native byte order), shape and layout and, if T is not const, that the array is
// writeable. Throws InvalidInput with the argument's name, what is expected and what was received.
template <typename T>
void require_array(const char* name, const pybind11::array& array,
                   std::initializer_list<pybind11::ssize_t> lengths, Layout layout) {
  using Item = std::remove_const_t<T>;
  const std::string dtype = pybind11::str(pybind11::dtype::of<Item>());
  HPIP_REQUIRE(pybind11::isinstance<pybind11::array_t<Item>>(array) && has_shape(array, lengths),
               name, ": expected a ", dtype, " array of shape ", shape_text(lengths),
               ", received a ", array_text(array));
  HPIP_REQUIRE(layout != Layout::kContiguous || is_contiguous(array), name,
               ": expected a C-contiguous array, received a ", array_text(array),
               " that is not contiguous; pass numpy.ascontiguousarray(...)");
  HPIP_REQUIRE(
      has_whole_strides(array), name,
      ": expected an aligned array whose strides are multiples of the item size, received a ",
      array_text(array), "; pass numpy.ascontiguousarray(...)");
  if constexpr (!std::is_const_v<T>) {
    HPIP_REQUIRE(array.writeable(), name,
                 ": expected an array that can be written to, received a read-only ",
                 array_text(array), "; pass a copy");
  }
}

// The array's first item; call after require_array<T>.
template <typename T>
T* array_data(pybind11::array& array) {
  if constexpr (std::is_const_v<T>) {
    return static_cast<T*>(array.data());
  } else {
    return static_cast<T*>(array.mutable_data());
  }
}

// Stride of `axis` in items; may be negative or zero.
inline std::ptrdiff_t item_stride(const pybind11::array& array, pybind11::ssize_t axis) {
  return array.strides(axis) / array.itemsize();
}

// A view of a (height, width) or (height, width, channels) image whose pixels are contiguous within
// a row. Throws InvalidInput for another dtype, rank or layout. Does not check sizes.
template <typename T>
ImageView<T> image_view(const char* name, pybind11::array& array) {
  if (array.ndim() == 2) {
    require_array<T>(name, array, {kAnyLength, kAnyLength}, Layout::kStrided);
  } else {
    require_array<T>(name, array, {kAnyLength, kAnyLength, kAnyLength}, Layout::kStrided);
  }
  const std::ptrdiff_t channels = array.ndim() == 2 ? 1 : array.shape(2);
  // The stride of an axis of length 0 or 1 is never used and may be anything.
  const bool rows_are_dense = (array.shape(1) <= 1 || item_stride(array, 1) == channels) &&
                              (array.ndim() == 2 || channels <= 1 || item_stride(array, 2) == 1);
  HPIP_REQUIRE(array.size() == 0 || rows_are_dense, name,
               ": expected rows of contiguous pixels, received a ", array_text(array),
               " in another layout; pass numpy.ascontiguousarray(...)");
  return {array_data<T>(array), array.shape(0), array.shape(1), channels, item_stride(array, 0)};
}

}  // namespace hpip::bindings
