// SPDX-License-Identifier: Apache-2.0
#include "hpip/dcheck.h"

#include <cstdio>
#include <cstdlib>

namespace hpip {

DcheckValue::DcheckValue(long long value) noexcept {
  std::snprintf(text_, sizeof text_, "%lld", value);
}

DcheckValue::DcheckValue(unsigned long long value) noexcept {
  std::snprintf(text_, sizeof text_, "%llu", value);
}

DcheckValue::DcheckValue(double value) noexcept {
  // Enough digits to distinguish any two floats.
  std::snprintf(text_, sizeof text_, "%.9g", value);
}

DcheckValue::DcheckValue(const void* value) noexcept {
  std::snprintf(text_, sizeof text_, "%p", value);
}

DcheckValue::DcheckValue(int value) noexcept : DcheckValue(static_cast<long long>(value)) {}

DcheckValue::DcheckValue(unsigned value) noexcept
    : DcheckValue(static_cast<unsigned long long>(value)) {}

DcheckValue::DcheckValue(long value) noexcept : DcheckValue(static_cast<long long>(value)) {}

DcheckValue::DcheckValue(unsigned long value) noexcept
    : DcheckValue(static_cast<unsigned long long>(value)) {}

const char* DcheckValue::text() const noexcept { return text_; }

void dcheck_failed(const char* file, int line, const char* expression, const DcheckValue& left,
                   const DcheckValue& right) noexcept {
  std::fprintf(stderr, "%s:%d: HPIP_DCHECK failed: %s (received %s and %s)\n", file, line,
               expression, left.text(), right.text());
  std::abort();
}

}  // namespace hpip
