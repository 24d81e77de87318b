// SPDX-License-Identifier: Apache-2.0
// Any string, crop and image must be rejected, or merge into the image and crop from it again
// unchanged.
#include <cstdlib>

#include "fuzz_bytes.h"
#include "hpip/check.h"
#include "hpip/rle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzBytes bytes(data, size);
  const hpip::ImageSize image{bytes.take_up_to(300), bytes.take_up_to(300)};
  const std::ptrdiff_t height = bytes.take_up_to(100);
  const std::ptrdiff_t width = bytes.take_up_to(100);
  const std::ptrdiff_t y = bytes.take_up_to(255) - 128;
  const std::ptrdiff_t x = bytes.take_up_to(255) - 128;
  try {
    const hpip::Runs runs = hpip::rle_from_string(bytes.rest(), {height, width});
    const hpip::PixelBox crop{x, y, x + width, y + height};
    const hpip::Runs merged = hpip::merge_runs(runs, crop, image);
    const hpip::Runs cut = hpip::crop_runs(merged, image, crop);
    if (hpip::rle_area(merged) != hpip::rle_area(runs) || cut != hpip::unite_runs(runs, runs)) {
      std::abort();
    }
  } catch (const hpip::InvalidInput&) {
    return 0;  // refused
  }
  return 0;
}
