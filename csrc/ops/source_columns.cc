// SPDX-License-Identifier: Apache-2.0
#include "ops/source_columns.h"

#include <algorithm>

#include "kernels/resample_row_inl.h"

namespace hpip {

void PlaneColumns::load(std::ptrdiff_t column, float* out) {
  const std::ptrdiff_t x = column - border_;
  if (x < 0 || x >= plane_.width) {
    std::fill_n(out, height(), 0.0F);
    return;
  }
  out = std::fill_n(out, border_, 0.0F);
  const float* item = plane_.at(0, x);
  for (std::ptrdiff_t y = 0; y < plane_.height; ++y) {
    out[y] = item[y * plane_.row_stride];
  }
  std::fill_n(out + plane_.height, border_, 0.0F);
}

UpsampleTaps upsample_taps(const Upsampling& upsampling, ImageSize source) {
  UpsampleTaps taps;
  taps.rows.resize(static_cast<std::size_t>(upsampling.kept.height));
  taps.columns.resize(static_cast<std::size_t>(upsampling.kept.width));
  kernels::image_taps(source.height, upsampling.size.height, 0, taps.rows.size(), taps.rows.data());
  kernels::image_taps(source.width, upsampling.size.width, 0, taps.columns.size(),
                      taps.columns.data());
  return taps;
}

const float* UpsampledColumns::tall_column(std::ptrdiff_t column) {
  TallColumn& tall = tall_[static_cast<std::size_t>(column % 2)];
  if (tall.column != column) {
    tall.column = column;
    tall.items.resize(taps_.rows.size());
    kernels::sample_column(plane_.at(0, column), plane_.row_stride, taps_.rows.data(),
                           taps_.rows.size(), tall.items.data());
  }
  return tall.items.data();
}

void UpsampledColumns::load(std::ptrdiff_t column, float* out) {
  if (column < window_.x0 || column >= window_.x1) {
    std::fill_n(out, height(), 0.0F);
    return;
  }
  const kernels::AxisTap& tap = taps_.columns[static_cast<std::size_t>(column)];
  const float* left = tall_column(tap.first);
  const float* right = tall_column(tap.second);
  kernels::blend_rows(left, right, tap.second_weight, taps_.rows.size(), out);
  std::fill(out, out + window_.y0, 0.0F);
  std::fill(out + window_.y1, out + height(), 0.0F);
}

}  // namespace hpip
