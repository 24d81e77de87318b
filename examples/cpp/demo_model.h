// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "files.h"
#include "hpip/strided_array.h"
#include "tensor.h"

// The steps around the network of hpip's demo model, as hpip/demo/bundle.json describes them.
namespace demo {

// One object in a picture. `counts` is COCO's compressed run-length code of the crop `window`.
struct Instance {
  std::int64_t class_id = 0;
  float score = 0;
  std::array<float, 4> box_xyxy{};
  hpip::PixelBox window;
  std::string counts;
};

// Names of the outputs that `postprocess` takes: boxes, scores, coefficients and prototypes.
extern const std::vector<std::string> kOutputs;

// The network's input (1, 3, 320, 320).
Tensor preprocess(const Picture& picture, int threads);

// The instances with a score above the threshold. Throws std::runtime_error if the outputs do not
// fit together.
std::vector<Instance> postprocess(const std::vector<Tensor>& outputs, hpip::ImageSize picture,
                                  float score_threshold, int threads);

}  // namespace demo
