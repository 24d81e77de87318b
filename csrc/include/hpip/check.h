// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

#include "hpip/exported.h"

namespace hpip HPIP_EXPORTED {

// An argument of the caller is not valid. The bindings convert it to hpip.errors.InvalidInputError.
class InvalidInput : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// Concatenates its arguments with operator<<, for error messages.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

}  // namespace hpip HPIP_EXPORTED

// Throws InvalidInput unless `condition` is true. The remaining arguments are concatenated to the
// message: the argument's name, what is expected, what was received.
#define HPIP_REQUIRE(condition, ...)                           \
  do {                                                         \
    if (!(condition)) {                                        \
      throw ::hpip::InvalidInput(::hpip::concat(__VA_ARGS__)); \
    }                                                          \
  } while (false)
