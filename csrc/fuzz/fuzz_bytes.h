// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

// Reads arguments from a fuzzer's input; returns zeros after its end.
class FuzzBytes {
 public:
  FuzzBytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}

  template <typename T>
  T take() {
    T value{};
    const std::size_t count = size_ < sizeof value ? size_ : sizeof value;
    if (count > 0) {
      std::memcpy(&value, data_, count);
    }
    data_ += count;
    size_ -= count;
    return value;
  }

  // A number from 0 to `limit`, inclusive.
  std::ptrdiff_t take_up_to(std::ptrdiff_t limit) { return take<std::uint16_t>() % (limit + 1); }

  template <typename T>
  std::vector<T> take_many(std::size_t count) {
    std::vector<T> values(count);
    for (T& value : values) {
      value = take<T>();
    }
    return values;
  }

  std::string_view rest() const { return {reinterpret_cast<const char*>(data_), size_}; }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};
