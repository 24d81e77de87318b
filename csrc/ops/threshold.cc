// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "hpip/check.h"
#include "hpip/mask_ops.h"
#include "hpip/parallel.h"
#include "kernels/predicates.h"
#include "kernels/threshold_row_inl.h"

namespace hpip {
namespace {

// Minimum number of items per thread: the start of a thread takes 20 to 100 us, in which one thread
// compares 10^6 uint8 items.
constexpr std::ptrdiff_t kGrainItems = 1 << 20;

// The array as rows and columns: the trailing axes with a uniform stride are merged to columns, all
// other axes are rows.
struct Rows {
  std::vector<std::ptrdiff_t> outer_shape;
  std::vector<std::ptrdiff_t> outer_strides;
  std::ptrdiff_t length = 1;
  std::ptrdiff_t stride = 1;

  std::ptrdiff_t offset(std::ptrdiff_t row) const {
    std::ptrdiff_t items = 0;
    for (std::size_t axis = outer_shape.size(); axis-- > 0;) {
      items += row % outer_shape[axis] * outer_strides[axis];
      row /= outer_shape[axis];
    }
    return items;
  }
};

Rows rows_of(const StridedArray& array) {
  Rows rows;
  std::size_t axes = array.shape.size();
  if (axes > 0) {
    --axes;
    rows.length = array.shape[axes];
    rows.stride = array.strides[axes];
  }
  while (axes > 0 && array.strides[axes - 1] == rows.length * rows.stride) {
    --axes;
    rows.length *= array.shape[axes];
  }
  const auto outer = static_cast<std::ptrdiff_t>(axes);
  rows.outer_shape.assign(array.shape.begin(), array.shape.begin() + outer);
  rows.outer_strides.assign(array.strides.begin(), array.strides.begin() + outer);
  return rows;
}

}  // namespace

void require_threshold(const Threshold& threshold) {
  HPIP_REQUIRE(std::isfinite(threshold.value),
               "mask_threshold: expected a finite number, received ", threshold.value);
}

void threshold_masks(const StridedArray& values, const Threshold& threshold, std::uint8_t* out,
                     int threads) {
  require_threshold(threshold);
  std::ptrdiff_t total = 1;
  for (const std::ptrdiff_t length : values.shape) {
    total *= length;
  }
  const Rows rows = rows_of(values);
  visit_dtype(values.dtype, [&](auto tag) {
    using T = decltype(tag);
    const T* data = static_cast<const T*>(values.data);
    kernels::visit_threshold<T>(threshold, [&](auto predicate) {
      parallel_for(total, kGrainItems, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
        while (begin < end) {
          const std::ptrdiff_t column = begin % rows.length;
          const std::ptrdiff_t count = std::min(rows.length - column, end - begin);
          const T* row = data + rows.offset(begin / rows.length);
          kernels::threshold_row(row + column * rows.stride, rows.stride,
                                 static_cast<std::size_t>(count), predicate, out + begin);
          begin += count;
        }
      });
    });
  });
}

}  // namespace hpip
