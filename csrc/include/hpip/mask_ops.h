// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hpip/exported.h"
#include "hpip/strided_array.h"

// Operators that turn a network's values into masks: threshold, resize, paste, crop. All functions
// throw InvalidInput if an argument is not valid, and return the same bits for every number of
// threads (>= 1).
namespace hpip HPIP_EXPORTED {

// A pixel is foreground if its value is above `value`, or equal to it if `inclusive`. Values are
// compared in their own type: for float32 values, `value` is rounded to float; for integers, it is
// the exact real number. NaN is background.
struct Threshold {
  double value = 0.5;
  bool inclusive = false;
};

// Which part of the image the values of a mask cover.
enum class PasteConvention {
  // float32 (M, M') over the instance's box, sampled as by Paddle's grid_sample with
  // align_corners=False and zero padding. Unlike with kImage, a sample at the edge of the box is
  // half the value at the border.
  kRegion,
  // float32 (h, w) over the whole image, resized as by Paddle's bilinear_interp with
  // align_corners=False and align_mode=0: values at the border are replicated up to the edge.
  kImage,
  // (H, W) of any dtype: one value per pixel.
  kPasted,
};

// A bilinear resize of float32 masks before they are pasted.
struct Upsampling {
  // Size after the resize; (0, 0) for no resize.
  ImageSize size;
  // Size of the top left part of the resized mask that is pasted.
  ImageSize kept;
  // (N) windows inside `kept`, which may be empty; each mask is zero outside its window.
  const PixelBox* windows = nullptr;

  bool is_none() const { return size.height == 0; }
};

// Throws unless the threshold is finite.
void require_threshold(const Threshold& threshold);

// out[i] = values[i] is foreground ? 1 : 0, in C order. `out` has as many items as `values`; it may
// be the memory of `values` if they are uint8 in C order.
void threshold_masks(const StridedArray& values, const Threshold& threshold, std::uint8_t* out,
                     int threads);

// Computes the pixels of each of the `count` boxes (x0, y0, x1, y1), clipped to the image and
// rounded half to even. If an axis is empty after rounding, it becomes the pixels that the box
// touches: at least one, inside the image. Boxes must be finite with x0 <= x1 and y0 <= y1, and the
// image must not be empty.
void crop_boxes(const float* boxes_xyxy, std::ptrdiff_t count, ImageSize image, PixelBox* out);

// Writes the part of mask n, pasted into the image, that lies inside windows[n] to targets[n]:
// windows[n].height() x width() items of {0, 1} in C order. `masks` is (N, ., .); its last axis
// must be contiguous for kRegion and kImage. `boxes_xyxy` (N, 4) is used for kRegion only. Windows
// must lie in the image.
void paste_masks(const StridedArray& masks, PasteConvention convention, const float* boxes_xyxy,
                 ImageSize image, const Threshold& threshold, const PixelBox* windows,
                 std::uint8_t* const* targets, int threads);

}  // namespace hpip HPIP_EXPORTED
