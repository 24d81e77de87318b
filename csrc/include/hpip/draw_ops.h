// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "hpip/exported.h"
#include "hpip/image_view.h"
#include "hpip/rle.h"

namespace hpip HPIP_EXPORTED {

// A mask to draw, and a lookup table per channel for the pixel values under it.
struct MaskLayer {
  Runs runs;
  PixelBox crop;
  std::array<std::array<std::uint8_t, 256>, 3> levels;
};

// Maps the pixels under each mask through its levels, one mask after the other. The image must have
// three channels, crops must lie in the image, and the runs must cover the crop; otherwise throws
// InvalidInput. Each thread processes a band of rows; the result does not depend on their number.
void map_masked_levels(const ImageView<std::uint8_t>& image, const std::vector<MaskLayer>& layers,
                       int threads);

}  // namespace hpip HPIP_EXPORTED
