// SPDX-License-Identifier: Apache-2.0
// Any values, boxes and sizes must be rejected, or paste and encode to masks that fit the crop.
#include <cstdlib>

#include "fuzz_bytes.h"
#include "hpip/check.h"
#include "hpip/rle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzBytes bytes(data, size);
  const bool is_region = bytes.take<std::uint8_t>() % 2 != 0;
  const auto convention =
      is_region ? hpip::PasteConvention::kRegion : hpip::PasteConvention::kImage;
  const hpip::ImageSize image{bytes.take_up_to(90), bytes.take_up_to(90)};
  const std::ptrdiff_t height = bytes.take_up_to(12);
  const std::ptrdiff_t width = bytes.take_up_to(12);
  const hpip::Threshold threshold{bytes.take<float>(), bytes.take<std::uint8_t>() % 2 != 0};
  const std::vector<float> box = bytes.take_many<float>(4);
  hpip::Upsampling upsampling{{bytes.take_up_to(40), bytes.take_up_to(40)},
                              {bytes.take_up_to(40), bytes.take_up_to(40)},
                              nullptr};
  const hpip::PixelBox kept_window{0, 0, upsampling.kept.width, upsampling.kept.height};
  upsampling.windows = &kept_window;
  const std::vector<float> values =
      bytes.take_many<float>(static_cast<std::size_t>(height * width));
  const hpip::StridedArray masks{
      values.data(), hpip::DType::kFloat32, {1, height, width}, {height * width, width, 1}};
  try {
    hpip::PixelBox crop;
    hpip::crop_boxes(box.data(), 1, image, &crop);
    std::vector<std::uint8_t> pixels(static_cast<std::size_t>(crop.height() * crop.width()));
    std::uint8_t* const target = pixels.data();
    hpip::paste_masks(masks, convention, box.data(), image, threshold, &crop, &target, 1);
    const std::int64_t index = 0;
    for (const hpip::Upsampling& resize : {hpip::Upsampling{}, upsampling}) {
      const std::vector<std::string> counts = hpip::encode_resampled(
          masks, &index, convention, box.data(), image, resize, &crop, 1, threshold, 1);
      hpip::rle_from_string(counts.at(0), {crop.height(), crop.width()});
    }
  } catch (const hpip::InvalidInput&) {
    return 0;  // refused
  }
  return 0;
}
