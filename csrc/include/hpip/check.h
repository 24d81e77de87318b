// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace hpip {

// A caller's argument is out of contract. The binding turns it into hpip.errors.InvalidInputError.
class InvalidInput : public std::invalid_argument {
 public:
  using std::invalid_argument::invalid_argument;
};

// Joins its arguments with operator<<, for error messages.
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

}  // namespace hpip

// Throws InvalidInput unless `condition` holds; the remaining arguments are the message's parts:
// what, expected, received.
#define HPIP_REQUIRE(condition, ...)                           \
  do {                                                         \
    if (!(condition)) {                                        \
      throw ::hpip::InvalidInput(::hpip::concat(__VA_ARGS__)); \
    }                                                          \
  } while (false)
