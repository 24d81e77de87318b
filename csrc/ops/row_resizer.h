// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>

#include "hpip/preprocess_ops.h"

// Resizing as a stream of rows: the tables are computed once per image and shared by the threads;
// each thread processes its own range of output rows with its own small buffers.
namespace hpip {

// The rows of an image with values of T. A returned row is valid until the next call.
template <typename T>
class RowSource {
 public:
  virtual ~RowSource() = default;
  virtual const T* row(std::ptrdiff_t y) = 0;
};

// The rows of a view, without copies.
template <typename T>
class ViewRows final : public RowSource<T> {
 public:
  explicit ViewRows(ImageView<const T> view) : view_(view) {}
  const T* row(std::ptrdiff_t y) override { return view_.row(y); }

 private:
  ImageView<const T> view_;
};

// Writes row `y` of the resized image: target width * channels values. Fastest if y ascends.
template <typename T>
class RowResizer {
 public:
  virtual ~RowResizer() = default;
  virtual void row(std::ptrdiff_t y, T* out) = 0;
};

struct ResizeShape {
  std::ptrdiff_t source_height = 0;
  std::ptrdiff_t source_width = 0;
  std::ptrdiff_t target_height = 0;
  std::ptrdiff_t target_width = 0;
  std::ptrdiff_t channels = 0;  // 1, 3 or 4
};

// The tables of one resize. Immutable; both it and `source` must outlive the resizers that it
// creates.
template <typename T>
class ResizePlan {
 public:
  virtual ~ResizePlan() = default;
  virtual std::unique_ptr<RowResizer<T>> resizer(RowSource<T>& source) const = 0;
};

// Sides must be from 1 to kMaxSide. Defined for uint8_t and float.
template <typename T>
std::unique_ptr<ResizePlan<T>> make_resize_plan(const ResizeShape& shape,
                                                Interpolation interpolation);

}  // namespace hpip
