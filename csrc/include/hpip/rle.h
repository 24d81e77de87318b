// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "hpip/exported.h"
#include "hpip/mask_ops.h"
#include "hpip/strided_array.h"

// Run-length encoding (RLE) of masks, as defined by COCO and pycocotools. All functions throw
// InvalidInput if an argument is not valid; a mask may have at most 2^32 - 1 pixels.
namespace hpip HPIP_EXPORTED {

// Lengths of alternating runs of zeros and ones, starting with zeros, over a mask's pixels in
// column-major order. In the output of hpip, only the first run may be empty, and an empty mask is
// {0}; input may have empty runs anywhere. The sum fits into 32 bits.
using Runs = std::vector<std::uint32_t>;

// Returns COCO's compressed string. Each run, from the fourth on as the difference from the run two
// before, is written in groups of 5 bits, lowest first, as the characters '0' to 'o'. Bit 5 means
// that more groups follow; bit 4 of the last group is the sign.
std::string rle_to_string(const Runs& runs);
std::string rle_to_string(const std::uint32_t* runs, std::size_t count);

// Parses COCO's compressed string. Throws for other characters, a string that ends within a run, a
// run with more characters than necessary, and negative or too large runs or sums.
Runs rle_from_string(std::string_view counts);

// As above; also throws unless the runs cover exactly the pixels of a mask of `size`.
Runs rle_from_string(std::string_view counts, ImageSize size);

// Encodes a (height, width) mask of any dtype and strides; every value other than 0 is foreground.
std::string encode_rle(const StridedArray& mask, int threads);

// Encodes windows[n] of masks[indices[n]] for each of `count` windows; `masks` is (N, H, W) of any
// dtype and strides and is not copied. Windows and indices must lie inside.
std::vector<std::string> encode_mask_crops(const StridedArray& masks, const std::int64_t* indices,
                                           const PixelBox* windows, std::ptrdiff_t count,
                                           const Threshold& threshold, int threads);

// Encodes windows[n] of masks[indices[n]] like `paste_masks` and `encode_rle`, but without decoded
// pixels: the cost is proportional to the size of the source and the number of runs. The result is
// equal at every pixel whose value is not within rounding error of the threshold. `masks` is
// (N, ., .) float32, the convention is not kPasted; `boxes_xyxy` (count, 4) is used for kRegion,
// `upsampling` for kImage.
std::vector<std::string> encode_resampled(const StridedArray& masks, const std::int64_t* indices,
                                          PasteConvention convention, const float* boxes_xyxy,
                                          ImageSize image, const Upsampling& upsampling,
                                          const PixelBox* windows, std::ptrdiff_t count,
                                          const Threshold& threshold, int threads);

// Writes the mask as height x width items of {0, 1} in C order. `runs` must fit `size`.
void decode_runs(const Runs& runs, ImageSize size, std::uint8_t* out, int threads);

// Number of foreground pixels.
std::uint64_t rle_area(const Runs& runs);

// Bounding box of the foreground; all zeros if there is none. `runs` must fit `size`.
PixelBox rle_to_bbox(const Runs& runs, ImageSize size);

// Converts the runs of a crop to those of a mask of the whole image, with background outside the
// crop. `runs` must fit the crop, which must lie inside the image.
Runs merge_runs(const Runs& runs, const PixelBox& crop, ImageSize image);

// Converts the runs of a mask to those of its part inside `crop`, which must lie inside the mask.
// `runs` must fit `size`.
Runs crop_runs(const Runs& runs, ImageSize size, const PixelBox& crop);

// Union, intersection, and intersection area of two masks of the same size.
Runs unite_runs(const Runs& a, const Runs& b);
Runs intersect_runs(const Runs& a, const Runs& b);
std::uint64_t shared_area(const Runs& a, const Runs& b);

}  // namespace hpip HPIP_EXPORTED
