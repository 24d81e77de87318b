// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "hpip/check.h"
#include "hpip/rle.h"

namespace hpip {
namespace {

constexpr std::int64_t kLargestRun = std::numeric_limits<std::uint32_t>::max();
// 33 bits and a sign fit into 7 groups of 5.
constexpr int kMostGroups = 7;
constexpr int kSignBit = 0x10;
constexpr int kMoreBit = 0x20;
constexpr int kGroupMask = 0x1F;

// Groups that a number of `bits` bits, its sign not counted, needs.
int group_count(int bits) { return bits / 5 + 1; }

// Writes the number and returns what is behind it; up to kMostGroups characters there may change.
// Most numbers of a mask have one or two groups, at random: four are written without asking, so
// that no branch is mispredicted. Shifting right keeps the sign on every compiler that we support
// (and by definition from C++20).
char* append_number(std::int64_t number, char* text) {
  const auto magnitude = static_cast<std::uint64_t>(number ^ (number >> 63));
  const int groups = group_count(magnitude == 0 ? 0 : 64 - __builtin_clzll(magnitude));
  for (int i = 0; i < 4; ++i) {
    const int more = i + 1 < groups ? kMoreBit : 0;
    text[i] = static_cast<char>('0' + (static_cast<int>(number >> (5 * i)) & kGroupMask) + more);
  }
  for (int i = 4; i < groups; ++i) {
    const int more = i + 1 < groups ? kMoreBit : 0;
    text[i] = static_cast<char>('0' + (static_cast<int>(number >> (5 * i)) & kGroupMask) + more);
  }
  return text + groups;
}

class NumberReader {
 public:
  explicit NumberReader(std::string_view text) : text_(text) {}

  bool at_end() const { return position_ == text_.size(); }
  std::size_t position() const { return position_; }

  std::int64_t next() {
    std::int64_t number = 0;
    int previous = 0;
    for (int groups = 0; groups < kMostGroups; ++groups) {
      const int symbol = next_symbol();
      const int group = symbol & kGroupMask;
      number += group * (std::int64_t{1} << (5 * groups));
      if ((symbol & kMoreBit) == 0) {
        const bool only_extends_sign = group == ((previous & kSignBit) != 0 ? kGroupMask : 0);
        HPIP_REQUIRE(groups == 0 || !only_extends_sign, "counts: the run that ends at character ",
                     position_ - 1, " is written in more characters than it needs");
        const bool is_negative = (group & kSignBit) != 0;
        return is_negative ? number - (std::int64_t{1} << (5 * (groups + 1))) : number;
      }
      previous = group;
    }
    throw InvalidInput(concat("counts: expected at most ", kMostGroups,
                              " characters per run, received more before character ", position_));
  }

 private:
  int next_symbol() {
    HPIP_REQUIRE(!at_end(), "counts: the string ends within a run, after ", position_,
                 " characters; is it truncated?");
    const int symbol = static_cast<unsigned char>(text_[position_]) - '0';
    HPIP_REQUIRE(symbol >= 0 && symbol <= (kGroupMask | kMoreBit),
                 "counts: expected characters '0' to 'o', received code ", symbol + '0', " at ",
                 position_);
    ++position_;
    return symbol;
  }

  std::string_view text_;
  std::size_t position_ = 0;
};

}  // namespace

std::string rle_to_string(const Runs& runs) {
  std::string text(kMostGroups * runs.size(), '\0');
  char* end = text.data();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::int64_t base = i > 2 ? runs[i - 2] : 0;
    end = append_number(runs[i] - base, end);
  }
  text.resize(static_cast<std::size_t>(end - text.data()));
  return text;
}

Runs rle_from_string(std::string_view counts) {
  Runs runs;
  runs.reserve(counts.size());
  std::int64_t sum = 0;
  NumberReader reader(counts);
  while (!reader.at_end()) {
    const std::int64_t base = runs.size() > 2 ? runs[runs.size() - 2] : 0;
    const std::int64_t run = reader.next() + base;
    HPIP_REQUIRE(run >= 0 && run <= kLargestRun, "counts: expected runs of 0 to ", kLargestRun,
                 " pixels, received ", run, " before character ", reader.position());
    sum += run;
    HPIP_REQUIRE(sum <= kLargestRun, "counts: expected at most ", kLargestRun,
                 " pixels in all, received more before character ", reader.position());
    runs.push_back(static_cast<std::uint32_t>(run));
  }
  return runs;
}

Runs rle_from_string(std::string_view counts, ImageSize size) {
  HPIP_REQUIRE(size.height >= 0 && size.width >= 0,
               "size: expected a height and width of at least 0, received (", size.height, ", ",
               size.width, ")");
  Runs runs = rle_from_string(counts);
  std::int64_t sum = 0;
  for (const std::uint32_t run : runs) {
    sum += run;
  }
  // Divided, since the product of hostile sides may not fit into 64 bits.
  const bool fits = size.width == 0 || size.height == 0
                        ? sum == 0
                        : sum % size.height == 0 && sum / size.height == size.width;
  HPIP_REQUIRE(fits, "counts: expected runs that cover a mask of ", size.height, " x ", size.width,
               " pixels, received runs over ", sum, " pixels; is the size (height, width)?");
  return runs;
}

}  // namespace hpip
