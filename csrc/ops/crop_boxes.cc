// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "hpip/check.h"
#include "hpip/mask_ops.h"

namespace hpip {
namespace {

struct PixelSpan {
  std::int64_t begin;
  std::int64_t end;
};

PixelSpan crop_span(float low, float high, std::ptrdiff_t image_length) {
  const auto length = static_cast<double>(image_length);
  const double clipped_low = std::clamp(static_cast<double>(low), 0.0, length);
  const double clipped_high = std::clamp(static_cast<double>(high), 0.0, length);
  // nearbyint rounds half to even, as Python's round() does.
  PixelSpan span{static_cast<std::int64_t>(std::nearbyint(clipped_low)),
                 static_cast<std::int64_t>(std::nearbyint(clipped_high))};
  if (span.begin >= span.end) {
    span.begin = std::min<std::int64_t>(static_cast<std::int64_t>(clipped_low), image_length - 1);
    span.end =
        std::max<std::int64_t>(span.begin + 1, static_cast<std::int64_t>(std::ceil(clipped_high)));
  }
  return span;
}

}  // namespace

void crop_boxes(const float* boxes_xyxy, std::ptrdiff_t count, ImageSize image, PixelBox* out) {
  HPIP_REQUIRE(image.height >= 1 && image.width >= 1,
               "image_hw: expected at least one row and one column, received (", image.height, ", ",
               image.width, ")");
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    const float* box = boxes_xyxy + 4 * i;
    const bool is_finite =
        std::all_of(box, box + 4, [](float value) { return std::isfinite(value); });
    HPIP_REQUIRE(is_finite && box[0] <= box[2] && box[1] <= box[3], "boxes_xyxy[", i,
                 "]: expected finite x0 <= x1 and y0 <= y1, received (", box[0], ", ", box[1], ", ",
                 box[2], ", ", box[3], "); remove such boxes first");
    HPIP_REQUIRE(std::isfinite(box[2] - box[0]) && std::isfinite(box[3] - box[1]), "boxes_xyxy[", i,
                 "]: expected a width and a height that float32 can hold, received (", box[0], ", ",
                 box[1], ", ", box[2], ", ", box[3], "); clip the boxes first");
    const PixelSpan x = crop_span(box[0], box[2], image.width);
    const PixelSpan y = crop_span(box[1], box[3], image.height);
    out[i] = {x.begin, y.begin, x.end, y.end};
  }
}

}  // namespace hpip
