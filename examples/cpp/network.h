// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "tensor.h"

// Returns the outputs of the demo model's segment `trunk`, in the order of `names`.
//
// With ONNX Runtime, `model` is the path of trunk.onnx, whose weights lie beside it, and the
// network runs on `image` (1, 3, 320, 320). Without it, `model` is a folder with one .npy file per
// output, and the other inputs are not used. Throws std::runtime_error if a file can't be read.
std::vector<Tensor> run_network(const std::string& model, const Tensor& image,
                                float score_threshold, const std::vector<std::string>& names);
