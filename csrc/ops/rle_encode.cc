// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>

#include "hpip/check.h"
#include "hpip/parallel.h"
#include "hpip/rle.h"
#include "kernels/column_changes_inl.h"
#include "kernels/pack_columns_inl.h"
#include "kernels/predicates.h"

namespace hpip {
namespace {

using kernels::kWordColumns;

// Pixels below which a thread costs more than it saves: starting one takes 20 to 100 us, in which
// one thread encodes some 5 * 10^5 pixels of uint8.
constexpr std::ptrdiff_t kGrainPixels = 1 << 19;

// Positions, in column-major order, of pixels that differ from the one before.
using Changes = std::vector<std::uint32_t>;

// The changes in columns [first_column, first_column + 64). `words` is room for plane.height words.
template <typename T, typename Predicate>
Changes block_changes(const Plane<T>& plane, std::ptrdiff_t first_column, Predicate predicate,
                      std::uint64_t* words) {
  const std::ptrdiff_t columns = std::min(kWordColumns, plane.width - first_column);
  const Plane<T> block{plane.at(0, first_column), plane.height, columns, plane.row_stride,
                       plane.column_stride};
  const auto height = static_cast<std::size_t>(plane.height);
  const bool before = first_column > 0 && predicate(*plane.at(plane.height - 1, first_column - 1));
  kernels::pack_columns(block, predicate, words);
  kernels::mark_changes(words, height, columns, before);

  std::array<std::uint32_t, kWordColumns> next{};
  kernels::count_changes(words, height, next.data());
  std::uint32_t total = 0;
  for (std::uint32_t& start : next) {
    const std::uint32_t count = start;
    start = total;
    total += count;
  }
  Changes changes(total);
  const auto first_position = static_cast<std::uint32_t>(first_column * plane.height);
  kernels::list_changes(words, height, first_position, next.data(), changes.data());
  return changes;
}

Runs runs_between(const std::vector<Changes>& blocks, std::uint32_t pixel_count) {
  Runs runs;
  std::uint32_t previous = 0;
  for (const Changes& changes : blocks) {
    for (const std::uint32_t change : changes) {
      runs.push_back(change - previous);
      previous = change;
    }
  }
  runs.push_back(pixel_count - previous);
  return runs;
}

template <typename T, typename Predicate>
std::string encode_plane(const Plane<T>& plane, Predicate predicate, int threads) {
  constexpr std::ptrdiff_t kMostPixels = std::numeric_limits<std::uint32_t>::max();
  const bool is_empty = plane.height == 0 || plane.width == 0;
  HPIP_REQUIRE(is_empty || plane.height <= kMostPixels / plane.width,
               "mask: expected at most 2^32 - 1 pixels, received (", plane.height, ", ",
               plane.width, ")");
  const std::ptrdiff_t block_count = is_empty ? 0 : (plane.width + kWordColumns - 1) / kWordColumns;
  std::vector<Changes> blocks(static_cast<std::size_t>(block_count));
  const std::ptrdiff_t grain_blocks =
      kGrainPixels / (kWordColumns * std::max<std::ptrdiff_t>(1, plane.height)) + 1;
  parallel_for(block_count, grain_blocks, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    std::vector<std::uint64_t> words(static_cast<std::size_t>(plane.height));
    for (std::ptrdiff_t block = begin; block < end; ++block) {
      blocks[static_cast<std::size_t>(block)] =
          block_changes(plane, block * kWordColumns, predicate, words.data());
    }
  });
  const std::ptrdiff_t pixel_count = is_empty ? 0 : plane.height * plane.width;
  return rle_to_string(runs_between(blocks, static_cast<std::uint32_t>(pixel_count)));
}

}  // namespace

std::string encode_rle(const StridedArray& mask, int threads) {
  return visit_dtype(mask.dtype, [&](auto tag) {
    using T = decltype(tag);
    return encode_plane(plane_of<T>(mask), kernels::NonZero<T>{}, threads);
  });
}

std::vector<std::string> encode_mask_crops(const StridedArray& masks, const std::int64_t* indices,
                                           const PixelBox* windows, std::ptrdiff_t count,
                                           const Threshold& threshold, int threads) {
  require_threshold(threshold);
  std::vector<std::string> counts(static_cast<std::size_t>(count));
  const int inner_threads = count == 1 ? threads : 1;
  visit_dtype(masks.dtype, [&](auto tag) {
    using T = decltype(tag);
    kernels::visit_threshold<T>(threshold, [&](auto predicate) {
      parallel_for(count, 1, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
        for (std::ptrdiff_t n = begin; n < end; ++n) {
          const Plane<T> mask = plane_of<T>(masks, static_cast<std::ptrdiff_t>(indices[n]));
          counts[static_cast<std::size_t>(n)] =
              encode_plane(crop_plane(mask, windows[n]), predicate, inner_threads);
        }
      });
    });
  });
  return counts;
}

}  // namespace hpip
