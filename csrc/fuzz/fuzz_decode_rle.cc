// SPDX-License-Identifier: Apache-2.0
// Any string and size must be rejected, or decode to a mask that encodes and decodes to the same
// mask.
#include <cstdlib>

#include "fuzz_bytes.h"
#include "hpip/check.h"
#include "hpip/rle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzBytes bytes(data, size);
  const hpip::ImageSize shape{bytes.take_up_to(200), bytes.take_up_to(200)};
  try {
    const hpip::Runs runs = hpip::rle_from_string(bytes.rest(), shape);
    std::vector<std::uint8_t> mask(static_cast<std::size_t>(shape.height * shape.width));
    hpip::decode_runs(runs, shape, mask.data(), 1);
    std::uint64_t area = 0;
    for (const std::uint8_t pixel : mask) {
      area += pixel;
    }
    hpip::rle_to_bbox(runs, shape);
    const hpip::Runs clean = hpip::unite_runs(runs, runs);
    const hpip::StridedArray view{
        mask.data(), hpip::DType::kUInt8, {shape.height, shape.width}, {shape.width, 1}};
    if (area != hpip::rle_area(runs) || area != hpip::shared_area(runs, runs) ||
        hpip::encode_rle(view, 1) != hpip::rle_to_string(clean)) {
      std::abort();
    }
  } catch (const hpip::InvalidInput&) {
    return 0;  // refused
  }
  return 0;
}
