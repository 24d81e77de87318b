// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "hpip/check.h"
#include "hpip/parallel.h"
#include "hpip/rle.h"
#include "ops/mask_encoder.h"
#include "ops/sample_axis.h"
#include "ops/source_columns.h"

namespace hpip {
namespace {

// The arguments that are the same for all masks.
struct EncodeJob {
  const StridedArray& masks;
  PasteConvention convention;
  ImageSize image;
  const Upsampling& upsampling;
  UpsampleTaps taps;
};

// The encoder and buffers of one thread.
struct EncodeTools {
  AxisMaker columns{kCellColumns};  // the columns of a strip are the bits of a word
  AxisMaker rows{std::numeric_limits<std::size_t>::max() / 2};
  MaskEncoder encoder;
};

std::string encode_mask(const EncodeJob& job, std::ptrdiff_t mask_index, std::ptrdiff_t n,
                        const float* box, const PixelBox& window, float limit, EncodeTools& tools) {
  const Plane<float> mask = plane_of<float>(job.masks, mask_index);
  const PixelRange x_range{window.x0, window.width()};
  const PixelRange y_range{window.y0, window.height()};
  if (job.convention == PasteConvention::kRegion) {
    PlaneColumns columns(mask, 1);
    const SampleAxis& xs = tools.columns.over_region(box[0], box[2], mask.width, x_range);
    const SampleAxis& ys = tools.rows.over_region(box[1], box[3], mask.height, y_range);
    return tools.encoder.encode(columns, xs, ys, limit);
  }
  const bool is_direct = job.upsampling.is_none();
  const ImageSize source = is_direct ? ImageSize{mask.height, mask.width} : job.upsampling.kept;
  const SampleAxis& xs = tools.columns.over_image(source.width, job.image.width, x_range);
  const SampleAxis& ys = tools.rows.over_image(source.height, job.image.height, y_range);
  if (is_direct) {
    PlaneColumns columns(mask, 0);
    return tools.encoder.encode(columns, xs, ys, limit);
  }
  UpsampledColumns columns(mask, job.taps, job.upsampling.windows[n]);
  return tools.encoder.encode(columns, xs, ys, limit);
}

// "At least x" is equivalent to "above the next smaller float".
float exclusive_limit(const Threshold& threshold) {
  const auto limit = static_cast<float>(threshold.value);
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  return threshold.inclusive ? std::nextafter(limit, kLowest) : limit;
}

void require_upsampling(const Upsampling& upsampling, std::ptrdiff_t count) {
  const auto [size, kept, windows] = upsampling;
  HPIP_REQUIRE(size.height >= 1 && size.width >= 1 && kept.height >= 1 && kept.width >= 1 &&
                   kept.height <= size.height && kept.width <= size.width,
               "upsampling: expected a size of at least 1 x 1 and a kept_hw inside it, received ",
               size.height, " x ", size.width, " and ", kept.height, " x ", kept.width);
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    const PixelBox& window = windows[n];
    HPIP_REQUIRE(window.x0 >= 0 && window.y0 >= 0 && window.x0 <= window.x1 &&
                     window.y0 <= window.y1 && window.x1 <= kept.width && window.y1 <= kept.height,
                 "windows_xyxy[", n, "]: expected a window inside ", kept.height, " x ", kept.width,
                 ", received rows ", window.y0, " to ", window.y1, " and columns ", window.x0,
                 " to ", window.x1);
  }
}

void require_resampling(const StridedArray& masks, PasteConvention convention, ImageSize image,
                        const Upsampling& upsampling, const PixelBox* windows,
                        std::ptrdiff_t count) {
  constexpr std::ptrdiff_t kLongestSide = std::numeric_limits<std::int32_t>::max() - 2;
  constexpr std::int64_t kMostPixels = std::numeric_limits<std::uint32_t>::max();
  HPIP_REQUIRE(convention != PasteConvention::kPasted,
               "convention: expected 'region' or 'image', received 'pasted'");
  HPIP_REQUIRE(image.height >= 1 && image.width >= 1,
               "image_hw: expected at least one row and one column, received (", image.height, ", ",
               image.width, ")");
  HPIP_REQUIRE(upsampling.is_none() || convention == PasteConvention::kImage,
               "upsampling: expected none for convention 'region', received one");
  if (count == 0) {
    return;
  }
  const std::ptrdiff_t height = masks.shape[1];
  const std::ptrdiff_t width = masks.shape[2];
  HPIP_REQUIRE(height >= 1 && width >= 1 && std::max(height, width) <= kLongestSide,
               "masks: expected at least one row and one column, received (", height, ", ", width,
               ")");
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    HPIP_REQUIRE(windows[n].height() <= kMostPixels / windows[n].width(), "boxes_xyxy[", n,
                 "]: expected at most 2^32 - 1 pixels, received (", windows[n].height(), ", ",
                 windows[n].width(), ")");
  }
  if (!upsampling.is_none()) {
    require_upsampling(upsampling, count);
  }
}

}  // namespace

std::vector<std::string> encode_resampled(const StridedArray& masks, const std::int64_t* indices,
                                          PasteConvention convention, const float* boxes_xyxy,
                                          ImageSize image, const Upsampling& upsampling,
                                          const PixelBox* windows, std::ptrdiff_t count,
                                          const Threshold& threshold, int threads) {
  require_threshold(threshold);
  require_resampling(masks, convention, image, upsampling, windows, count);
  std::vector<std::string> counts(static_cast<std::size_t>(count));
  EncodeJob job{masks, convention, image, upsampling, {}};
  if (!upsampling.is_none()) {
    job.taps = upsample_taps(upsampling, {masks.shape[1], masks.shape[2]});
  }
  const float limit = exclusive_limit(threshold);
  parallel_for(count, 1, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    EncodeTools tools;
    for (std::ptrdiff_t n = begin; n < end; ++n) {
      const float* box = boxes_xyxy == nullptr ? nullptr : boxes_xyxy + 4 * n;
      counts[static_cast<std::size_t>(n)] = encode_mask(
          job, static_cast<std::ptrdiff_t>(indices[n]), n, box, windows[n], limit, tools);
    }
  });
  return counts;
}

}  // namespace hpip
