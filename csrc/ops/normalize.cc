// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "hpip/parallel.h"
#include "hpip/preprocess_ops.h"
#include "kernels/normalize_hwc_f32_inl.h"
#include "ops/image_checks.h"

namespace hpip {
namespace {

template <int kChannels, typename T>
void normalize_rows(const ImageView<const T>& image, const ChannelAffine& affine,
                    const ImageView<float>& out, int threads) {
  parallel_for(image.height, row_grain(image.width * kChannels), threads,
               [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
                 for (std::ptrdiff_t y = begin; y < end; ++y) {
                   kernels::normalize_hwc_f32<kChannels>(image.row(y), affine.factor.data(),
                                                         affine.offset.data(), image.width,
                                                         out.row(y));
                 }
               });
}

}  // namespace

template <typename T>
void normalize(ImageView<const T> image, const ChannelAffine& affine, ImageView<float> out,
               int threads) {
  require_image("image", image);
  HPIP_REQUIRE(
      image.height == out.height && image.width == out.width && image.channels == out.channels,
      "out: expected ", image.height, " x ", image.width, " x ", image.channels,
      ", the shape of the image, received ", out.height, " x ", out.width, " x ", out.channels);
  require_threads(threads);
  switch (image.channels) {
    case 1:
      return normalize_rows<1>(image, affine, out, threads);
    case 3:
      return normalize_rows<3>(image, affine, out, threads);
    default:
      return normalize_rows<4>(image, affine, out, threads);
  }
}

template HPIP_EXPORTED void normalize(ImageView<const std::uint8_t>, const ChannelAffine&,
                                      ImageView<float>, int);
template HPIP_EXPORTED void normalize(ImageView<const float>, const ChannelAffine&,
                                      ImageView<float>, int);

}  // namespace hpip
