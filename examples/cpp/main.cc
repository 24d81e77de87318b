// SPDX-License-Identifier: Apache-2.0
// Segments a picture with hpip's demo model: one line of JSON per instance.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "demo_model.h"
#include "files.h"
#include "network.h"

namespace {

constexpr int kThreads = 2;

// Run-length codes contain backslashes, which JSON escapes, but no quotes or control characters.
std::string escaped(const std::string& counts) {
  std::string text;
  for (const char character : counts) {
    if (character == '\\') text += '\\';
    text += character;
  }
  return text;
}

void print(const demo::Instance& one) {
  std::printf(
      "{\"class_id\": %lld, \"score\": %.6f, \"box_xyxy\": [%.4f, %.4f, %.4f, %.4f], "
      "\"offset_yx\": [%lld, %lld], \"rle\": {\"size\": [%td, %td], \"counts\": \"%s\"}}\n",
      static_cast<long long>(one.class_id), static_cast<double>(one.score),
      static_cast<double>(one.box_xyxy[0]), static_cast<double>(one.box_xyxy[1]),
      static_cast<double>(one.box_xyxy[2]), static_cast<double>(one.box_xyxy[3]),
      static_cast<long long>(one.window.y0), static_cast<long long>(one.window.x0),
      one.window.height(), one.window.width(), escaped(one.counts).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) {
    std::fprintf(stderr, "usage: segment PICTURE.ppm MODEL [SCORE_THRESHOLD]\n");
    return 2;
  }
  try {
    const Picture picture = read_ppm(argv[1]);
    const float score_threshold = argc == 4 ? std::strtof(argv[3], nullptr) : 0.5F;
    const Tensor image = demo::preprocess(picture, kThreads);
    const std::vector<Tensor> outputs =
        run_network(argv[2], image, score_threshold, demo::kOutputs);
    for (const demo::Instance& one :
         demo::postprocess(outputs, {picture.height, picture.width}, score_threshold, kThreads)) {
      print(one);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "segment: %s\n", error.what());
    return 1;
  }
  return 0;
}
