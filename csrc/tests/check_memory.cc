// SPDX-License-Identifier: Apache-2.0
// Prints the peak heap usage of encoding a mask at 4K.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "hpip/rle.h"

namespace {

std::size_t held_bytes = 0;
std::size_t peak_bytes = 0;
// Space for the size in front of each block, which preserves its alignment.
constexpr std::size_t kHeader = alignof(std::max_align_t);

}  // namespace

void* operator new(std::size_t size) {
  auto* block = static_cast<char*>(std::malloc(size + kHeader));
  if (block == nullptr) throw std::bad_alloc();
  *reinterpret_cast<std::size_t*>(block) = size;
  held_bytes += size;
  peak_bytes = std::max(peak_bytes, held_bytes);
  return block + kHeader;
}

void operator delete(void* pointer) noexcept {
  if (pointer == nullptr) return;
  char* block = static_cast<char*>(pointer) - kHeader;
  held_bytes -= *reinterpret_cast<std::size_t*>(block);
  std::free(block);
}

void operator delete(void* pointer, std::size_t /*size*/) noexcept { operator delete(pointer); }

int main() {
  constexpr std::ptrdiff_t kHeight = 200;
  constexpr std::ptrdiff_t kWidth = 336;
  std::vector<float> values;
  for (std::ptrdiff_t y = 0; y < kHeight; ++y) {
    for (std::ptrdiff_t x = 0; x < kWidth; ++x) {
      values.push_back(static_cast<float>(std::sin(0.05 * double(x)) * std::sin(0.07 * double(y))));
    }
  }
  const hpip::StridedArray masks{
      values.data(), hpip::DType::kFloat32, {1, kHeight, kWidth}, {kHeight * kWidth, kWidth, 1}};
  const hpip::ImageSize image{2160, 3840};
  const hpip::PixelBox window{0, 0, image.width, image.height};
  const hpip::PixelBox kept{0, 0, 1344, 800};
  const std::int64_t index = 0;
  int failures = 0;
  for (const hpip::Upsampling& resize :
       {hpip::Upsampling{}, hpip::Upsampling{{800, 1344}, {800, 1344}, &kept}}) {
    const std::size_t before = held_bytes;
    peak_bytes = held_bytes;
    hpip::encode_resampled(masks, &index, hpip::PasteConvention::kImage, nullptr, image, resize,
                           &window, 1, {0.1, false}, 1);
    std::printf("%zu bytes\n", peak_bytes - before);
    failures += peak_bytes - before < (1U << 20) ? 0 : 1;
  }
  return failures;
}
