// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/pad_row_inl.h"
#include "ops/aligned_buffer.h"
#include "ops/planar_rows.h"
#include "ops/resize_tables.h"

namespace hpip {
namespace {

// Bytes that a vector load of a pixel's taps may read beyond them.
constexpr std::ptrdiff_t kLoadBytes = 16;

std::ptrdiff_t round_up(std::ptrdiff_t value, std::ptrdiff_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

// Where the taps of a target pixel begin in a padded row: neighbours whose clamped positions are
// `index`.
std::int32_t first_byte(const std::int32_t* index, int taps) {
  int pixel = index[0];
  for (int k = 1; k < taps && index[k] == 0; ++k) {
    --pixel;  // one more tap lies before the row
  }
  return static_cast<std::int32_t>(3 * (pixel + kernels::kRowPad));
}

// Horizontal taps, `plane` target pixels of them; those beyond the width read the row's beginning.
template <typename Weight>
struct TapTable {
  std::ptrdiff_t plane;
  bool only_picks;  // of four taps the second has all the weight, for every target pixel
  AlignedBuffer<std::int32_t> begin;
  AlignedBuffer<Weight> weight;

  // In the filter table a pixel's weights are neighbours, which kInterleaved keeps; else a tap's
  // are.
  template <typename FilterWeight>
  TapTable(const FilterTable<FilterWeight>& table, int taps, bool interleaved)
      : plane(round_up(static_cast<std::ptrdiff_t>(table.index.size()) / taps, kTapBlock)),
        only_picks(taps == 4),
        begin(plane),
        weight(plane * taps) {
    std::fill_n(begin.data(), plane, 0);
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
  }
};

// What the passes differ in. `Weight` is the type of the vertical filter table, Filtered that of a
// row after the horizontal filter; `affine` is in the picture's own channel order.
struct LinearLevels {
  static constexpr int kTaps = 2;
  using Weight = std::int32_t;
  using Filtered = std::int16_t;
  static void filter(const std::uint8_t* pixels, const TapTable<Filtered>& taps,
                     const ChannelAffine& /*affine*/, Filtered* out) {
    active_kernels().filter_taps_u8(pixels, taps.begin.data(), taps.weight.data(), taps.plane, out);
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
                     const ChannelAffine& affine, Filtered* out) {
    if (taps.only_picks) {
      active_kernels().pick_taps_f32(pixels, taps.begin.data(), taps.plane, out);
      return;
    }
    active_kernels().filter_cubic_f32(pixels, taps.begin.data(), taps.weight.data(),
                                      affine.factor.data(), affine.offset.data(), taps.plane, out);
  }
  static void blend(const Filtered* const* rows, const Weight* weight, float factor, float offset,
                    std::ptrdiff_t count, float* out) {
    active_kernels().blend_normalize_cubic_u8(rows, weight, factor, offset, count, out);
  }
};

// Normalization first, so that nothing is rounded to levels.
template <int kTapCount>
struct NormalizedValues {
  static constexpr int kTaps = kTapCount;
  using Weight = float;
  using Filtered = float;
  static void filter(const std::uint8_t* pixels, const TapTable<Filtered>& taps,
                     const ChannelAffine& affine, Filtered* out) {
    const auto kernel = kTaps == 2 ? active_kernels().filter_affine_linear_f32
                                   : active_kernels().filter_affine_cubic_f32;
    kernel(pixels, taps.begin.data(), taps.weight.data(), affine.factor.data(),
           affine.offset.data(), taps.plane, out);
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
  ChannelAffine affine;  // in the picture's own channel order
  FilterTable<typename Rule::Weight> y;
  TapTable<typename Rule::Filtered> x;
};

// Source rows are padded and filtered once, and kept while output rows need them: the rows of one
// output row are neighbours, so `row % kTaps` never collides. That is all that a thread holds: for
// 640 columns 31 kB, which stay in the first-level cache, for 4096 columns 197 kB.
template <typename Rule>
class FusedRows final : public PlanarRows {
  using Filtered = typename Rule::Filtered;
  static constexpr auto kSlots = static_cast<std::size_t>(Rule::kTaps);

 public:
  explicit FusedRows(const FusedTables<Rule>& tables)
      : tables_(tables),
        padded_(3 * (tables.item.image.width + 2 * kernels::kRowPad) + kLoadBytes) {
    held_.fill(-1);
    for (AlignedBuffer<Filtered>& buffer : filtered_) {
      buffer = AlignedBuffer<Filtered>(3 * tables.x.plane);
    }
  }

  void row(std::ptrdiff_t y, float* const out_rgb[3]) override {
    const Filtered* rows[Rule::kTaps];
    for (int k = 0; k < Rule::kTaps; ++k) {
      rows[k] = filtered_row(tables_.y.index[static_cast<std::size_t>(y * Rule::kTaps + k)]);
    }
    const auto* weight = tables_.y.weight.data() + y * Rule::kTaps;
    const ChannelAffine& affine = tables_.params.affine_rgb;
    for (std::size_t c = 0; c < 3; ++c) {
      const std::ptrdiff_t plane =  // a padded row has three channels, grey ones too
          source_channel(tables_.params.order, 3, static_cast<std::ptrdiff_t>(c));
      const Filtered* channel[Rule::kTaps];
      for (int k = 0; k < Rule::kTaps; ++k) {
        channel[k] = rows[k] + plane * tables_.x.plane;
      }
      Rule::blend(channel, weight, affine.factor[c], affine.offset[c], tables_.item.resized_width,
                  out_rgb[c]);
    }
  }

 private:
  const Filtered* filtered_row(std::int32_t source_y) {
    const std::size_t slot = static_cast<std::size_t>(source_y % Rule::kTaps);
    if (held_[slot] != source_y) {
      const ImageView<const std::uint8_t>& image = tables_.item.image;
      kernels::pad_row(image.row(source_y), image.width, image.channels, padded_.data());
      const std::ptrdiff_t next_y = std::min<std::ptrdiff_t>(source_y + 1, image.height - 1);
      kernels::prefetch_row(image.row(next_y), image.width * image.channels);
      Rule::filter(padded_.data(), tables_.x, tables_.affine, filtered_[slot].data());
      held_[slot] = source_y;
    }
    return filtered_[slot].data();
  }

  const FusedTables<Rule>& tables_;
  AlignedBuffer<std::uint8_t> padded_;
  std::array<AlignedBuffer<Filtered>, kSlots> filtered_;
  std::array<std::int32_t, kSlots> held_;
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
  return std::make_unique<FusedPlan<Rule>>(
      FusedTables<Rule>{item, params, affine, std::move(y), {x, Rule::kTaps, kPairs}});
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
