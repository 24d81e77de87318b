// SPDX-License-Identifier: Apache-2.0
#include "hpip/rle.h"

#include <algorithm>
#include <utility>

#include "hpip/check.h"
#include "hpip/dcheck.h"
#include "hpip/parallel.h"
#include "kernels/pack_columns_inl.h"
#include "kernels/unpack_word_inl.h"
#include "ops/row_words.h"

namespace hpip {
namespace {

// Minimum number of pixels per thread; decoding is limited by the memory bandwidth.
constexpr std::ptrdiff_t kGrainPixels = 1 << 18;

// Calls visit(begin, end) for each non-empty run of ones, with positions in column-major order.
template <typename Visitor>
void for_each_foreground_run(const Runs& runs, Visitor&& visit) {
  std::int64_t position = 0;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::int64_t end = position + runs[i];
    if (i % 2 == 1 && end > position) {
      visit(position, end);
    }
    position = end;
  }
}

// Calls visit(x, y0, y1) for the part of the foreground positions [begin, end) in each column.
template <typename Visitor>
void for_each_column(std::int64_t begin, std::int64_t end, std::int64_t height, Visitor&& visit) {
  std::int64_t x = begin / height;
  for (std::int64_t y0 = begin % height; begin < end; ++x, y0 = 0) {
    const std::int64_t y1 = std::min(height, y0 + end - begin);
    visit(x, y0, y1);
    begin += y1 - y0;
  }
}

// Collects foreground in column-major order as runs; adjacent parts become one run.
class RunBuilder {
 public:
  void add_foreground(std::int64_t begin, std::int64_t end) {
    HPIP_DCHECK(begin, >=, end_);
    HPIP_DCHECK(begin, <, end);
    if (begin == end_ && !runs_.empty()) {
      runs_.back() += static_cast<std::uint32_t>(end - begin);
    } else {
      runs_.push_back(static_cast<std::uint32_t>(begin - end_));
      runs_.push_back(static_cast<std::uint32_t>(end - begin));
    }
    end_ = end;
  }

  Runs finish(std::int64_t pixel_count) && {
    if (pixel_count > end_ || runs_.empty()) {
      runs_.push_back(static_cast<std::uint32_t>(pixel_count - end_));
    }
    return std::move(runs_);
  }

 private:
  Runs runs_;
  std::int64_t end_ = 0;
};

}  // namespace

void decode_runs(const Runs& runs, ImageSize size, std::uint8_t* out, int threads) {
  if (size.width == 0) {
    return;
  }
  const std::ptrdiff_t grain_rows = kGrainPixels / size.width + 1;
  parallel_for(size.height, grain_rows, threads, [&](std::ptrdiff_t first, std::ptrdiff_t last) {
    RowWords rows(runs, size.height, first, last);
    for (std::ptrdiff_t x = 0; x < size.width; x += kernels::kWordColumns) {
      const std::uint64_t* words = rows.next();
      const auto columns =
          static_cast<std::size_t>(std::min(kernels::kWordColumns, size.width - x));
      for (std::ptrdiff_t y = first; y < last; ++y) {
        kernels::unpack_word(words[y - first], columns, out + y * size.width + x);
      }
    }
  });
}

std::uint64_t rle_area(const Runs& runs) {
  std::uint64_t area = 0;
  for (std::size_t i = 1; i < runs.size(); i += 2) {
    area += runs[i];
  }
  return area;
}

PixelBox rle_to_bbox(const Runs& runs, ImageSize size) {
  PixelBox box{size.width, size.height, 0, 0};
  for_each_foreground_run(runs, [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t first_column = begin / size.height;
    const std::int64_t last_column = (end - 1) / size.height;
    // A run continues in the next column if it touches the bottom of one and the top of the other.
    const bool is_one_column = first_column == last_column;
    box.x0 = std::min(box.x0, first_column);
    box.x1 = std::max(box.x1, last_column + 1);
    box.y0 = std::min(box.y0, is_one_column ? begin % size.height : 0);
    box.y1 = std::max(box.y1, is_one_column ? (end - 1) % size.height + 1 : size.height);
  });
  return box.x1 == 0 ? PixelBox{} : box;
}

Runs merge_runs(const Runs& runs, const PixelBox& crop, ImageSize image) {
  constexpr std::int64_t kMostPixels = 0xFFFFFFFF;
  HPIP_REQUIRE(crop.x0 >= 0 && crop.y0 >= 0 && crop.x1 <= image.width && crop.y1 <= image.height,
               "crop_hw, offset_yx: expected a crop inside the image of (", image.height, ", ",
               image.width, "), received rows ", crop.y0, " to ", crop.y1, " and columns ", crop.x0,
               " to ", crop.x1);
  const bool is_empty = image.height == 0 || image.width == 0;
  HPIP_REQUIRE(is_empty || image.height <= kMostPixels / image.width,
               "image_hw: expected at most 2^32 - 1 pixels, received (", image.height, ", ",
               image.width, ")");
  RunBuilder builder;
  for_each_foreground_run(runs, [&](std::int64_t run_begin, std::int64_t run_end) {
    for_each_column(run_begin, run_end, crop.height(),
                    [&](std::int64_t x, std::int64_t y0, std::int64_t y1) {
                      const std::int64_t top = (crop.x0 + x) * image.height + crop.y0;
                      builder.add_foreground(top + y0, top + y1);
                    });
  });
  return std::move(builder).finish(is_empty ? 0 : image.height * image.width);
}

Runs crop_runs(const Runs& runs, ImageSize size, const PixelBox& crop) {
  HPIP_REQUIRE(crop.x0 >= 0 && crop.y0 >= 0 && crop.x1 <= size.width && crop.y1 <= size.height,
               "crop_hw, offset_yx: expected a crop inside the mask of (", size.height, ", ",
               size.width, "), received rows ", crop.y0, " to ", crop.y1, " and columns ", crop.x0,
               " to ", crop.x1);
  RunBuilder builder;
  const std::int64_t crop_begin = crop.x0 * size.height;
  const std::int64_t crop_end = crop.x1 * size.height;
  for_each_foreground_run(runs, [&](std::int64_t run_begin, std::int64_t run_end) {
    for_each_column(std::max(run_begin, crop_begin), std::min(run_end, crop_end), size.height,
                    [&](std::int64_t x, std::int64_t y0, std::int64_t y1) {
                      const std::int64_t top = (x - crop.x0) * crop.height() - crop.y0;
                      const std::int64_t begin = std::max(y0, crop.y0);
                      const std::int64_t end = std::min(y1, crop.y1);
                      if (begin < end) {
                        builder.add_foreground(top + begin, top + end);
                      }
                    });
  });
  return std::move(builder).finish(crop.height() * crop.width());
}

}  // namespace hpip
