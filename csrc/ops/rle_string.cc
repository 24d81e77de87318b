// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <memory>

#include "hpip/check.h"
#include "hpip/dcheck.h"
#include "hpip/rle.h"
#include "kernels/kernel_table.h"

namespace hpip {
namespace {

constexpr std::int64_t kLargestRun = std::numeric_limits<std::uint32_t>::max();
// 33 bits and a sign fit into 7 groups of 5.
constexpr std::size_t kMostGroups = 7;
constexpr int kSignBit = 0x10;
constexpr int kMoreBit = 0x20;
constexpr int kGroupMask = 0x1F;

class NumberReader {
 public:
  explicit NumberReader(std::string_view text) : text_(text) {}

  bool at_end() const { return position_ == text_.size(); }
  std::size_t position() const { return position_; }

  std::int64_t next() {
    std::int64_t number = 0;
    int previous = 0;
    for (int groups = 0; groups < static_cast<int>(kMostGroups); ++groups) {
      const int symbol = next_symbol();
      const int group = symbol & kGroupMask;
      number += group * (std::int64_t{1} << (5 * groups));
      if ((symbol & kMoreBit) == 0) {
        const bool only_extends_sign = group == ((previous & kSignBit) != 0 ? kGroupMask : 0);
        HPIP_REQUIRE(groups == 0 || !only_extends_sign, "counts: the run that ends at character ",
                     position_ - 1, " has more characters than necessary; encode the mask again");
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
                 " characters; check if it is truncated");
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

std::string rle_to_string(const Runs& runs) { return rle_to_string(runs.data(), runs.size()); }

std::string rle_to_string(const std::uint32_t* runs, std::size_t count) {
  // Has the maximum length of the output; not a std::string, which would be initialised and
  // returned with all of its capacity.
  const std::unique_ptr<char[]> text(new char[kMostGroups * count + kTextPadding]);
  char* const end = active_kernels().write_counts(runs, 0, count, text.get());
  HPIP_DCHECK(static_cast<std::size_t>(end - text.get()), <=, kMostGroups * count);
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
                 " pixels in total, received more before character ", reader.position());
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
  // A division, because the product of malicious sizes may not fit into 64 bits.
  const bool fits = size.width == 0 || size.height == 0
                        ? sum == 0
                        : sum % size.height == 0 && sum / size.height == size.width;
  HPIP_REQUIRE(fits, "counts: expected runs that cover a mask of ", size.height, " x ", size.width,
               " pixels, received runs over ", sum,
               " pixels; check that the size is (height, width)");
  return runs;
}

}  // namespace hpip
