// SPDX-License-Identifier: Apache-2.0
#include "demo_model.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "hpip/detection_ops.h"
#include "hpip/mask_ops.h"
#include "hpip/preprocess_ops.h"
#include "hpip/rle.h"

namespace demo {
namespace {

constexpr std::ptrdiff_t kSide = 320;

hpip::NmsRules nms_rules() {
  hpip::NmsRules rules;
  rules.score_threshold = 0.01F;
  rules.nms_top_k = 1000;
  rules.keep_top_k = 300;
  rules.nms_threshold = 0.7F;
  return rules;
}

// Probabilities (N, h, w) of the detections: the sigmoid of coefficients times prototypes.
Tensor mask_values(const std::vector<hpip::Detection>& found, const Tensor& coefficients,
                   const Tensor& prototypes) {
  const std::ptrdiff_t channels = coefficients.shape.back();
  const std::ptrdiff_t height = prototypes.shape[2];
  const std::ptrdiff_t width = prototypes.shape[3];
  const std::ptrdiff_t area = height * width;
  Tensor values{{static_cast<std::ptrdiff_t>(found.size()), height, width}, {}};
  values.data.resize(found.size() * static_cast<std::size_t>(area));
  float* out = values.data.data();
  for (const hpip::Detection& one : found) {
    const float* weights = coefficients.data.data() + one.row * channels;
    for (std::ptrdiff_t pixel = 0; pixel < area; ++pixel) {
      float sum = 0;
      for (std::ptrdiff_t channel = 0; channel < channels; ++channel) {
        sum += weights[channel] * prototypes.data[static_cast<std::size_t>(channel * area + pixel)];
      }
      *out++ = 0.5F * (1.0F + std::tanh(0.5F * sum));
    }
  }
  return values;
}

// The pixels x with x0 <= x < x1 of a box in the network's input, for whole numbers x.
hpip::PixelBox network_window(const float* box_xyxy) {
  const auto pixel = [](float side) {
    return static_cast<std::int64_t>(std::clamp(std::ceil(side), 0.0F, static_cast<float>(kSide)));
  };
  hpip::PixelBox window{pixel(box_xyxy[0]), pixel(box_xyxy[1]), pixel(box_xyxy[2]),
                        pixel(box_xyxy[3])};
  window.x1 = std::max(window.x0, window.x1);
  window.y1 = std::max(window.y0, window.y1);
  return window;
}

hpip::StridedArray view(const Tensor& tensor) {
  hpip::StridedArray array{tensor.data.data(), hpip::DType::kFloat32, tensor.shape, {}};
  array.strides = {tensor.shape[1] * tensor.shape[2], tensor.shape[2], 1};
  return array;
}

// A box of the network's input in pixels of the picture, clipped to it.
std::array<float, 4> to_picture(const float* box_xyxy, hpip::ImageSize picture) {
  const auto height = static_cast<float>(picture.height);
  const auto width = static_cast<float>(picture.width);
  const float scale_x = static_cast<float>(kSide) / width;
  const float scale_y = static_cast<float>(kSide) / height;
  return {std::clamp(box_xyxy[0] / scale_x, 0.0F, width),
          std::clamp(box_xyxy[1] / scale_y, 0.0F, height),
          std::clamp(box_xyxy[2] / scale_x, 0.0F, width),
          std::clamp(box_xyxy[3] / scale_y, 0.0F, height)};
}

// The detections above the threshold of one picture.
std::vector<hpip::Detection> detect(const Tensor& boxes, const Tensor& scores,
                                    float score_threshold, int threads) {
  hpip::ScoredBoxes scored;
  scored.scores = scores.data.data();
  scored.boxes_xyxy = boxes.data.data();
  scored.classes = scores.shape[1];
  scored.first_rows = {0, scores.shape[2]};
  std::vector<hpip::Detection> found =
      std::move(hpip::multiclass_nms(scored, nms_rules(), threads).front());
  const auto is_below = [&](const hpip::Detection& one) { return !(one.score > score_threshold); };
  found.erase(std::remove_if(found.begin(), found.end(), is_below), found.end());
  return found;
}

}  // namespace

const std::vector<std::string> kOutputs{"value_1135", "value_1301", "value_1148", "prototypes"};

Tensor preprocess(const Picture& picture, int threads) {
  Tensor image{{1, 3, kSide, kSide}, {}};
  image.data.resize(3 * kSide * kSide);
  hpip::PreprocessItem item;
  item.image = {picture.pixels.data(), picture.height, picture.width, 3, picture.width * 3};
  item.resized_height = item.resized_width = kSide;
  hpip::PreprocessParams params;
  params.interpolation = hpip::Interpolation::kCubic;
  params.affine_rgb.factor.fill(1.0F / 255.0F);
  params.order = hpip::ChannelOrder::kRgb;
  hpip::preprocess<float>({item}, params, {image.data.data(), 1, kSide, kSide}, threads);
  return image;
}

std::vector<Instance> postprocess(const std::vector<Tensor>& outputs, hpip::ImageSize picture,
                                  float score_threshold, int threads) {
  const Tensor &boxes = outputs.at(0), &scores = outputs.at(1), &coefficients = outputs.at(2),
               &prototypes = outputs.at(3);
  if (boxes.shape.size() != 3 || scores.shape.size() != 3 || prototypes.shape.size() != 4 ||
      boxes.shape[1] != scores.shape[2] || coefficients.shape.back() != prototypes.shape[1]) {
    throw std::runtime_error("the outputs are not those of the demo model");
  }
  const std::vector<hpip::Detection> found = detect(boxes, scores, score_threshold, threads);
  const auto count = static_cast<std::ptrdiff_t>(found.size());
  std::vector<Instance> instances(found.size());
  std::vector<float> picture_boxes;
  std::vector<hpip::PixelBox> network_windows;
  std::vector<std::int64_t> indices;
  for (std::size_t i = 0; i < found.size(); ++i) {
    instances[i].class_id = found[i].label;
    instances[i].score = found[i].score;
    instances[i].box_xyxy = to_picture(found[i].box_xyxy, picture);
    picture_boxes.insert(picture_boxes.end(), instances[i].box_xyxy.begin(),
                         instances[i].box_xyxy.end());
    network_windows.push_back(network_window(found[i].box_xyxy));
    indices.push_back(static_cast<std::int64_t>(i));
  }
  std::vector<hpip::PixelBox> windows(found.size());
  hpip::crop_boxes(picture_boxes.data(), count, picture, windows.data());
  const Tensor values = mask_values(found, coefficients, prototypes);
  const hpip::Upsampling upsampling{{kSide, kSide}, {kSide, kSide}, network_windows.data()};
  const std::vector<std::string> codes = hpip::encode_resampled(
      view(values), indices.data(), hpip::PasteConvention::kImage, picture_boxes.data(), picture,
      upsampling, windows.data(), count, {0.5, false}, threads);
  for (std::size_t i = 0; i < found.size(); ++i) {
    instances[i].window = windows[i];
    instances[i].counts = codes[i];
  }
  return instances;
}

}  // namespace demo
