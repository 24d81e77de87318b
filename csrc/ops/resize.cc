// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>

#include "hpip/parallel.h"
#include "hpip/preprocess_ops.h"
#include "ops/image_checks.h"
#include "ops/row_resizer.h"

namespace hpip {

template <typename T>
void resize(ImageView<const T> image, Interpolation interpolation, ImageView<T> out, int threads) {
  require_image("image", image);
  require_sides("size_hw", out.height, out.width);
  HPIP_REQUIRE(image.channels == out.channels, "out: expected ", image.channels,
               " channels, as in the image, received ", out.channels);
  require_threads(threads);
  const std::unique_ptr<ResizePlan<T>> plan = make_resize_plan<T>(
      {image.height, image.width, out.height, out.width, image.channels}, interpolation);
  parallel_for(out.height, row_grain(out.width * out.channels), threads,
               [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                 ViewRows<T> source(image);
                 const std::unique_ptr<RowResizer<T>> resizer = plan->resizer(source);
                 for (std::ptrdiff_t y = begin; y < end; ++y) {
                   resizer->row(y, out.row(y));
                 }
               });
}

template HPIP_EXPORTED void resize(ImageView<const std::uint8_t>, Interpolation,
                                   ImageView<std::uint8_t>, int);
template HPIP_EXPORTED void resize(ImageView<const float>, Interpolation, ImageView<float>, int);

}  // namespace hpip
