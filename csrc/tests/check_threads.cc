// SPDX-License-Identifier: Apache-2.0
// Checks that every multithreaded operator computes the same values on four threads as on one. With
// ThreadSanitizer (preset tsan), it also detects data races. Each input has at least two grains of
// its operator (see the constants kGrain...), so that several threads run.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "hpip/cpu_isa.h"
#include "hpip/detection_ops.h"
#include "hpip/draw_ops.h"
#include "hpip/mask_ops.h"
#include "hpip/preprocess_ops.h"
#include "hpip/rle.h"

namespace {

constexpr int kThreads = 4;
int failures = 0;

// Reproducible random numbers in [0, 1).
class Numbers {
 public:
  float next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<float>(state_ >> 40U) * 0x1p-24F;
  }

 private:
  std::uint64_t state_ = 7;
};

template <typename T>
std::vector<T> random_values(std::size_t count, float most) {
  Numbers numbers;
  std::vector<T> values(count);
  for (T& value : values) {
    value = static_cast<T>(most * numbers.next());
  }
  return values;
}

std::vector<float> random_boxes(std::size_t count, float most) {
  Numbers numbers;
  std::vector<float> boxes;
  boxes.reserve(4 * count);
  for (std::size_t n = 0; n < count; ++n) {
    const float x = most * numbers.next();
    const float y = most * numbers.next();
    for (const float value : {x, y, x + most * numbers.next() + 1, y + most * numbers.next() + 1}) {
      boxes.push_back(value);
    }
  }
  return boxes;
}

// `run` returns the output of an operator for a number of threads.
template <typename Run>
void expect_same(const char* name, const Run& run) {
  if (run(1) != run(kThreads)) {
    ++failures;
    std::fprintf(stderr, "FAILED: %s: the same values on 1 and on %d threads\n", name, kThreads);
  }
}

constexpr std::ptrdiff_t kSide = 640;
constexpr std::ptrdiff_t kLargeSide = 2048;
constexpr std::array<hpip::Interpolation, 4> kInterpolations = {
    hpip::Interpolation::kNearest, hpip::Interpolation::kLinear, hpip::Interpolation::kCubic,
    hpip::Interpolation::kArea};

template <typename T>
void resize() {
  const std::vector<T> pixels = random_values<T>(kSide * kSide * 3, 255.0F);
  for (const hpip::Interpolation interpolation : kInterpolations) {
    expect_same("resize", [&](int threads) {
      std::vector<T> out(300 * 400 * 3);
      hpip::resize<T>({pixels.data(), kSide, kSide, 3, 3 * kSide}, interpolation,
                      {out.data(), 300, 400, 3, 3 * 400}, threads);
      return out;
    });
  }
}

void normalize() {
  const std::vector<std::uint8_t> pixels = random_values<std::uint8_t>(kSide * kSide * 3, 255.0F);
  expect_same("normalize", [&](int threads) {
    std::vector<float> out(pixels.size());
    hpip::normalize<std::uint8_t>({pixels.data(), kSide, kSide, 3, 3 * kSide}, {},
                                  {out.data(), kSide, kSide, 3, 3 * kSide}, threads);
    return out;
  });
}

// A batch of two images of `side` x `side`, including a few rows of padding.
template <typename T>
std::vector<T> preprocessed(hpip::Interpolation interpolation, bool normalize_first,
                            std::ptrdiff_t side, hpip::TensorLayout layout, int threads) {
  const std::vector<std::uint8_t> pixels = random_values<std::uint8_t>(kSide * kSide * 3, 255.0F);
  hpip::PreprocessParams params;
  params.interpolation = interpolation;
  params.normalize_first = normalize_first;
  const hpip::PreprocessItem item{{pixels.data(), kSide, kSide, 3, 3 * kSide}, side - 8, side - 24};
  std::vector<T> out(static_cast<std::size_t>(2 * 3 * side * side));
  hpip::preprocess<T>({item, item}, params, {out.data(), 2, side, side, layout}, threads);
  return out;
}

void preprocess() {
  for (const hpip::Interpolation interpolation : kInterpolations) {
    for (const bool normalize_first : {false, true}) {
      expect_same("preprocess nchw float32", [&](int threads) {
        return preprocessed<float>(interpolation, normalize_first, 320, hpip::TensorLayout::kNchw,
                                   threads);
      });
    }
  }
  expect_same("preprocess nhwc float16", [](int threads) {
    return preprocessed<std::uint16_t>(hpip::Interpolation::kLinear, false, 320,
                                       hpip::TensorLayout::kNhwc, threads);
  });
  expect_same("preprocess past the caches", [](int threads) {
    return preprocessed<float>(hpip::Interpolation::kLinear, false, 640, hpip::TensorLayout::kNchw,
                               threads);
  });
}

void threshold_and_encode_dense() {
  // A disc and its complement: few runs, on four times the grain.
  std::vector<std::uint8_t> masks(2 * kLargeSide * kLargeSide);
  for (std::ptrdiff_t i = 0; i < kLargeSide * kLargeSide; ++i) {
    const std::ptrdiff_t x = i % kLargeSide - kLargeSide / 2;
    const std::ptrdiff_t y = i / kLargeSide - kLargeSide / 2;
    masks[static_cast<std::size_t>(i)] = x * x + y * y < 900 * 900 ? 200 : 0;
    masks[static_cast<std::size_t>(i + kLargeSide * kLargeSide)] = 200;
  }
  const hpip::StridedArray stack{masks.data(),
                                 hpip::DType::kUInt8,
                                 {2, kLargeSide, kLargeSide},
                                 {kLargeSide * kLargeSide, kLargeSide, 1}};
  const hpip::StridedArray disc{
      masks.data(), hpip::DType::kUInt8, {kLargeSide, kLargeSide}, {kLargeSide, 1}};
  const hpip::Threshold threshold{100.0, false};
  expect_same("threshold_masks", [&](int threads) {
    std::vector<std::uint8_t> out(masks.size());
    hpip::threshold_masks(stack, threshold, out.data(), threads);
    return out;
  });
  expect_same("encode_rle", [&](int threads) { return hpip::encode_rle(disc, threads); });
  const std::array<std::int64_t, 3> indices = {1, 0, 0};
  const hpip::PixelBox whole{0, 0, kLargeSide, kLargeSide};
  const std::array<hpip::PixelBox, 3> windows = {whole, whole, {3, 4, 1500, 1700}};
  expect_same("encode_mask_crops", [&](int threads) {
    return hpip::encode_mask_crops(stack, indices.data(), windows.data(), 3, threshold, threads);
  });
  const hpip::Runs runs = hpip::rle_from_string(hpip::encode_rle(disc, 1));
  expect_same("decode_runs", [&](int threads) {
    std::vector<std::uint8_t> out(kLargeSide * kLargeSide);
    hpip::decode_runs(runs, {kLargeSide, kLargeSide}, out.data(), threads);
    return out;
  });
  hpip::MaskLayer layer{runs, whole, {}};
  for (std::array<std::uint8_t, 256>& levels : layer.levels) {
    levels.fill(9);
  }
  expect_same("map_masked_levels", [&](int threads) {
    std::vector<std::uint8_t> image(kLargeSide * kLargeSide * 3);
    hpip::map_masked_levels({image.data(), kLargeSide, kLargeSide, 3, 3 * kLargeSide},
                            {layer, layer}, threads);
    return image;
  });
}

void paste_and_encode() {
  constexpr std::ptrdiff_t kMasks = 8;
  constexpr std::ptrdiff_t kMaskSide = 28;
  const std::vector<float> values = random_values<float>(kMasks * kMaskSide * kMaskSide, 1.0F);
  const hpip::StridedArray masks{values.data(),
                                 hpip::DType::kFloat32,
                                 {kMasks, kMaskSide, kMaskSide},
                                 {kMaskSide * kMaskSide, kMaskSide, 1}};
  const hpip::ImageSize image{400, 500};
  const std::vector<float> boxes = random_boxes(kMasks, 200.0F);
  std::vector<hpip::PixelBox> windows(kMasks);
  hpip::crop_boxes(boxes.data(), kMasks, image, windows.data());
  const std::vector<std::int64_t> indices = {7, 6, 5, 4, 3, 2, 1, 0};
  const hpip::PixelBox kept{0, 0, 56, 56};
  const std::vector<hpip::PixelBox> kept_windows(kMasks, kept);
  const hpip::Upsampling upsampling{{60, 60}, {56, 56}, kept_windows.data()};
  for (const auto convention : {hpip::PasteConvention::kRegion, hpip::PasteConvention::kImage}) {
    expect_same("paste_masks", [&](int threads) {
      std::vector<std::vector<std::uint8_t>> pixels;
      std::vector<std::uint8_t*> targets;
      pixels.reserve(windows.size());
      targets.reserve(windows.size());
      for (const hpip::PixelBox& window : windows) {
        pixels.emplace_back(static_cast<std::size_t>(window.height() * window.width()));
      }
      for (std::vector<std::uint8_t>& target : pixels) {
        targets.push_back(target.data());
      }
      hpip::paste_masks(masks, convention, boxes.data(), image, {}, windows.data(), targets.data(),
                        threads);
      return pixels;
    });
    const auto encoded = [&](const hpip::Upsampling& resize, int threads) {
      return hpip::encode_resampled(masks, indices.data(), convention, boxes.data(), image, resize,
                                    windows.data(), kMasks, {}, threads);
    };
    expect_same("encode_resampled", [&](int threads) { return encoded({}, threads); });
    if (convention == hpip::PasteConvention::kImage) {
      expect_same("encode_resampled twice",
                  [&](int threads) { return encoded(upsampling, threads); });
    }
  }
}

void propose_and_suppress() {
  constexpr std::size_t kCells = 40 * 50;
  const std::vector<float> scores = random_values<float>(3 * kCells, 1.0F);
  const std::vector<float> anchors = random_boxes(3 * kCells, 300.0F);
  const std::vector<float> deltas(12 * kCells);
  hpip::ProposalLevel level;
  level.scores = scores.data();
  level.deltas = deltas.data();
  level.anchors = anchors.data();
  level.anchors_per_cell = 3;
  level.height = 40;
  level.width = 50;
  const std::array<float, 2> image_hw = {320.0F, 400.0F};
  expect_same("generate_proposals", [&](int threads) {
    std::vector<float> found;
    for (const hpip::Proposals& proposals :
         hpip::generate_proposals({level, level, level}, 1, image_hw.data(), {}, threads)) {
      found.insert(found.end(), proposals.boxes_xyxy.begin(), proposals.boxes_xyxy.end());
      found.insert(found.end(), proposals.scores.begin(), proposals.scores.end());
    }
    return found;
  });
  hpip::ScoredBoxes boxes;
  boxes.scores = scores.data();
  boxes.boxes_xyxy = anchors.data();
  boxes.classes = 6;
  boxes.first_rows = {0, 1000};
  expect_same("multiclass_nms", [&](int threads) {
    std::vector<std::ptrdiff_t> rows;
    const std::vector<std::vector<hpip::Detection>> images =
        hpip::multiclass_nms(boxes, {}, threads);
    for (const hpip::Detection& kept : images[0]) {
      rows.push_back(kept.row);
    }
    return rows;
  });
}

void pool() {
  const std::vector<float> features = random_values<float>(8 * 41 * 67, 1.0F);
  const std::vector<float> boxes = random_boxes(20, 300.0F);
  hpip::RoiAlignRules rules;
  rules.pooled_height = rules.pooled_width = 7;
  rules.spatial_scale = 0.125F;
  expect_same("roi_align", [&](int threads) {
    std::vector<float> out(20 * 8 * 7 * 7);
    hpip::roi_align({features.data(), 8, 41, 67}, boxes.data(), {0, 20}, rules, nullptr, out.data(),
                    threads);
    return out;
  });
}

// The instruction set is selected at the first call, which several threads may make at once.
void callers_share_nothing() {
  std::vector<std::thread> callers;
  callers.reserve(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    callers.emplace_back([] {
      preprocessed<float>(hpip::Interpolation::kLinear, false, 320, hpip::TensorLayout::kNchw, 2);
    });
  }
  for (std::thread& caller : callers) {
    caller.join();
  }
}

}  // namespace

int main() {
  callers_share_nothing();  // first, before any other call selects the instruction set
  resize<std::uint8_t>();
  resize<float>();
  normalize();
  preprocess();
  threshold_and_encode_dense();
  paste_and_encode();
  propose_and_suppress();
  pool();
  return failures == 0 ? 0 : 1;
}
