// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hpip/image_view.h"
#include "hpip/rle.h"

namespace hpip {

// One mask to be drawn, and what becomes of the values under it, per channel.
struct MaskLayer {
  Runs runs;
  PixelBox crop;
  std::array<std::array<std::uint8_t, 256>, 3> levels;
};

// Maps the pixels under each mask through its levels, one mask after the other. Crops must lie in
// the image, which has three channels, and the runs must cover the crop. Throws InvalidInput
// otherwise. Each thread walks a band of rows; same bits for every number of threads.
void map_masked_levels(const ImageView<std::uint8_t>& image, const std::vector<MaskLayer>& layers,
                       int threads);

}  // namespace hpip
