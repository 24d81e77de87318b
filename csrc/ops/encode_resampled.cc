// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "hpip/check.h"
#include "hpip/parallel.h"
#include "hpip/rle.h"
#include "kernels/cell_inl.h"
#include "kernels/column_sides_inl.h"
#include "kernels/kernel_table.h"
#include "ops/column_runs.h"
#include "ops/sample_axis.h"
#include "ops/source_columns.h"

// Between the same two rows and columns of the source, pixels form a cell, in which the values
// along a column lie on a straight line. A cell whose corners are on one side of the threshold is
// done with; in the others, columns change at most once, and where is calculated, not searched.
namespace hpip {
namespace {

using kernels::AxisTap;

// Encodes the columns between two columns of the source.
class StripEncoder {
 public:
  StripEncoder(const SampleAxis& xs, const SampleAxis& ys, float limit)
      : xs_(xs),
        ys_(ys),
        limit_(limit),
        height_(ys.spans.empty() ? 0 : ys.spans.back().end),
        sides_(static_cast<std::size_t>(ys.items_end - ys.items_begin)),
        runs_(height_) {}

  // `left` and `right` hold the items [ys.items_begin, ys.items_end) of the two columns.
  void encode(const SampleSpan& strip, const float* left, const float* right) {
    kernels::common_sides(left, right, sides_.size(), limit_, sides_.data());
    weights_ = xs_.second_weights.data() + strip.begin;
    columns_ = static_cast<std::size_t>(strip.end - strip.begin);
    const std::uint64_t all = ~std::uint64_t{0} >> (kCellColumns - columns_);
    state_ = 0;
    for (const SampleSpan& rows : ys_.spans) {
      const auto first = static_cast<std::size_t>(rows.first - ys_.items_begin);
      const auto second = static_cast<std::size_t>(rows.second - ys_.items_begin);
      const std::uint8_t side = sides_[first] & sides_[second];
      if (side != 0) {
        set_state(side == kernels::kAbove ? all : 0, rows.begin);
      } else {
        encode_cell({left[first], left[second], right[first], right[second]}, rows);
      }
    }
    set_state(0, height_);
    runs_.end_block(strip.begin);
  }

  std::string finish(std::ptrdiff_t width) { return runs_.finish(width); }

 private:
  // From row y on, bit x of `state` tells whether pixels of column x are foreground.
  void set_state(std::uint64_t state, std::ptrdiff_t y) {
    runs_.add_changes(state_ ^ state, y);
    state_ = state;
  }

  void encode_cell(const Cell& cell, const SampleSpan& rows) {
    const CellRows cell_rows{ys_.second_weights.data() + rows.begin, rows.end - rows.begin - 1,
                             rows.bend_pixels};
    const bool is_finite =
        std::isfinite(cell.top_left + cell.top_right + cell.bottom_left + cell.bottom_right);
    if (cell_rows.last == 0 || !is_finite) {
      for (std::ptrdiff_t y = 0; y <= cell_rows.last; ++y) {
        set_state(
            kernels::cell_row_bits(cell, weights_, columns_, cell_rows.bottom_weights[y], limit_),
            rows.begin + y);
      }
      return;
    }
    CellColumns found;
    active_kernels().cell_columns(cell, weights_, columns_, cell_rows, limit_, &found);
    set_state(found.first, rows.begin);
    for (std::uint64_t rest = found.first ^ found.last; rest != 0; rest &= rest - 1) {
      const auto x = static_cast<std::size_t>(__builtin_ctzll(rest));
      std::ptrdiff_t y = found.crossings[x];
      if ((found.sure >> x & 1) == 0) {
        y = kernels::search_crossing(cell, weights_[x], cell_rows, y, (found.last >> x & 1) != 0,
                                     limit_);
      }
      runs_.add(static_cast<std::uint32_t>(x), static_cast<std::uint32_t>(rows.begin + y));
    }
    state_ = found.last;
  }

  const SampleAxis& xs_;
  const SampleAxis& ys_;
  float limit_;
  std::ptrdiff_t height_;
  std::vector<std::uint8_t> sides_;
  ColumnRuns runs_;
  const float* weights_ = nullptr;
  std::size_t columns_ = 0;
  std::uint64_t state_ = 0;
};

std::string encode_columns(SourceColumns& source, const SampleAxis& xs, const SampleAxis& ys,
                           float limit) {
  StripEncoder encoder(xs, ys, limit);
  const RowRange rows{ys.items_begin, ys.items_end};
  std::vector<float> left(static_cast<std::size_t>(rows.end - rows.begin));
  std::vector<float> right(left.size());
  std::ptrdiff_t loaded = -1;  // the column in `right`
  for (const SampleSpan& strip : xs.spans) {
    if (strip.first == loaded) {
      left.swap(right);
    } else {
      source.load(strip.first, rows, left.data());
    }
    source.load(strip.second, rows, right.data());
    loaded = strip.second;
    encoder.encode(strip, left.data(), right.data());
  }
  return encoder.finish(xs.spans.back().end);
}

std::vector<AxisTap> image_taps(std::ptrdiff_t source_length, std::ptrdiff_t image_length,
                                std::int64_t first_pixel, std::ptrdiff_t count) {
  std::vector<AxisTap> taps(static_cast<std::size_t>(count));
  kernels::image_taps(source_length, image_length, static_cast<std::ptrdiff_t>(first_pixel),
                      taps.size(), taps.data());
  return taps;
}

std::vector<AxisTap> region_taps(float low, float high, std::ptrdiff_t source_length,
                                 std::int64_t first_pixel, std::ptrdiff_t count) {
  std::vector<AxisTap> taps(static_cast<std::size_t>(count));
  kernels::region_taps(low, high, source_length, static_cast<std::ptrdiff_t>(first_pixel),
                       taps.size(), taps.data());
  return taps;
}

// Columns of a strip are bits of a word.
SampleAxis columns_axis(const std::vector<AxisTap>& taps) {
  return sample_axis(taps, static_cast<std::ptrdiff_t>(kCellColumns));
}

SampleAxis rows_axis(const std::vector<AxisTap>& taps) {
  return sample_axis(taps, static_cast<std::ptrdiff_t>(taps.size()));
}

// What stays the same for all masks.
struct EncodeJob {
  const StridedArray& masks;
  PasteConvention convention;
  ImageSize image;
  const Upsampling& upsampling;
  UpsampleTaps taps;

  std::string encode(std::ptrdiff_t mask_index, std::ptrdiff_t n, const float* box,
                     const PixelBox& window, float limit) const {
    const Plane<float> mask = plane_of<float>(masks, mask_index);
    if (convention == PasteConvention::kRegion) {
      PlaneColumns columns(mask, 1);
      return encode_columns(
          columns, columns_axis(region_taps(box[0], box[2], mask.width, window.x0, window.width())),
          rows_axis(region_taps(box[1], box[3], mask.height, window.y0, window.height())), limit);
    }
    const bool is_direct = upsampling.is_none();
    const ImageSize source = is_direct ? ImageSize{mask.height, mask.width} : upsampling.kept;
    const SampleAxis xs =
        columns_axis(image_taps(source.width, image.width, window.x0, window.width()));
    const SampleAxis ys =
        rows_axis(image_taps(source.height, image.height, window.y0, window.height()));
    if (is_direct) {
      PlaneColumns columns(mask, 0);
      return encode_columns(columns, xs, ys, limit);
    }
    UpsampledColumns columns(mask, taps, upsampling.windows[n]);
    return encode_columns(columns, xs, ys, limit);
  }
};

// "At least x" is "above the next smaller float".
float exclusive_limit(const Threshold& threshold) {
  const auto limit = static_cast<float>(threshold.value);
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  return threshold.inclusive ? std::nextafter(limit, kLowest) : limit;
}

void require_upsampling(const Upsampling& upsampling, std::ptrdiff_t count) {
  const auto [size, kept, windows] = upsampling;
  HPIP_REQUIRE(size.height >= 1 && size.width >= 1 && kept.height >= 1 && kept.width >= 1 &&
                   kept.height <= size.height && kept.width <= size.width,
               "upsampling: expected a size of at least 1 x 1 and a part of it to keep, received ",
               size.height, " x ", size.width, " and ", kept.height, " x ", kept.width);
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    const PixelBox& window = windows[n];
    HPIP_REQUIRE(window.x0 >= 0 && window.y0 >= 0 && window.x0 <= window.x1 &&
                     window.y0 <= window.y1 && window.x1 <= kept.width && window.y1 <= kept.height,
                 "windows_xyxy[", n, "]: expected a window inside of ", kept.height, " x ",
                 kept.width, ", received rows ", window.y0, " to ", window.y1, " and columns ",
                 window.x0, " to ", window.x1);
  }
}

void require_resampling(const StridedArray& masks, PasteConvention convention, ImageSize image,
                        const Upsampling& upsampling, const PixelBox* windows,
                        std::ptrdiff_t count) {
  constexpr std::ptrdiff_t kLongestSide = std::numeric_limits<std::int32_t>::max() - 2;
  constexpr std::int64_t kMostPixels = std::numeric_limits<std::uint32_t>::max();
  HPIP_REQUIRE(convention != PasteConvention::kPasted,
               "convention: expected 'region' or 'image', received 'pasted'");
  HPIP_REQUIRE(image.height >= 1 && image.width >= 1,
               "image_hw: expected at least one row and one column, received (", image.height, ", ",
               image.width, ")");
  HPIP_REQUIRE(upsampling.is_none() || convention == PasteConvention::kImage,
               "upsampling: expected none for convention 'region', received one");
  if (count == 0) {
    return;
  }
  const std::ptrdiff_t height = masks.shape[1];
  const std::ptrdiff_t width = masks.shape[2];
  HPIP_REQUIRE(height >= 1 && width >= 1 && std::max(height, width) <= kLongestSide,
               "masks: expected at least one row and one column, received (", height, ", ", width,
               ")");
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    HPIP_REQUIRE(windows[n].height() <= kMostPixels / windows[n].width(), "boxes_xyxy[", n,
                 "]: expected at most 2^32 - 1 pixels, received (", windows[n].height(), ", ",
                 windows[n].width(), ")");
  }
  if (!upsampling.is_none()) {
    require_upsampling(upsampling, count);
  }
}

}  // namespace

std::vector<std::string> encode_resampled(const StridedArray& masks, const std::int64_t* indices,
                                          PasteConvention convention, const float* boxes_xyxy,
                                          ImageSize image, const Upsampling& upsampling,
                                          const PixelBox* windows, std::ptrdiff_t count,
                                          const Threshold& threshold, int threads) {
  require_threshold(threshold);
  require_resampling(masks, convention, image, upsampling, windows, count);
  std::vector<std::string> counts(static_cast<std::size_t>(count));
  EncodeJob job{masks, convention, image, upsampling, {}};
  if (!upsampling.is_none()) {
    job.taps = upsample_taps(upsampling, {masks.shape[1], masks.shape[2]});
  }
  const float limit = exclusive_limit(threshold);
  parallel_for(count, 1, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
    for (std::ptrdiff_t n = begin; n < end; ++n) {
      const float* box = boxes_xyxy == nullptr ? nullptr : boxes_xyxy + 4 * n;
      counts[static_cast<std::size_t>(n)] =
          job.encode(static_cast<std::ptrdiff_t>(indices[n]), n, box, windows[n], limit);
    }
  });
  return counts;
}

}  // namespace hpip
