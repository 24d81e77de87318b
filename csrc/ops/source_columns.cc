// SPDX-License-Identifier: Apache-2.0
#include "ops/source_columns.h"

#include <algorithm>

#include "hpip/dcheck.h"
#include "kernels/image_taps_inl.h"
#include "kernels/resample_row_inl.h"

namespace hpip {

void PlaneColumns::load(std::ptrdiff_t column, RowRange rows, float* out) {
  const std::ptrdiff_t x = column - border_;
  const RowRange inside{std::max(rows.begin, border_), std::min(rows.end, plane_.height + border_)};
  if (x < 0 || x >= plane_.width || inside.begin >= inside.end) {
    std::fill_n(out, rows.end - rows.begin, 0.0F);
    return;
  }
  out = std::fill_n(out, inside.begin - rows.begin, 0.0F);
  const float* item = plane_.at(inside.begin - border_, x);
  for (std::ptrdiff_t y = inside.begin; y < inside.end; ++y, item += plane_.row_stride) {
    *out++ = *item;
  }
  std::fill_n(out, rows.end - inside.end, 0.0F);
}

UpsampleTaps upsample_taps(const Upsampling& upsampling, ImageSize source) {
  UpsampleTaps taps;
  const auto height = static_cast<std::size_t>(upsampling.kept.height);
  const auto width = static_cast<std::size_t>(upsampling.kept.width);
  kernels::image_taps(source.height, upsampling.size.height, 0, height, taps.rows.resize(height));
  kernels::image_taps(source.width, upsampling.size.width, 0, width, taps.columns.resize(width));
  return taps;
}

const float* UpsampledColumns::tall_column(std::ptrdiff_t column, RowRange rows) {
  TallColumn& tall = tall_[static_cast<std::size_t>(column % 2)];
  if (tall.column != column) {
    tall.column = column;
    tall.items.resize(static_cast<std::size_t>(rows.end - rows.begin));
    kernels::sample_column(plane_.at(0, column), plane_.row_stride,
                           taps_.rows.taps(static_cast<std::size_t>(rows.begin)), tall.items.size(),
                           tall.items.data());
  }
  HPIP_DCHECK(rows.end - rows.begin, ==, static_cast<std::ptrdiff_t>(tall.items.size()));
  return tall.items.data();
}

void UpsampledColumns::load(std::ptrdiff_t column, RowRange rows, float* out) {
  const RowRange inside{std::max<std::ptrdiff_t>(rows.begin, window_.y0),
                        std::min<std::ptrdiff_t>(rows.end, window_.y1)};
  const auto count = static_cast<std::size_t>(rows.end - rows.begin);
  if (column < window_.x0 || column >= window_.x1 || inside.begin >= inside.end) {
    std::fill_n(out, count, 0.0F);
    return;
  }
  const auto x = static_cast<std::size_t>(column);
  const float* left = tall_column(taps_.columns.first()[x], rows);
  const float* right = tall_column(taps_.columns.second()[x], rows);
  kernels::blend_rows(left, right, taps_.columns.second_weight()[x], count, out);
  std::fill(out, out + (inside.begin - rows.begin), 0.0F);
  std::fill(out + (inside.end - rows.begin), out + count, 0.0F);
}

}  // namespace hpip
