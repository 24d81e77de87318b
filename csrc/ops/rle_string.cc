// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <memory>

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

// The lowest byte comes first.
void store_characters(std::uint32_t characters, char* text) {
  for (int i = 0; i < 4; ++i) {
    text[i] = static_cast<char>(characters >> (8 * i));
  }
}

// Writes the number and returns what is behind it; up to kMostGroups characters there may change.
// Most numbers of a mask have one or two groups, at random: four are made at once without asking,
// so that no branch is mispredicted.
char* append_number(std::int64_t number, char* text) {
  // Characters of the number's four lowest groups, and bits that say that another group follows.
  constexpr std::uint32_t kZeros = 0x30303030U;
  constexpr std::uint32_t kMore[5] = {0, 0, 0x20U, 0x2020U, 0x202020U};
  const auto magnitude = static_cast<std::uint64_t>(number ^ (number >> 63));
  const auto bits = static_cast<std::uint32_t>(64 - __builtin_clzll(magnitude << 1 | 1));
  const std::uint32_t groups = (bits + 4) / 5;  // the sign takes a bit
  const auto low = static_cast<std::uint32_t>(number);
  const std::uint32_t spread =
      (low & 0x1FU) | (low & 0x3E0U) << 3 | (low & 0x7C00U) << 6 | (low & 0xF8000U) << 9;
  if (groups <= 4) {
    store_characters(spread + kZeros + kMore[groups], text);
    return text + groups;
  }
  store_characters(spread + kZeros + 0x20202020U, text);
  // Shifting right keeps the sign on every compiler that we support, and by definition from C++20.
  for (std::uint32_t i = 4; i < groups; ++i) {
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
  // Of the longest that it may become; not a string, whose memory would be cleared and kept.
  const std::unique_ptr<char[]> text(new char[kMostGroups * runs.size() + 1]);
  char* end = text.get();
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::int64_t base = i > 2 ? runs[i - 2] : 0;
    end = append_number(runs[i] - base, end);
  }
  return {text.get(), end};
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
