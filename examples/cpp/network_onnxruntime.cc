// SPDX-License-Identifier: Apache-2.0
#include <onnxruntime_cxx_api.h>

#include <array>
#include <cstdint>

#include "network.h"

std::vector<Tensor> run_network(const std::string& model, const Tensor& image,
                                float score_threshold, const std::vector<std::string>& names) {
  const Ort::Env environment(ORT_LOGGING_LEVEL_WARNING, "segment");
  Ort::Session session(environment, model.c_str(), Ort::SessionOptions{});
  const Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtArenaAllocator, OrtMemTypeDefault);

  // ONNX Runtime reads the inputs where they are, and takes no pointer to const.
  std::vector<float> pixels = image.data;
  const std::vector<std::int64_t> shape(image.shape.begin(), image.shape.end());
  const std::array<std::int64_t, 1> one{1};
  std::array<Ort::Value, 2> inputs{
      Ort::Value::CreateTensor<float>(memory, pixels.data(), pixels.size(), shape.data(),
                                      shape.size()),
      Ort::Value::CreateTensor<float>(memory, &score_threshold, 1, one.data(), one.size())};
  const std::array<const char*, 2> input_names{"image", "score_threshold"};
  std::vector<const char*> output_names;
  for (const std::string& name : names) output_names.push_back(name.c_str());

  std::vector<Ort::Value> values =
      session.Run(Ort::RunOptions{nullptr}, input_names.data(), inputs.data(), inputs.size(),
                  output_names.data(), output_names.size());
  std::vector<Tensor> outputs;
  for (const Ort::Value& value : values) {
    const auto info = value.GetTensorTypeAndShapeInfo();
    const std::vector<std::int64_t> lengths = info.GetShape();
    const float* data = value.GetTensorData<float>();
    outputs.push_back({{lengths.begin(), lengths.end()}, {data, data + info.GetElementCount()}});
  }
  return outputs;
}
