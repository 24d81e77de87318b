// SPDX-License-Identifier: Apache-2.0
#include "files.h"
#include "network.h"

std::vector<Tensor> run_network(const std::string& model, const Tensor& /*image*/,
                                float /*score_threshold*/, const std::vector<std::string>& names) {
  std::vector<Tensor> outputs;
  for (const std::string& name : names) outputs.push_back(read_npy(model + "/" + name + ".npy"));
  return outputs;
}
