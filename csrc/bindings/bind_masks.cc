// SPDX-License-Identifier: Apache-2.0
#include "bindings.h"

namespace hpip::bindings {

void register_masks(pybind11::module_& /*module*/) {}

}  // namespace hpip::bindings
