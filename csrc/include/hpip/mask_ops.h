// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/strided_array.h"

// Masks from a network's values: compare, resize, paste, crop. All functions throw InvalidInput
// when an argument is out of contract, and give the same bits for every number of threads (>= 1).
namespace hpip {

// A pixel is foreground when its value is above `value`, or equal to it if `inclusive`. The
// comparison is made in the values' own type: `value` is rounded to float for float32 values, and
// means the exact real number for integers. NaN is background.
struct Threshold {
  double value = 0.5;
  bool inclusive = false;
};

// How the values of one mask lie in the image.
enum class PasteConvention {
  // float32 (M, M') over the instance's box, sampled as Paddle's grid_sample with
  // align_corners=False and zeros outside. Other than in the image, a value at the box's very edge
  // is half the border's.
  kRegion,
  // float32 (h, w) over the whole image, resized as Paddle's bilinear_interp with
  // align_corners=False and align_mode=0: the border's values continue to the edge.
  kImage,
  // (H, W) of any dtype: one value per pixel.
  kPasted,
};

// A bilinear resize of float32 masks before they are pasted.
struct Upsampling {
  // Both 0: there is none.
  ImageSize size;
  // What is kept of it from its top left; what is pasted is this.
  ImageSize kept;
  // (N): outside of it, each mask is zero. Inside `kept`; may be empty.
  const PixelBox* windows = nullptr;

  bool is_none() const { return size.height == 0; }
};

// Throws unless the threshold is finite.
void require_threshold(const Threshold& threshold);

// out[i] = values[i] passes ? 1 : 0, in C order. `out` holds as many items as `values`; it may be
// the memory of `values` if that is uint8 in C order.
void threshold_masks(const StridedArray& values, const Threshold& threshold, std::uint8_t* out,
                     int threads);

// The pixels of each of the `count` boxes (x0, y0, x1, y1), clipped to the image and rounded half
// to even; an axis that rounds to nothing becomes the pixels that the box touches, at least one,
// inside the image. The boxes must be finite with x0 <= x1, y0 <= y1, and the image not empty.
void crop_boxes(const float* boxes_xyxy, std::ptrdiff_t count, ImageSize image, PixelBox* out);

// Fills targets[n] with windows[n].height() x width() items of {0, 1} in C order: the part inside
// windows[n] of mask n as it lies in the image. `masks` is (N, ., .); the last axis must be dense
// for kRegion and kImage. `boxes_xyxy` (N, 4) is read for kRegion only. Windows lie in the image.
void paste_masks(const StridedArray& masks, PasteConvention convention, const float* boxes_xyxy,
                 ImageSize image, const Threshold& threshold, const PixelBox* windows,
                 std::uint8_t* const* targets, int threads);

}  // namespace hpip
