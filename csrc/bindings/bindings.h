// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <pybind11/pybind11.h>

namespace hpip::bindings {

void register_preprocess(pybind11::module_& module);
void register_detection(pybind11::module_& module);
void register_masks(pybind11::module_& module);
void register_rle(pybind11::module_& module);

}  // namespace hpip::bindings
