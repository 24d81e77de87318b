// SPDX-License-Identifier: Apache-2.0
#include <pybind11/pybind11.h>

#include <string>

#include "bindings.h"
#include "hpip/check.h"
#include "hpip/cpu_isa.h"

namespace py = pybind11;

namespace {

// "scalar,avx2"
std::string supported_isa_names() {
  std::string names;
  for (const hpip::Isa isa : hpip::supported_isas()) {
    names += names.empty() ? "" : ",";
    names += hpip::isa_name(isa);
  }
  return names;
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "Native operators of hpip; the public interface is hpip.ops.";
  module.attr("__version__") = HPIP_VERSION;
  module.def("build_info", [] {
    return py::dict(py::arg("version") = HPIP_VERSION, py::arg("compiler") = HPIP_COMPILER,
                    py::arg("build_type") = HPIP_BUILD_TYPE,
                    py::arg("sanitizers") = HPIP_SANITIZERS,
                    py::arg("pybind11") = HPIP_PYBIND11_VERSION,
                    py::arg("isa") = hpip::isa_name(hpip::active_isa()),
                    py::arg("supported_isas") = supported_isa_names());
  });
  hpip::active_isa();  // an invalid HPIP_FORCE_ISA fails at import, not at the first image

  // Imports hpip.errors only when an error is raised, so that _core does not depend on it.
  // pybind11 gives the parameter's type. NOLINTNEXTLINE(performance-unnecessary-value-param)
  py::register_exception_translator([](std::exception_ptr pending) {
    try {
      if (pending) std::rethrow_exception(pending);
    } catch (const hpip::InvalidInput& error) {
      py::object type = py::module_::import("hpip.errors").attr("InvalidInputError");
      py::set_error(type, error.what());
    }
  });

  hpip::bindings::register_preprocess(module);
  hpip::bindings::register_masks(module);
  hpip::bindings::register_rle(module);
  hpip::bindings::register_detection(module);
}
