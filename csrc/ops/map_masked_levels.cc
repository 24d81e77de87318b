// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>

#include "hpip/check.h"
#include "hpip/draw_ops.h"
#include "hpip/parallel.h"
#include "kernels/kernel_table.h"
#include "kernels/pack_columns_inl.h"
#include "ops/row_words.h"

namespace hpip {
namespace {

// Minimum number of rows per thread: the start of a thread takes 20 to 100 us, in which one thread
// maps about 10^5 pixels.
constexpr std::ptrdiff_t kGrainRows = 128;

// Calls visit(first, count) for each run of ones, from the lowest bit up.
template <typename Visitor>
void for_each_bit_run(std::uint64_t word, Visitor&& visit) {
  for (int first = 0; word != 0;) {
    const int zeros = __builtin_ctzll(word);
    word >>= zeros;
    const int ones = word == ~std::uint64_t{0} ? 64 : __builtin_ctzll(~word);
    visit(first + zeros, ones);
    word = ones == 64 ? 0 : word >> ones;
    first += zeros + ones;
  }
}

void map_band(const ImageView<std::uint8_t>& image, const MaskLayer& layer, std::int64_t first_row,
              std::int64_t end_row) {
  const PixelBox& crop = layer.crop;
  const std::int64_t begin = std::max(first_row, crop.y0);
  const std::int64_t end = std::min(end_row, crop.y1);
  if (begin >= end) {
    return;
  }
  const auto map_levels = active_kernels().map_levels;
  RowWords rows(layer.runs, crop.height(), begin - crop.y0, end - crop.y0);
  for (std::int64_t x = crop.x0; x < crop.x1; x += kernels::kWordColumns) {
    const std::uint64_t* words = rows.next();
    std::uint8_t* block = image.data + begin * image.row_stride + 3 * x;
    for (std::int64_t y = begin; y < end; ++y, ++words, block += image.row_stride) {
      for_each_bit_run(*words, [&](int first, int count) {
        map_levels(layer.levels[0].data(), static_cast<std::size_t>(count),
                   block + std::ptrdiff_t{3} * first);
      });
    }
  }
}

}  // namespace

void map_masked_levels(const ImageView<std::uint8_t>& image, const std::vector<MaskLayer>& layers,
                       int threads) {
  HPIP_REQUIRE(image.channels == 3, "image: expected 3 channels, received ", image.channels);
  for (std::size_t n = 0; n < layers.size(); ++n) {
    const PixelBox& crop = layers[n].crop;
    HPIP_REQUIRE(crop.x0 >= 0 && crop.y0 >= 0 && crop.x0 <= crop.x1 && crop.y0 <= crop.y1 &&
                     crop.x1 <= image.width && crop.y1 <= image.height,
                 "masks[", n, "]: expected a crop inside the image of (", image.height, ", ",
                 image.width, "), received rows ", crop.y0, " to ", crop.y1, " and columns ",
                 crop.x0, " to ", crop.x1);
  }
  parallel_for(image.height, kGrainRows, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (const MaskLayer& layer : layers) {
      map_band(image, layer, begin, end);
    }
  });
}

}  // namespace hpip
