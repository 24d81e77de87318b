// SPDX-License-Identifier: Apache-2.0
// Any image, size, row stride and interpolation must be rejected, or write every float of the
// batch.
#include <cmath>
#include <cstdlib>
#include <limits>

#include "fuzz_bytes.h"
#include "hpip/check.h"
#include "hpip/preprocess_ops.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzBytes bytes(data, size);
  const std::ptrdiff_t height = bytes.take_up_to(40);
  const std::ptrdiff_t width = bytes.take_up_to(40);
  const std::ptrdiff_t row_stride = 3 * width + bytes.take_up_to(5);
  const std::ptrdiff_t channels = bytes.take<std::uint8_t>() % 2 == 0 ? 3 : 1;
  hpip::BatchView<float> batch{nullptr, 1, bytes.take_up_to(70), bytes.take_up_to(70)};
  batch.layout = static_cast<hpip::TensorLayout>(bytes.take<std::uint8_t>() % 2);
  const std::ptrdiff_t resized_height = bytes.take_up_to(72);
  const std::ptrdiff_t resized_width = bytes.take_up_to(72);
  hpip::PreprocessParams params;
  params.interpolation = static_cast<hpip::Interpolation>(bytes.take<std::uint8_t>() % 4);
  params.order = static_cast<hpip::ChannelOrder>(bytes.take<std::uint8_t>() % 2);
  params.normalize_first = bytes.take<std::uint8_t>() % 2 != 0;
  const auto pixels = bytes.take_many<std::uint8_t>(static_cast<std::size_t>(height * row_stride));
  const auto plane = static_cast<std::size_t>(batch.height * batch.width);
  std::vector<float> out(3 * plane, std::numeric_limits<float>::quiet_NaN());
  batch.data = out.data();
  try {
    const hpip::ImageView<const std::uint8_t> image{pixels.data(), height, width, channels,
                                                    row_stride};
    hpip::preprocess<float>({{image, resized_height, resized_width}}, params, batch, 1);
  } catch (const hpip::InvalidInput&) {
    return 0;
  }
  for (const float value : out) {
    if (!std::isfinite(value)) {
      std::abort();
    }
  }
  return 0;
}
