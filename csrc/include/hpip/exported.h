// SPDX-License-Identifier: Apache-2.0
#pragma once

// Marks the public namespace of a header: in the shared library, only its functions and classes are
// exported. CMake defines HPIP_EXPORT_SYMBOLS for the C++ libraries, not for the Python module.
#if defined(HPIP_EXPORT_SYMBOLS)
#define HPIP_EXPORTED __attribute__((visibility("default")))
#else
#define HPIP_EXPORTED
#endif
