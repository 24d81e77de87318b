// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>
#include <vector>

#include "hpip/check.h"
#include "hpip/mask_ops.h"
#include "hpip/parallel.h"
#include "kernels/image_taps_inl.h"
#include "kernels/kernel_table.h"
#include "kernels/predicates.h"
#include "kernels/resample_row_inl.h"
#include "kernels/threshold_row_inl.h"
#include "ops/axis_table.h"

namespace hpip {
namespace {

// Minimum number of rows per thread: the start of a thread takes about 20 us, in which one thread
// resamples about ten rows of 1080p.
constexpr std::ptrdiff_t kGrainRows = 32;

struct RowRange {
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
};

// Taps of the pixels of a row or column; pixels outside [begin, end) are zero.
struct Axis {
  AxisTable table;
  std::ptrdiff_t begin = 0;
  std::ptrdiff_t end = 0;
};

Axis image_axis(std::ptrdiff_t source_length, std::ptrdiff_t image_length, std::int64_t first_pixel,
                std::ptrdiff_t count) {
  Axis axis{{}, 0, count};
  const auto pixels = static_cast<std::size_t>(count);
  kernels::image_taps(source_length, image_length, static_cast<std::ptrdiff_t>(first_pixel), pixels,
                      axis.table.resize(pixels));
  return axis;
}

Axis region_axis(float low, float high, std::ptrdiff_t source_length, std::int64_t first_pixel,
                 std::ptrdiff_t count) {
  Axis axis{{}, 0, count};
  const auto pixels = static_cast<std::size_t>(count);
  active_kernels().region_taps(low, high, static_cast<std::int32_t>(source_length),
                               static_cast<std::int32_t>(first_pixel), pixels,
                               axis.table.resize(pixels));
  const auto sees_source = [&](std::ptrdiff_t i) {
    return axis.table.second()[static_cast<std::size_t>(i)] != 0;
  };
  while (axis.begin < axis.end && !sees_source(axis.begin)) {
    ++axis.begin;
  }
  while (axis.begin < axis.end && !sees_source(axis.end - 1)) {
    --axis.end;
  }
  return axis;
}

// A copy of `mask`, padded with one zero on each side.
std::vector<float> pad_with_zeros(const Plane<float>& mask) {
  const auto width = static_cast<std::size_t>(mask.width);
  std::vector<float> padded((width + 2) * (static_cast<std::size_t>(mask.height) + 2));
  for (std::ptrdiff_t y = 0; y < mask.height; ++y) {
    std::copy_n(mask.at(y, 0), width,
                padded.data() + static_cast<std::size_t>(y + 1) * (width + 2) + 1);
  }
  return padded;
}

// Resamples `source` at the pixels `ys` x `xs`, and writes a contiguous row of `out` for each of
// `ys`.
template <typename Predicate>
void resample_rows(const Plane<float>& source, const Axis& xs, const Axis& ys, Predicate predicate,
                   std::uint8_t* out) {
  const std::size_t width = xs.table.size();
  const int outside = predicate(0.0F) ? 1 : 0;
  if (xs.begin == xs.end || ys.begin == ys.end) {
    std::memset(out, outside, width * ys.table.size());
    return;
  }
  const auto begin = static_cast<std::size_t>(xs.begin);
  const auto end = static_cast<std::size_t>(xs.end);
  // Blends only the source columns that are sampled.
  const auto low = static_cast<std::ptrdiff_t>(xs.table.first()[begin]);
  const std::ptrdiff_t high = xs.table.second()[end - 1];
  std::vector<float> row(static_cast<std::size_t>(source.width));
  for (std::size_t y = 0; y < ys.table.size(); ++y, out += width) {
    if (static_cast<std::ptrdiff_t>(y) < ys.begin || static_cast<std::ptrdiff_t>(y) >= ys.end) {
      std::memset(out, outside, width);
      continue;
    }
    kernels::blend_rows(source.at(ys.table.first()[y], low), source.at(ys.table.second()[y], low),
                        ys.table.second_weight()[y], static_cast<std::size_t>(high - low + 1),
                        row.data() + low);
    std::memset(out, outside, begin);
    kernels::sample_row(row.data(), xs.table.taps(begin), end - begin, predicate, out + begin);
    std::memset(out + end, outside, width - end);
  }
}

// The arguments that are the same for all rows of all masks.
struct PasteJob {
  const StridedArray& masks;
  PasteConvention convention;
  const float* boxes_xyxy;
  ImageSize image;
  const PixelBox* windows;
  std::uint8_t* const* targets;

  // Writes rows [rows.begin, rows.end) of target n.
  template <typename T, typename Predicate>
  void fill(std::ptrdiff_t n, RowRange rows, Predicate predicate) const {
    const PixelBox& whole = windows[n];
    const PixelBox window{whole.x0, whole.y0 + rows.begin, whole.x1, whole.y0 + rows.end};
    std::uint8_t* out = targets[n] + rows.begin * window.width();
    const Plane<T> mask = plane_of<T>(masks, n);
    if (convention == PasteConvention::kPasted) {
      const Plane<T> crop = crop_plane(mask, window);
      for (std::ptrdiff_t y = 0; y < crop.height; ++y, out += crop.width) {
        kernels::threshold_row(crop.at(y, 0), crop.column_stride,
                               static_cast<std::size_t>(crop.width), predicate, out);
      }
      return;
    }
    if constexpr (std::is_same_v<T, float>) {
      fill_resampled(n, mask, window, predicate, out);
    }
  }

  template <typename Predicate>
  void fill_resampled(std::ptrdiff_t n, const Plane<float>& mask, const PixelBox& window,
                      Predicate predicate, std::uint8_t* out) const {
    if (convention == PasteConvention::kImage) {
      resample_rows(mask, image_axis(mask.width, image.width, window.x0, window.width()),
                    image_axis(mask.height, image.height, window.y0, window.height()), predicate,
                    out);
      return;
    }
    const float* box = boxes_xyxy + 4 * n;
    const std::vector<float> padded = pad_with_zeros(mask);
    const Plane<float> source{padded.data(), mask.height + 2, mask.width + 2, mask.width + 2, 1};
    resample_rows(source, region_axis(box[0], box[2], mask.width, window.x0, window.width()),
                  region_axis(box[1], box[3], mask.height, window.y0, window.height()), predicate,
                  out);
  }
};

void require_masks(const StridedArray& masks, PasteConvention convention, ImageSize image) {
  const std::ptrdiff_t height = masks.shape[1];
  const std::ptrdiff_t width = masks.shape[2];
  if (convention == PasteConvention::kPasted) {
    HPIP_REQUIRE(height == image.height && width == image.width,
                 "masks: expected pasted masks of the image's size (", image.height, ", ",
                 image.width, "), received (", height, ", ", width, ")");
    return;
  }
  constexpr std::ptrdiff_t kLongestSide = std::numeric_limits<std::int32_t>::max() - 2;
  HPIP_REQUIRE(masks.dtype == DType::kFloat32 && (width <= 1 || masks.strides[2] == 1),
               "masks: expected float32 with contiguous rows for conventions 'region' and 'image', "
               "received another dtype or layout; pass numpy.ascontiguousarray(masks, 'float32')");
  HPIP_REQUIRE(height >= 1 && width >= 1 && std::max(height, width) <= kLongestSide,
               "masks: expected at least one row and one column, received (", height, ", ", width,
               ")");
}

}  // namespace

void paste_masks(const StridedArray& masks, PasteConvention convention, const float* boxes_xyxy,
                 ImageSize image, const Threshold& threshold, const PixelBox* windows,
                 std::uint8_t* const* targets, int threads) {
  require_threshold(threshold);
  const std::ptrdiff_t count = masks.shape[0];
  if (count > 0) {
    require_masks(masks, convention, image);
  }
  // Rows of all windows, one after another: mask n has [first_rows[n], first_rows[n + 1]).
  std::vector<std::ptrdiff_t> first_rows{0};
  for (std::ptrdiff_t n = 0; n < count; ++n) {
    first_rows.push_back(first_rows.back() + windows[n].height());
  }
  const PasteJob job{masks, convention, boxes_xyxy, image, windows, targets};
  visit_dtype(masks.dtype, [&](auto tag) {
    using T = decltype(tag);
    kernels::visit_threshold<T>(threshold, [&](auto predicate) {
      parallel_for(
          first_rows.back(), kGrainRows, threads, [&](std::ptrdiff_t begin, std::ptrdiff_t end) {
            auto after = std::upper_bound(first_rows.begin(), first_rows.end(), begin);
            for (; begin < end; ++after) {
              const std::ptrdiff_t first = *(after - 1);
              const std::ptrdiff_t stop = std::min(end, *after);
              job.fill<T>(after - first_rows.begin() - 1, {begin - first, stop - first}, predicate);
              begin = stop;
            }
          });
    });
  });
}

}  // namespace hpip
