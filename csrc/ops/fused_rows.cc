// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "hpip/dcheck.h"
#include "kernels/kernel_table.h"
#include "kernels/pad_row_inl.h"
#include "ops/aligned_buffer.h"
#include "ops/planar_rows.h"
#include "ops/resize_tables.h"

namespace hpip {
namespace {

std::ptrdiff_t round_up(std::ptrdiff_t value, std::ptrdiff_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// The byte offset in a padded row at which the taps of a target pixel begin, given their clamped
// positions `index`; negative in the padding before the row.
std::int32_t first_byte(const std::int32_t* index, int taps) {
  int pixel = index[0];
  for (int k = 1; k < taps && index[k] == 0; ++k) {
    --pixel;  // one more tap is before the row
  }
  return static_cast<std::int32_t>(3 * pixel);
}

// Target pixels [begin, end) of a row.
struct Columns {
  std::ptrdiff_t begin;
  std::ptrdiff_t end;
  std::ptrdiff_t count() const { return end - begin; }
};

// Horizontal taps of `plane` target pixels; those beyond the width read the same pixels as the last
// one.
template <typename Weight>
struct TapTable {
  std::ptrdiff_t plane;
  bool only_picks;  // for every target pixel, the second of four taps has the weight 1
  AlignedBuffer<std::int32_t> begin;
  AlignedBuffer<Weight> weight;
  Columns direct;  // columns whose loads are entirely within a row of `row_bytes`

  // The filter table stores the weights of a pixel next to each other, which kInterleaved keeps;
  // otherwise, the weights of a tap are next to each other.
  template <typename FilterWeight>
  TapTable(const FilterTable<FilterWeight>& table, int taps, bool interleaved,
           std::ptrdiff_t row_bytes)
      : plane(round_up(static_cast<std::ptrdiff_t>(table.index.size()) / taps, kTapBlock)),
        only_picks(taps == 4),
        begin(plane),
        weight(plane * taps) {
    HPIP_DCHECK(table.index.size(), >=, static_cast<std::size_t>(taps));
    HPIP_DCHECK(table.weight.size(), ==, table.index.size());
    std::fill_n(weight.data(), plane * taps, Weight{0});
    const std::ptrdiff_t width = static_cast<std::ptrdiff_t>(table.index.size()) / taps;
    for (std::ptrdiff_t x = 0; x < width; ++x) {
      begin.data()[x] = first_byte(table.index.data() + x * taps, taps);
      for (int k = 0; k < taps; ++k) {
        const auto expected = static_cast<FilterWeight>(k == 1 ? 1 : 0);
        only_picks = only_picks && table.weight[static_cast<std::size_t>(x * taps + k)] == expected;
        weight.data()[interleaved ? x * taps + k : k * plane + x] =
            static_cast<Weight>(table.weight[static_cast<std::size_t>(x * taps + k)]);
      }
    }
    std::fill_n(begin.data() + width, plane - width, begin.data()[width - 1]);
    direct = {0, plane};
    while (direct.begin < plane && begin.data()[direct.begin] < 0) {
      direct.begin += kTapBlock;
    }
    while (direct.end > direct.begin && begin.data()[direct.end - 1] + kTapBytes > row_bytes) {
      direct.end -= kTapBlock;
    }
  }
};

// The differences between the passes. `Weight` is the type of the vertical filter table, `Filtered`
// that of a row after the horizontal filter; `affine` is in the channel order of the image.
struct LinearLevels {
  static constexpr int kTaps = 2;
  using Weight = std::int32_t;
  using Filtered = std::int16_t;
  static void filter(const std::uint8_t* pixels, const TapTable<Filtered>& taps,
                     const ChannelAffine& /*affine*/, Columns columns, Filtered* out) {
    active_kernels().filter_taps_u8(pixels, taps.begin.data() + columns.begin,
                                    taps.weight.data() + 2 * columns.begin, columns.count(),
                                    taps.plane, out + columns.begin);
  }
  static void blend(const Filtered* const* rows, const Weight* weight, float factor, float offset,
                    std::ptrdiff_t count, float* out) {
    active_kernels().blend_normalize_linear_u8(
        rows[0], rows[1], static_cast<std::int16_t>(weight[0]),
        static_cast<std::int16_t>(weight[1]), factor, offset, count, out);
  }
};

struct CubicLevels {
  static constexpr int kTaps = 4;
  using Weight = float;
  using Filtered = float;
  static void filter(const std::uint8_t* pixels, const TapTable<Filtered>& taps,
                     const ChannelAffine& affine, Columns columns, Filtered* out) {
    const std::int32_t* begin = taps.begin.data() + columns.begin;
    out += columns.begin;
    if (taps.only_picks) {
      active_kernels().pick_taps_f32(pixels, begin, columns.count(), taps.plane, out);
      return;
    }
    active_kernels().filter_cubic_f32(pixels, begin, taps.weight.data() + columns.begin,
                                      affine.factor.data(), affine.offset.data(), columns.count(),
                                      taps.plane, out);
  }
  static void blend(const Filtered* const* rows, const Weight* weight, float factor, float offset,
                    std::ptrdiff_t count, float* out) {
    active_kernels().blend_normalize_cubic_u8(rows, weight, factor, offset, count, out);
  }
};

// Normalization before the resize: values are not rounded to uint8 levels.
template <int kTapCount>
struct NormalizedValues {
  static constexpr int kTaps = kTapCount;
  using Weight = float;
  using Filtered = float;
  static void filter(const std::uint8_t* pixels, const TapTable<Filtered>& taps,
                     const ChannelAffine& affine, Columns columns, Filtered* out) {
    const auto kernel = kTaps == 2 ? active_kernels().filter_affine_linear_f32
                                   : active_kernels().filter_affine_cubic_f32;
    kernel(pixels, taps.begin.data() + columns.begin, taps.weight.data() + columns.begin,
           affine.factor.data(), affine.offset.data(), columns.count(), taps.plane,
           out + columns.begin);
  }
  static void blend(const Filtered* const* rows, const Weight* weight, float /*factor*/,
                    float /*offset*/, std::ptrdiff_t count, float* out) {
    if constexpr (kTaps == 2) {
      active_kernels().blend_linear_f32(rows[0], rows[1], weight, count, out);
    } else {
      active_kernels().blend_cubic_f32(rows, weight, count, out);
    }
  }
};

template <typename Rule>
struct FusedTables {
  PreprocessItem item;
  const PreprocessParams& params;
  ChannelAffine affine;  // in the channel order of the image
  FilterTable<typename Rule::Weight> y;
  TapTable<typename Rule::Filtered> x;
};

// At most kTaps rows of an image.
template <int kTaps>
class RowList {
 public:
  void add(std::int32_t row) { rows_[count_++] = row; }
  const std::int32_t* begin() const { return rows_.data(); }
  const std::int32_t* end() const { return rows_.data() + count_; }

 private:
  std::array<std::int32_t, static_cast<std::size_t>(kTaps)> rows_{};
  std::size_t count_ = 0;
};

// Source rows are filtered once, and kept while output rows need them: an output row needs
// neighbouring rows, so `row % kTaps` never collides. A thread has no other memory: 31 kB for 640
// columns, which stay in the L1 cache, and 197 kB for 4096 columns.
template <typename Rule>
class FusedRows final : public PlanarRows {
  using Filtered = typename Rule::Filtered;
  using Rows = RowList<Rule::kTaps>;

 public:
  explicit FusedRows(const FusedTables<Rule>& tables)
      : tables_(tables),
        padded_(3 * (tables.item.image.width + 2 * kernels::kRowPad) + kTapBytes),
        values_(3 * tables.x.plane) {
    held_.fill(-1);
    std::fill_n(values_.data(), 3 * tables.x.plane, 0.0F);
    for (AlignedBuffer<Filtered>& buffer : filtered_) {
      buffer = AlignedBuffer<Filtered>(3 * tables.x.plane);
    }
  }

  void row(std::ptrdiff_t y, const RowTarget& out) override {
    HPIP_DCHECK(y, >=, 0);
    HPIP_DCHECK(y, <, tables_.item.resized_height);
    HPIP_DCHECK(out.width, >=, tables_.item.resized_width);
    HPIP_DCHECK(!out.streams || active_kernels().stream_f32 != nullptr, ==, true);
    for (const std::int32_t source_y : hold_rows(y)) {
      filter(source_y);
    }
    for (const std::int32_t source_y : rows_after(y)) {
      const ImageView<const std::uint8_t>& image = tables_.item.image;
      kernels::prefetch_row(image.row(source_y), image.width * image.channels);
    }
    if (!out.streams) {
      blend(y, out.channels);
      zero_from(tables_.item.resized_width, out);
      return;
    }
    const std::ptrdiff_t plane = tables_.x.plane;
    float* values[3] = {values_.data(), values_.data() + plane, values_.data() + 2 * plane};
    blend(y, values);
    const std::ptrdiff_t streamed = std::min(out.width, plane);
    for (int c = 0; c < 3; ++c) {
      active_kernels().stream_f32(values[c], streamed, out.channels[c]);
    }
    zero_from(streamed, out);
  }

 private:
  static std::size_t slot_of(std::int32_t source_y) {
    return static_cast<std::size_t>(source_y % Rule::kTaps);
  }

  const std::int32_t* source_rows(std::ptrdiff_t y) const {
    return tables_.y.index.data() + y * Rule::kTaps;
  }

  // The source rows that must be filtered for output row `y`.
  Rows hold_rows(std::ptrdiff_t y) {
    Rows rows;
    for (const std::int32_t* row = source_rows(y); row != source_rows(y + 1); ++row) {
      if (held_[slot_of(*row)] != *row) {
        held_[slot_of(*row)] = *row;
        rows.add(*row);
      }
    }
    return rows;
  }

  // The source rows that output row `y + 1` needs in addition to those of row `y`.
  Rows rows_after(std::ptrdiff_t y) const {
    Rows rows;
    if (y + 1 < tables_.item.resized_height) {
      std::int32_t last = source_rows(y + 1)[-1];
      for (const std::int32_t* row = source_rows(y + 1); row != source_rows(y + 2); ++row) {
        if (*row > last) {
          last = *row;
          rows.add(last);
        }
      }
    }
    return rows;
  }

  // Reads directly from the image, except for target pixels at the ends of a row and for grey
  // images.
  void filter(std::int32_t source_y) {
    const ImageView<const std::uint8_t>& image = tables_.item.image;
    HPIP_DCHECK(image.channels == 1 || image.channels == 3, ==, true);
    HPIP_DCHECK(source_y, >=, 0);
    HPIP_DCHECK(source_y, <, image.height);
    const std::uint8_t* row = image.row(source_y);
    const Columns direct = image.channels == 3 ? tables_.x.direct : Columns{0, 0};
    Filtered* out = filtered_[slot_of(source_y)].data();
    filter_padded(row, {0, direct.begin}, out);
    if (direct.count() > 0) {
      Rule::filter(row, tables_.x, tables_.affine, direct, out);
    }
    filter_padded(row, {direct.end, tables_.x.plane}, out);
  }

  void filter_padded(const std::uint8_t* row, Columns columns, Filtered* out) {
    if (columns.count() > 0) {
      const ImageView<const std::uint8_t>& image = tables_.item.image;
      const std::int32_t* begin = tables_.x.begin.data();
      std::uint8_t* pixels = padded_.data() + 3 * kernels::kRowPad;
      kernels::pad_pixels(row, image.width, image.channels, begin[columns.begin] / 3,
                          begin[columns.end - 1] / 3 + Rule::kTaps, pixels);
      Rule::filter(pixels, tables_.x, tables_.affine, columns, out);
    }
  }

  void blend(std::ptrdiff_t y, float* const out_rgb[3]) const {
    const ChannelAffine& affine = tables_.params.affine_rgb;
    for (std::size_t c = 0; c < 3; ++c) {
      const std::ptrdiff_t plane =  // filtered rows have three channels, even for grey images
          source_channel(tables_.params.order, 3, static_cast<std::ptrdiff_t>(c));
      const Filtered* rows[Rule::kTaps];
      for (int k = 0; k < Rule::kTaps; ++k) {
        HPIP_DCHECK(held_[slot_of(source_rows(y)[k])], ==, source_rows(y)[k]);
        rows[k] = filtered_[slot_of(source_rows(y)[k])].data() + plane * tables_.x.plane;
      }
      Rule::blend(rows, tables_.y.weight.data() + y * Rule::kTaps, affine.factor[c],
                  affine.offset[c], tables_.item.resized_width, out_rgb[c]);
    }
  }

  static void zero_from(std::ptrdiff_t x, const RowTarget& out) {
    for (float* channel : out.channels) {
      std::fill_n(channel + x, out.width - x, 0.0F);
    }
  }

  const FusedTables<Rule>& tables_;
  AlignedBuffer<std::uint8_t> padded_;
  AlignedBuffer<float> values_;  // the row for non-temporal stores, with its padding of zeros
  std::array<AlignedBuffer<Filtered>, static_cast<std::size_t>(Rule::kTaps)> filtered_;
  std::array<std::int32_t, static_cast<std::size_t>(Rule::kTaps)> held_;
};

template <typename Rule>
class FusedPlan final : public PlanarPlan {
 public:
  explicit FusedPlan(FusedTables<Rule> tables) : tables_(std::move(tables)) {}
  std::unique_ptr<PlanarRows> rows() const override {
    return std::make_unique<FusedRows<Rule>>(tables_);
  }

 private:
  FusedTables<Rule> tables_;
};

template <typename Rule>
std::unique_ptr<PlanarPlan> fused_plan(const PreprocessItem& item, const PreprocessParams& params,
                                       FilterTable<typename Rule::Weight> y,
                                       const FilterTable<typename Rule::Weight>& x) {
  ChannelAffine affine = params.affine_rgb;
  if (params.order == ChannelOrder::kBgr) {
    std::swap(affine.factor[0], affine.factor[2]);
    std::swap(affine.offset[0], affine.offset[2]);
  }
  constexpr bool kPairs = std::is_same_v<typename Rule::Filtered, std::int16_t>;
  return std::make_unique<FusedPlan<Rule>>(FusedTables<Rule>{
      item, params, affine, std::move(y), {x, Rule::kTaps, kPairs, 3 * item.image.width}});
}

}  // namespace

std::unique_ptr<PlanarPlan> make_fused_plan(const PreprocessItem& item,
                                            const PreprocessParams& params) {
  const std::ptrdiff_t height = item.image.height;
  const std::ptrdiff_t width = item.image.width;
  if (params.interpolation == Interpolation::kCubic) {
    FilterTable<float> y = cubic_table(height, item.resized_height);
    const FilterTable<float> x = cubic_table(width, item.resized_width);
    return params.normalize_first ? fused_plan<NormalizedValues<4>>(item, params, std::move(y), x)
                                  : fused_plan<CubicLevels>(item, params, std::move(y), x);
  }
  constexpr LinearRule kRule = LinearRule::kCentre;
  if (params.normalize_first) {
    return fused_plan<NormalizedValues<2>>(item, params,
                                           linear_table_f32(height, item.resized_height, kRule),
                                           linear_table_f32(width, item.resized_width, kRule));
  }
  return fused_plan<LinearLevels>(item, params,
                                  linear_table_u8(height, item.resized_height, kRule, false),
                                  linear_table_u8(width, item.resized_width, kRule, true));
}

}  // namespace hpip
