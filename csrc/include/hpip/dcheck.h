// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hpip/exported.h"

namespace hpip HPIP_EXPORTED {

// One operand of a failed HPIP_DCHECK, as text. Nothing here is inline: kernels are compiled once
// per instruction set, and the linker would merge inline functions of one name (kernels/target.h).
class DcheckValue {
 public:
  // Implicit, so that HPIP_DCHECK accepts any number or pointer.
  DcheckValue(int value) noexcept;
  DcheckValue(unsigned value) noexcept;
  DcheckValue(long value) noexcept;
  DcheckValue(unsigned long value) noexcept;
  DcheckValue(long long value) noexcept;
  DcheckValue(unsigned long long value) noexcept;
  DcheckValue(double value) noexcept;
  DcheckValue(const void* value) noexcept;

  const char* text() const noexcept;

 private:
  char text_[32];
};

// Prints file, line, expression and both values to stderr, and aborts.
[[noreturn]] void dcheck_failed(const char* file, int line, const char* expression,
                                const DcheckValue& left, const DcheckValue& right) noexcept;

}  // namespace hpip HPIP_EXPORTED

// Checks a precondition inside the library, as in HPIP_DCHECK(count, <=, capacity). CMake enables
// it in Debug and sanitizer builds; other builds generate no code for it. It neither throws nor
// allocates, so kernels may use it. Both operands must be free of side effects. HPIP_REQUIRE
// (check.h) checks the arguments of the library's callers instead.
#if defined(HPIP_ENABLE_DCHECKS)
#define HPIP_DCHECK(left, comparison, right)                                              \
  do {                                                                                    \
    if (!((left)comparison(right))) {                                                     \
      ::hpip::dcheck_failed(__FILE__, __LINE__, #left " " #comparison " " #right, (left), \
                            (right));                                                     \
    }                                                                                     \
  } while (false)
#else
// Still compiled, so that it stays valid and its names count as used.
#define HPIP_DCHECK(left, comparison, right) static_cast<void>(false && ((left)comparison(right)))
#endif
