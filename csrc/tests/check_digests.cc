// SPDX-License-Identifier: Apache-2.0
// Prints a digest of each kernel's output for fixed inputs, one per line; equal on every processor.
// HPIP_FORCE_ISA selects the kernels.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <initializer_list>
#include <string>
#include <vector>

#include "hpip/cpu_isa.h"
#include "hpip/detection_ops.h"
#include "hpip/mask_ops.h"
#include "hpip/preprocess_ops.h"
#include "hpip/rle.h"

namespace {

// Random numbers without the standard library, whose rounding differs between platforms.
class Numbers {
 public:
  std::uint32_t next() {
    state_ = state_ * 6364136223846793005U + 1442695040888963407U;
    return static_cast<std::uint32_t>(state_ >> 33U);
  }
  // Multiples of 2^-16 from `low` on.
  float between(float low, float high) {
    return low + (high - low) * static_cast<float>(next() & 0xFFFFU) * 0x1p-16F;
  }
  std::vector<float> floats(std::size_t count, float low, float high) {
    std::vector<float> values(count);
    for (float& value : values) value = between(low, high);
    return values;
  }

 private:
  std::uint64_t state_ = 7;
};

// FNV-1a.
class Digest {
 public:
  void add(const void* data, std::size_t size) {
    const auto* bytes = static_cast<const std::uint8_t*>(data);
    for (std::size_t i = 0; i < size; ++i) hash_ = (hash_ ^ bytes[i]) * 1099511628211U;
  }
  template <typename T>
  void add(const std::vector<T>& values) {
    add(values.data(), values.size() * sizeof(T));
  }
  void add(const std::string& text) { add(text.data(), text.size()); }
  void print(const char* name) const {
    std::printf("%s %016llx\n", name, static_cast<unsigned long long>(hash_));
  }

 private:
  std::uint64_t hash_ = 14695981039346656037U;
};

constexpr std::ptrdiff_t kHeight = 47;
constexpr std::ptrdiff_t kWidth = 93;
constexpr hpip::Interpolation kInterpolations[] = {
    hpip::Interpolation::kNearest, hpip::Interpolation::kLinear, hpip::Interpolation::kCubic,
    hpip::Interpolation::kArea};
constexpr hpip::ImageSize kSizes[] = {{kHeight, 31}, {20, kWidth}, {61, 150}, {30, 40}, {141, 31}};

std::vector<std::uint8_t> test_image() {
  Numbers numbers;
  std::vector<std::uint8_t> pixels(kHeight * kWidth * 3);
  for (std::uint8_t& value : pixels) value = static_cast<std::uint8_t>(numbers.next());
  return pixels;
}

template <typename T>
void preprocess(const char* name, hpip::TensorLayout layout) {
  const std::vector<std::uint8_t> pixels = test_image();
  Digest digest;
  for (const hpip::ImageSize& size : kSizes) {
    for (const hpip::Interpolation interpolation : kInterpolations) {
      for (const bool normalize_first : {false, true}) {
        hpip::PreprocessParams params;
        params.interpolation = interpolation;
        params.affine_rgb = {{0.017F, 0.0175F, 0.0174F, 1.0F}, {-2.1F, -2.03F, -1.8F, 0.0F}};
        params.normalize_first = normalize_first;
        const std::ptrdiff_t height = size.height + 3;
        const std::ptrdiff_t width = size.width + 5;
        std::vector<T> out(static_cast<std::size_t>(3 * height * width));
        hpip::preprocess<T>(
            {{{pixels.data(), kHeight, kWidth, 3, 3 * kWidth}, size.height, size.width}}, params,
            {out.data(), 1, height, width, layout}, 1);
        digest.add(out);
      }
    }
  }
  digest.print(name);
}

template <typename T>
void resize(const char* name) {
  Digest digest;
  const std::vector<std::uint8_t> pixels = test_image();
  const std::vector<T> values(pixels.begin(), pixels.end());
  for (const hpip::ImageSize& size : kSizes) {
    for (const hpip::Interpolation interpolation : kInterpolations) {
      std::vector<T> out(static_cast<std::size_t>(3 * size.height * size.width));
      hpip::resize<T>({values.data(), kHeight, kWidth, 3, 3 * kWidth}, interpolation,
                      {out.data(), size.height, size.width, 3, 3 * size.width}, 1);
      digest.add(out);
    }
  }
  digest.print(name);
}

void encode() {
  Numbers numbers;
  Digest digest;
  const std::vector<float> values = numbers.floats(2 * 17 * 23, -1.0F, 1.0F);
  const hpip::StridedArray masks{
      values.data(), hpip::DType::kFloat32, {2, 17, 23}, {17 * 23, 23, 1}};
  const std::int64_t indices[] = {1, 0, 1};
  for (const hpip::ImageSize& image : {hpip::ImageSize{211, 307}, {9, 300}, {300, 11}}) {
    std::vector<float> boxes;
    for (int n = 0; n < 3; ++n) {
      const float x = numbers.between(-4.0F, 0.5F * static_cast<float>(image.width));
      const float y = numbers.between(-4.0F, 0.5F * static_cast<float>(image.height));
      boxes.insert(boxes.end(), {x, y, x + numbers.between(1.0F, static_cast<float>(image.width)),
                                 y + numbers.between(1.0F, static_cast<float>(image.height))});
    }
    std::vector<hpip::PixelBox> windows(3);
    hpip::crop_boxes(boxes.data(), 3, image, windows.data());
    for (const auto convention : {hpip::PasteConvention::kRegion, hpip::PasteConvention::kImage}) {
      for (const double threshold : {0.0, 0.25}) {
        for (const std::string& text :
             hpip::encode_resampled(masks, indices, convention, boxes.data(), image, {},
                                    windows.data(), 3, {threshold, false}, 1)) {
          digest.add(text);
        }
      }
    }
  }
  digest.print("encode_resampled");
}

void encode_dense() {
  const std::vector<std::uint8_t> pixels = test_image();
  Digest digest;
  const hpip::StridedArray mask{
      pixels.data(), hpip::DType::kUInt8, {1, kHeight, 3 * kWidth}, {1, 3 * kWidth, 1}};
  const std::int64_t index = 0;
  const hpip::PixelBox window{0, 0, 3 * kWidth, kHeight};
  for (const double threshold : {0.0, 100.0, 127.5, 254.0, 255.0}) {
    digest.add(hpip::encode_mask_crops(mask, &index, &window, 1, {threshold, true}, 1)[0]);
  }
  digest.print("encode_mask_crops");
}

std::vector<float> random_boxes(Numbers& numbers, int count, float most) {
  std::vector<float> boxes;
  for (int n = 0; n < count; ++n) {
    const float x = numbers.between(0.0F, most);
    const float y = numbers.between(0.0F, most);
    boxes.insert(boxes.end(), {x, y, x + numbers.between(1.0F, 0.6F * most),
                               y + numbers.between(1.0F, 0.6F * most)});
  }
  return boxes;
}

void pool() {
  Numbers numbers;
  Digest digest;
  const std::vector<float> features = numbers.floats(3 * 41 * 67, -1.0F, 1.0F);
  const std::vector<float> boxes = random_boxes(numbers, 40, 500.0F);
  for (const std::ptrdiff_t side : {1, 7, 14, 20}) {
    for (const int ratio : {0, 2}) {
      hpip::RoiAlignRules rules;
      rules.pooled_height = rules.pooled_width = side;
      rules.spatial_scale = 0.125F;
      rules.sampling_ratio = ratio;
      std::vector<float> out(static_cast<std::size_t>(40 * 3 * side * side));
      hpip::roi_align({features.data(), 3, 41, 67}, boxes.data(), {0, 40}, rules, nullptr,
                      out.data(), 1);
      digest.add(out);
    }
  }
  digest.print("roi_align");
}

void suppress() {
  Numbers numbers;
  Digest digest;
  const std::vector<float> scores = numbers.floats(4 * 300, 0.0F, 1.0F);
  const std::vector<float> boxes = random_boxes(numbers, 300, 200.0F);
  hpip::ScoredBoxes all;
  all.scores = scores.data();
  all.boxes_xyxy = boxes.data();
  all.classes = 4;
  all.first_rows = {0, 300};
  for (const float threshold : {0.2F, 0.5F, 0.8F}) {
    hpip::NmsRules rules;
    rules.nms_threshold = threshold;
    const std::vector<std::vector<hpip::Detection>> images = hpip::multiclass_nms(all, rules, 1);
    for (const hpip::Detection& kept : images[0]) {
      digest.add(&kept.row, sizeof kept.row);
      digest.add(&kept.score, sizeof kept.score);
    }
  }
  digest.print("multiclass_nms");
}

void propose() {
  Numbers numbers;
  const std::vector<float> scores = numbers.floats(3 * 40 * 50, 0.0F, 1.0F);
  const std::vector<float> anchors = random_boxes(numbers, 3 * 40 * 50, 300.0F);
  // Zero deltas for the sizes, because exp(0) is 1 in every library.
  std::vector<float> deltas = numbers.floats(12 * 40 * 50, -0.5F, 0.5F);
  for (std::size_t i = 0; i < deltas.size(); ++i) {
    deltas[i] = i / 2000 % 4 < 2 ? deltas[i] : 0.0F;
  }
  hpip::ProposalLevel level;
  level.scores = scores.data();
  level.deltas = deltas.data();
  level.anchors = anchors.data();
  level.anchors_per_cell = 3;
  level.height = 40;
  level.width = 50;
  const float image_hw[] = {320.0F, 400.0F};
  hpip::ProposalRules rules;
  rules.pre_nms_top_n = 1000;
  rules.nms_threshold = 0.7F;
  Digest digest;
  for (const hpip::Proposals& proposals :
       hpip::generate_proposals({level}, 1, image_hw, rules, 1)) {
    digest.add(proposals.boxes_xyxy);
    digest.add(proposals.scores);
  }
  digest.print("generate_proposals");
}

}  // namespace

int main() {
  std::fprintf(stderr, "%s\n", hpip::isa_name(hpip::active_isa()));
  preprocess<float>("preprocess nchw float32", hpip::TensorLayout::kNchw);
  preprocess<std::uint16_t>("preprocess nhwc float16", hpip::TensorLayout::kNhwc);
  resize<std::uint8_t>("resize uint8");
  resize<float>("resize float32");
  encode();
  encode_dense();
  pool();
  suppress();
  propose();
}
